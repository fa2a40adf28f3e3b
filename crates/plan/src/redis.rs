//! How to reach Redis, and who signs in. The URL and the password are never shown.

use crate::at::At;
use crate::model::{Password, RedisLogin, RedisSentinel, Secret};
use crate::report::Report;
use crate::{Code, raw};

/// What is said of Redis; all of it `None` where rows are kept in the process.
#[derive(Default)]
pub(crate) struct Redis {
    pub(crate) url: Option<Secret>,
    pub(crate) login: Option<RedisLogin>,
    pub(crate) ca: Option<String>,
    pub(crate) sentinel: Option<RedisSentinel>,
}

/// Checks how Redis is reached; `None` when something in it is wrong.
pub(crate) fn check(report: &Report, raw: Option<&raw::Redis>) -> Option<Redis> {
    let Some(raw) = raw else {
        return Some(Redis::default());
    };
    let url = url(report, &raw.url)?;
    let given = Given {
        user: &raw.user,
        password: &raw.password,
        file: &raw.password_file,
    };
    if let Some(first) = given.first()
        && url.contains('@')
    {
        report.error_help(
            first.place,
            Code::Value,
            "who signs in is said twice: here and in the URL",
            "take `user:password@` out of the URL",
        );
        return None;
    }
    let login = login(report, "Redis has", &given)?;
    let sentinel = match &raw.sentinel {
        Some(at) => Some(sentinel(report, at.value.as_ref()?)?),
        None => None,
    };
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
        sentinel,
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

fn sentinel(report: &Report, raw: &raw::Sentinel) -> Option<RedisSentinel> {
    let (master, place) = raw.master.text()?;
    if master.is_empty() {
        report.error(
            place,
            Code::Value,
            "expected what sentinels call the master, found an empty text",
        );
        return None;
    }
    let given = Given {
        user: &raw.user,
        password: &raw.password,
        file: &raw.password_file,
    };
    Some(RedisSentinel {
        master: master.to_owned(),
        login: login(report, "sentinels have", &given)?,
    })
}

/// Who signs in, as it is written.
struct Given<'a> {
    user: &'a Option<At<String>>,
    password: &'a Option<At<String>>,
    file: &'a Option<At<String>>,
}

impl Given<'_> {
    /// What is written of it at all.
    fn first(&self) -> Option<&At<String>> {
        let all = [self.user, self.password, self.file];
        all.into_iter().flatten().next()
    }
}

fn login(report: &Report, who: &str, given: &Given<'_>) -> Option<Option<RedisLogin>> {
    let Some(first) = given.first() else {
        return Some(None);
    };
    let password = match (given.password, given.file) {
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
                format!("{who} a `user` and no password"),
                "add `password: \"${REDIS_PASSWORD}\"` or `password_file`",
            );
            return None;
        }
    };
    let user = match given.user {
        Some(user) => Some(user.value.clone()?),
        None => None,
    };
    Some(Some(RedisLogin { user, password }))
}
