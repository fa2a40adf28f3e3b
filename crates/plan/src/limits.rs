//! Checks what doors bear.

use crate::at::At;
use crate::model::Limits;
use crate::report::Report;
use crate::{Code, raw, scalar};
use tiderace_types::Duration;

/// The bounds that are said, the others by default; `None` when something in them is wrong.
pub(crate) fn check(report: &Report, serving: Option<&raw::Serving>) -> Option<Limits> {
    let limits = Limits::default();
    let Some(at) = serving.and_then(|serving| serving.limits.as_ref()) else {
        return Some(limits);
    };
    let raw = at.value.as_ref()?;
    let count = |at: &Option<At<u32>>, default| count(report, at.as_ref(), default);
    let size = |at: &Option<At<raw::Size>>, default| size(report, at.as_ref(), default);
    let time = |name: &str, at: &Option<At<String>>, default: Duration| match at {
        None => Some(default),
        Some(at) => scalar::positive_duration(report, &format!("`{name}`"), at),
    };
    let counts = [
        count(&raw.rows, limits.rows),
        count(&raw.values, limits.values),
        count(&raw.calls, limits.calls),
        count(&raw.connections, limits.connections),
    ];
    let sizes = [
        size(&raw.message, limits.message),
        size(&raw.unread, limits.unread),
    ];
    let times = [
        time("call_time", &raw.call_time, limits.call_time),
        time("connection_age", &raw.connection_age, limits.connection_age),
        time(
            "connection_grace",
            &raw.connection_grace,
            limits.connection_grace,
        ),
        time(
            "connection_idle",
            &raw.connection_idle,
            limits.connection_idle,
        ),
        time("header_time", &raw.header_time, limits.header_time),
        time("handshake_time", &raw.handshake_time, limits.handshake_time),
        time("keepalive", &raw.keepalive, limits.keepalive),
        time("keepalive_time", &raw.keepalive_time, limits.keepalive_time),
        time("unread_time", &raw.unread_time, limits.unread_time),
        time("drain", &raw.drain, limits.drain),
    ];
    let [rows, values, calls, connections] = counts;
    let [message, unread] = sizes;
    let [
        call_time,
        connection_age,
        connection_grace,
        connection_idle,
        header_time,
        handshake_time,
        keepalive,
        keepalive_time,
        unread_time,
        drain,
    ] = times;
    Some(Limits {
        rows: rows?,
        values: values?,
        message: message?,
        calls: calls?,
        call_time: call_time?,
        connections: connections?,
        connection_age: connection_age?,
        connection_grace: connection_grace?,
        connection_idle: connection_idle?,
        header_time: header_time?,
        handshake_time: handshake_time?,
        keepalive: keepalive?,
        keepalive_time: keepalive_time?,
        unread_time: unread_time?,
        unread: unread?,
        drain: drain?,
    })
}

fn count(report: &Report, at: Option<&At<u32>>, default: usize) -> Option<usize> {
    let Some(at) = at else {
        return Some(default);
    };
    let count = at.value?;
    if count > 0 {
        return usize::try_from(count).ok();
    }
    report.error(at.place, Code::Value, "expected at least 1, found 0");
    None
}

fn size(report: &Report, at: Option<&At<raw::Size>>, default: usize) -> Option<usize> {
    let bytes = scalar::size_or(report, at, u64::try_from(default).ok()?)?;
    usize::try_from(bytes).ok()
}
