//! Who the master is, as sentinels say: one server at a time, which another takes the place of.
//!
//! Every sentinel named is asked, and most of them decide: one that was away says what was. Who they name
//! must say so itself. They are asked when a call went astray, and every [`REVIEW`] besides, since a master
//! that was cut off from its sentinels answers as before.

use super::access::RedisAccess;
use super::link::Link;
use super::topology::Address;
use crate::Error;
use crate::error::Kind;
use ::redis::{ConnectionInfo, Pipeline, Value};
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// How often sentinels are asked though nothing went astray.
pub(super) const REVIEW: Duration = Duration::from_secs(1);

/// How long they are waited for.
const PATIENCE: Duration = Duration::from_millis(400);

/// The sentinels of a master.
pub(super) struct Sentinels {
    links: Vec<Arc<Link>>,
    master: String,
}

impl Sentinels {
    /// The sentinels at the addresses of `infos`, if a master is named.
    pub(super) fn new(
        infos: &[ConnectionInfo],
        access: &RedisAccess,
        connect_deadline: Duration,
    ) -> Result<Option<Sentinels>, Error> {
        let Some(sentinel) = &access.sentinel else {
            return Ok(None);
        };
        let open = |info: &ConnectionInfo| {
            let info = access.of_sentinel(sentinel, info.clone())?;
            Link::new(info, connect_deadline).map(Arc::new)
        };
        Ok(Some(Sentinels {
            links: infos.iter().map(open).collect::<Result<_, Error>>()?,
            master: sentinel.master.clone(),
        }))
    }

    /// Where the master is, as most of them say.
    pub(super) async fn ask(&self) -> Result<Address, Error> {
        const VERB: &str = "ask who the master is";
        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(&self.master);
        let asked = self
            .links
            .iter()
            .map(|link| link.ask(VERB, &pipeline, PATIENCE));
        let mut named: Vec<Address> = Vec::new();
        let mut refused = None;
        for (link, answer) in self.links.iter().zip(join_all(asked).await) {
            match answer.map(|mut answers| answers.pop()) {
                Ok(Some(Value::Nil)) => {
                    let (address, name) = (link.address(), &self.master);
                    let why = format!("sentinel {address}: it knows no master {name:?}");
                    refused = Some(Error::new(Kind::Invalid, why));
                }
                Ok(answer) => named.extend(answer.as_ref().and_then(address)),
                Err(error) => refused = Some(error),
            }
        }
        most(&named).ok_or_else(|| {
            refused.unwrap_or_else(|| {
                let why = format!("no sentinel says where the master {:?} is", self.master);
                Error::new(Kind::Retry, why)
            })
        })
    }
}

/// Makes sure that a server takes itself for the master.
pub(super) async fn confirm(link: &Link) -> Result<(), Error> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("ROLE");
    let answer = link.ask("ask for its role", &pipeline, PATIENCE).await?;
    let role = match answer.first() {
        Some(Value::Array(fields)) => fields.first().and_then(text),
        _ => None,
    };
    match role.as_deref() {
        Some("master") => Ok(()),
        other => {
            let (address, role) = (link.address(), other.unwrap_or("unknown"));
            let why = format!("redis {address}: sentinels name it, and its role is {role}");
            Err(Error::new(Kind::Retry, why))
        }
    }
}

/// What is named most; of equally much the first.
fn most(named: &[Address]) -> Option<Address> {
    let votes = |address: &Address| named.iter().filter(|other| *other == address).count();
    let most = named.iter().map(votes).max()?;
    named.iter().find(|address| votes(address) == most).cloned()
}

fn address(answer: &Value) -> Option<Address> {
    let Value::Array(fields) = answer else {
        return None;
    };
    Some(Address {
        host: text(fields.first()?)?,
        port: text(fields.get(1)?)?.parse().ok()?,
    })
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_them_decide() {
        let at = |port| Address {
            host: "a".to_owned(),
            port,
        };
        let check = |ports: &[u16], expect: Option<u16>| {
            let named: Vec<Address> = ports.iter().copied().map(at).collect();
            assert_eq!(most(&named), expect.map(at), "{ports:?}");
        };
        check(&[], None);
        check(&[1], Some(1));
        check(&[1, 2, 2], Some(2));
        check(&[2, 1], Some(2));
    }

    #[test]
    fn what_is_no_address_is_none() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let answer = |host, port| Value::Array(vec![bulk(host), bulk(port)]);
        let expect = Address {
            host: "10.0.0.1".to_owned(),
            port: 6379,
        };
        assert_eq!(address(&answer("10.0.0.1", "6379")), Some(expect));
        assert_eq!(address(&answer("10.0.0.1", "x")), None);
        assert_eq!(address(&Value::Array(vec![bulk("10.0.0.1")])), None);
        assert_eq!(address(&Value::Int(1)), None);
    }
}
