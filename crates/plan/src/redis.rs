//! How to reach Redis, and who signs in. The URL and the password are never shown.

use crate::at::At;
use crate::model::{Password, RedisLogin, Secret};
use crate::report::Report;
use crate::{Code, raw};

/// What is said of Redis; all of it `None` where rows are kept in the process.
#[derive(Default)]
pub(crate) struct Redis {
    pub(crate) url: Option<Secret>,
    pub(crate) login: Option<RedisLogin>,
    pub(crate) ca: Option<String>,
}

/// Checks how Redis is reached; `None` when something in it is wrong.
pub(crate) fn check(report: &Report, raw: Option<&raw::Redis>) -> Option<Redis> {
    let Some(raw) = raw else {
        return Some(Redis::default());
    };
    let url = url(report, &raw.url)?;
    let login = login(report, raw, &url)?;
    let ca = match &raw.ca {
        Some(at) if url.starts_with("redis://") => {
            report.error_help(
                at.place,
                Code::Value,
                "`ca` is for TLS, and the URL is without",
                "write the URL as `rediss://…`, or leave `ca` out",
            );
            return None;
        }
        Some(at) => Some(at.value.clone()?),
        None => None,
    };
    Some(Redis {
        url: Some(Secret(url)),
        login,
        ca,
    })
}

fn url(report: &Report, at: &At<String>) -> Option<String> {
    let (text, place) = at.text()?;
    if text.starts_with("redis://") || text.starts_with("rediss://") {
        return Some(text.to_owned());
    }
    let message = match text.contains('@') {
        true => "this is not the URL of a Redis".to_owned(),
        false => format!("`{text}` is not the URL of a Redis"),
    };
    report.error_help(
        place,
        Code::Value,
        message,
        "expected `redis://host:port`, or `rediss://host:port` for TLS",
    );
    None
}

fn login(report: &Report, raw: &raw::Redis, url: &str) -> Option<Option<RedisLogin>> {
    let given = [&raw.user, &raw.password, &raw.password_file];
    let Some(first) = given.into_iter().flatten().next() else {
        return Some(None);
    };
    if url.contains('@') {
        report.error_help(
            first.place,
            Code::Value,
            "who signs in is said twice: here and in the URL",
            "take `user:password@` out of the URL",
        );
        return None;
    }
    let password = match (&raw.password, &raw.password_file) {
        (Some(password), None) => Password::Given(Secret(password.value.clone()?)),
        (None, Some(path)) => Password::File(path.value.clone()?),
        (Some(_), Some(again)) => {
            let message = "the password is given twice: `password` and `password_file`";
            report.error(again.place, Code::Shape, message);
            return None;
        }
        (None, None) => {
            report.error_help(
                first.place,
                Code::Shape,
                "Redis has a `user` and no password",
                "add `password: \"${REDIS_PASSWORD}\"` or `password_file`",
            );
            return None;
        }
    };
    let user = match &raw.user {
        Some(user) => Some(user.value.clone()?),
        None => None,
    };
    Some(Some(RedisLogin { user, password }))
}
