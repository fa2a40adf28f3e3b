//! One shared connection that is made when needed and dropped when it fails.
//!
//! Every call has a deadline, connecting included. A call that finds the connection
//! broken tries once more on a new one: every command here may be repeated. A connection
//! that does not answer in time is dropped too, because a half-open one never reports
//! itself; the next call makes a new one.

use crate::Error;
use crate::error::Kind;
use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisResult,
    ServerErrorKind, Value,
};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(super) struct Link {
    client: Client,
    address: String,
    connect_deadline: Duration,
    current: Mutex<Current>,
}

/// The connection in use, or in the making.
#[derive(Default)]
struct Current {
    /// Rises with every connection that is begun.
    number: u64,
    connecting: Option<Connecting>,
}

type Connecting = Shared<BoxFuture<'static, RedisResult<MultiplexedConnection>>>;

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Link").field(&self.address).finish()
    }
}

impl Link {
    pub(super) fn new(info: ConnectionInfo, connect_deadline: Duration) -> Result<Link, Error> {
        let address = info.addr().to_string();
        Ok(Link {
            client: Client::open(info).map_err(malformed)?,
            address,
            connect_deadline,
            current: Mutex::default(),
        })
    }

    /// Where the server is, without user and password.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Sends commands in one round trip; any error among the answers is the error of all.
    pub(super) async fn ask(
        &self,
        verb: &str,
        pipeline: &Pipeline,
        deadline: Duration,
    ) -> Result<Vec<Value>, Error> {
        let answers = self.ask_each(verb, pipeline, deadline).await?;
        let whole = answers.into_iter().collect::<RedisResult<Vec<_>>>();
        whole.map_err(|error| self.error(verb, &error))
    }

    /// Sends commands in one round trip and gives the server's answer to each.
    pub(super) async fn ask_each(
        &self,
        verb: &str,
        pipeline: &Pipeline,
        deadline: Duration,
    ) -> Result<Vec<RedisResult<Value>>, Error> {
        let (number, connecting) = self.current();
        let call = self.call(number, connecting.clone(), pipeline);
        let answers = match tokio::time::timeout(deadline, call).await {
            Ok(answers) => answers.map_err(|error| self.error(verb, &error))?,
            Err(_) => {
                // One that is still being made may yet come, within its own deadline.
                if connecting.peek().is_some() {
                    self.forget(number);
                }
                let why = format!(
                    "redis {}: {verb}: no answer within {deadline:?}",
                    self.address
                );
                return Err(Error::new(Kind::Retry, why));
            }
        };
        let answers: Vec<_> = answers.into_iter().map(Value::extract_error).collect();
        // A server that has become a replica: who is the master now is found by connecting anew.
        if answers
            .iter()
            .any(|answer| answer.as_ref().is_err_and(is_read_only))
        {
            self.forget(number);
        }
        Ok(answers)
    }

    async fn call(
        &self,
        number: u64,
        connecting: Connecting,
        pipeline: &Pipeline,
    ) -> RedisResult<Vec<Value>> {
        let error = match self.attempt(number, connecting, pipeline).await {
            Err(Failure::Broken(error)) => error,
            Err(Failure::Refused(error)) => return Err(error),
            Ok(answers) => return Ok(answers),
        };
        tracing::debug!(address = self.address, %error, "redis connection broke; connecting again");
        let (number, connecting) = self.current();
        match self.attempt(number, connecting, pipeline).await {
            Err(Failure::Broken(error) | Failure::Refused(error)) => Err(error),
            Ok(answers) => Ok(answers),
        }
    }

    async fn attempt(
        &self,
        number: u64,
        connecting: Connecting,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, Failure> {
        let mut connection = connecting.await.map_err(|error| {
            self.forget(number);
            Failure::Refused(error)
        })?;
        let answers = connection
            .send_packed_commands(pipeline, 0, pipeline.len())
            .await;
        answers.map_err(|error| {
            self.forget(number);
            Failure::Broken(error)
        })
    }

    /// The connection to use now, with its number.
    fn current(&self) -> (u64, Connecting) {
        let mut current = self.lock();
        if let Some(connecting) = &current.connecting {
            return (current.number, connecting.clone());
        }
        let connecting = connect(self.client.clone(), self.connect_deadline)
            .boxed()
            .shared();
        current.number += 1;
        current.connecting = Some(connecting.clone());
        (current.number, connecting)
    }

    /// Makes the next call connect anew, unless one already has.
    fn forget(&self, number: u64) {
        let mut current = self.lock();
        if current.number == number {
            current.connecting = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        // A number and a handle: whole after any panic.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what `error` met while trying to `verb` means for the caller.
    pub(super) fn error(&self, verb: &str, error: &RedisError) -> Error {
        Error::new(
            kind_of(error),
            format!("redis {}: {verb}: {error}", self.address),
        )
    }
}

enum Failure {
    /// No connection was made.
    Refused(RedisError),
    /// The connection failed under the call.
    Broken(RedisError),
}

async fn connect(client: Client, deadline: Duration) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(deadline))
        // Each call has its own deadline.
        .set_response_timeout(None);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// The URL may hold a password, so neither it nor the parser's words are shown.
pub(super) fn malformed(_: RedisError) -> Error {
    let expected = "expected redis://[user:password@]host[:port][,host[:port]…][/db]";
    Error::new(Kind::Invalid, format!("redis url is malformed; {expected}"))
}

fn is_read_only(error: &RedisError) -> bool {
    error.kind() == ServerErrorKind::ReadOnly.into()
}

fn kind_of(error: &RedisError) -> Kind {
    match error.kind() {
        ErrorKind::AuthenticationFailed
        | ErrorKind::InvalidClientConfig
        | ErrorKind::Server(ServerErrorKind::NoPerm) => Kind::Invalid,
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse => Kind::Bug,
        _ => match error.code() {
            Some("NOAUTH" | "WRONGPASS" | "WRONGTYPE") => Kind::Invalid,
            // Full, loading, read-only, failing over: all of these pass.
            _ => Kind::Retry,
        },
    }
}
