//! Calls of scripts: taught to a server that does not know them, and followed to the server that
//! has the slot while it moves.

use super::script;
use super::{Link, RedisStore};
use crate::Error;
use crate::error::Kind;
use crate::part::Part;
use ::redis::{Cmd, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};

impl RedisStore {
    /// Makes one call on the server of a part; once more where the part turns out to be elsewhere.
    pub(super) async fn on_part(&self, part: Part, verb: &str, call: &Cmd) -> Result<Value, Error> {
        let servers = &self.0.servers;
        let mut topology = self.topology(self.0.options.write_deadline).await?;
        loop {
            let holder = topology.parts.iter().find(|(held, _)| *held == part);
            let Some((_, place)) = holder else {
                let address = servers.address();
                let why = format!("redis {address}: {verb}: slots {part} are held otherwise now");
                return Err(Error::new(Kind::Retry, why));
            };
            let link = &topology.masters[*place];
            let made = self.run(link, verb, std::slice::from_ref(call));
            let answer = made.await.and_then(|mut answers| match answers.pop() {
                Some(answer) => answer.map_err(|error| link.error(verb, &error)),
                None => Ok(Value::Nil),
            });
            match answer {
                Err(error) if error.kind() == Kind::Retry => {
                    match servers.renewed(&topology).await {
                        Some(renewed) => topology = renewed,
                        None => return Err(error),
                    }
                }
                answered => return answered,
            }
        }
    }

    /// Makes calls of scripts in one round trip, teaching them first where the server does not know
    /// one; gives the answer to each.
    pub(super) async fn run(
        &self,
        link: &Link,
        verb: &str,
        calls: &[Cmd],
    ) -> Result<Vec<RedisResult<Value>>, Error> {
        let deadline = self.0.options.write_deadline;
        let mut pipeline = Pipeline::new();
        for call in calls {
            pipeline.add_command(call.clone());
        }
        let mut answers = link.ask_each(verb, &pipeline, deadline).await?;
        let unknown = |answer: &RedisResult<Value>| answer.as_ref().is_err_and(script::is_unknown);
        if answers.iter().any(unknown) {
            self.teach(link).await?;
            answers = link.ask_each(verb, &pipeline, deadline).await?;
        }
        for (call, answer) in calls.iter().zip(&mut answers) {
            if let Err(error) = answer
                && let Some(target) = self.asked_to(error)
            {
                let followed = self.follow(&target, verb, call).await;
                *answer = followed?;
            }
        }
        Ok(answers)
    }

    /// Where an answer says to ask, while a slot moves.
    pub(super) fn asked_to(&self, error: &RedisError) -> Option<std::sync::Arc<Link>> {
        if error.kind() != ServerErrorKind::Ask.into() {
            return None;
        }
        let (address, _) = error.redirect_node()?;
        self.0.servers.link_to(address)
    }

    /// Teaches a server every script.
    async fn teach(&self, link: &Link) -> Result<(), Error> {
        let scripts = [
            &self.0.put_rows,
            &self.0.put_receipt,
            &self.0.put_marker,
            &self.0.retire_markers,
        ];
        let mut pipeline = Pipeline::new();
        for script in scripts {
            script.load(&mut pipeline);
        }
        let deadline = self.0.options.write_deadline;
        link.ask("load scripts", &pipeline, deadline)
            .await
            .map(drop)
    }

    /// Makes a call on the server that a slot is moving to.
    async fn follow(
        &self,
        link: &Link,
        verb: &str,
        call: &Cmd,
    ) -> Result<RedisResult<Value>, Error> {
        let deadline = self.0.options.write_deadline;
        self.teach(link).await?;
        let mut pipeline = Pipeline::new();
        pipeline.cmd("ASKING").ignore();
        pipeline.add_command(call.clone());
        let answer = link.ask_each(verb, &pipeline, deadline).await?.pop();
        Ok(answer.unwrap_or(Ok(Value::Nil)))
    }
}

/// Whether the keys of a call lie on two servers while their slot moves.
pub(super) fn is_split(error: &RedisError) -> bool {
    error.kind() == ServerErrorKind::TryAgain.into()
}
