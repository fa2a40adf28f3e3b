//! A push and a lookup in one call: the features of the event that is being scored, with it or without it.
//!
//! # Laws
//! - What can be said against the lookup is said before an event is accepted: an error of the call means that
//!   nothing was (but [`Deadline`](crate::Kind::Deadline) and [`Unavailable`](crate::Kind::Unavailable), after which it may have been).
//! - Accepted events stay accepted whatever becomes of the lookup: its error is part of the answer.

use super::{Serving, note_end};
use crate::lookup::{Late, Pushed};
use crate::push::{Durability, PushReceipt, Written};
use crate::{Caller, Error, Request, Selection, deadline, proto};
use bytes::Bytes;
use std::pin::pin;
use std::time::Instant;
use tiderace_aggregate::{PushedEvents, PushedRecord};
use tiderace_plan::model::Source;
use tiderace_trace::Kind::Server;
use tiderace_trace::within;
use tiderace_types::Reason;

/// How many events one call may bring.
const MOST: usize = 100;

/// What is pushed, and what is asked.
#[derive(Clone, Debug)]
pub struct PushAndGet {
    /// The source.
    pub source: String,
    /// The events.
    pub payloads: Vec<Bytes>,
    /// How durable they are when the call returns.
    pub durability: Durability,
    /// The lookup.
    pub get: Request,
    /// Whether the answer has the events in it.
    pub included: bool,
}

/// The events were accepted.
#[derive(Debug)]
pub struct PushedAndGot {
    /// Where they are.
    pub receipt: PushReceipt,
    /// The features, or why there are none.
    pub answer: Result<proto::GetOnlineFeaturesResponse, Error>,
    /// The events that do not count.
    pub refused: Vec<proto::RefusedEvent>,
}

impl Serving {
    /// Gives events to a source and looks features up, with these events in or left out.
    ///
    /// # Errors
    /// As [`Serving::push`]; and, before anything is accepted, as [`Serving::get`] for the caller's mistakes.
    pub async fn push_and_get(
        &self,
        caller: &Caller,
        asked: PushAndGet,
    ) -> Result<PushedAndGot, Error> {
        let began = Instant::now();
        let mut span = self.tracer.begin("push and get", Server, caller.trace);
        span.note("tiderace.events", asked.payloads.len());
        let source = asked.source.clone();
        let done = within(&span, self.push_then_get(caller, asked, began)).await;
        if span.is_recorded() {
            if self.source(&source).is_ok() {
                span.note("tiderace.source", source.as_str());
            }
            note_end(&mut span, done.as_ref().err());
        }
        let count = done.as_ref().map(|done| done.receipt.count);
        self.traffic.pushed(&source, &count.map_err(Error::clone));
        done
    }

    async fn push_then_get(
        &self,
        caller: &Caller,
        asked: PushAndGet,
        began: Instant,
    ) -> Result<PushedAndGot, Error> {
        let PushAndGet {
            source,
            payloads,
            durability,
            get,
            included,
        } = asked;
        caller.may_push(&source)?;
        caller.may_read(&get.selection)?;
        let _permit = self.admit()?;
        let source = self.check(&source, &payloads)?;
        if payloads.len() > MOST {
            return Err(Error::invalid(format!(
                "source {:?}: {} events are too many to get features with; send at most {MOST}",
                source.name,
                payloads.len()
            )));
        }
        if get.as_of.is_some() {
            return Err(Error::invalid(
                "as_of is not given with pushed events: it is now, or the time of the latest of them",
            ));
        }
        self.lookup.check(&get)?;
        let reader = self
            .push
            .as_ref()
            .and_then(|push| push.reader(&source.name));
        let Some(read) = reader else {
            return Err(self.takes_none(&source.name));
        };
        let looking = |events, included: Option<Vec<(u32, i64)>>| {
            let get = get.clone();
            async move {
                let pushed = Pushed {
                    source,
                    events: &events,
                    included: included.as_deref(),
                    began: Instant::now(),
                };
                let left = self.timeout.saturating_sub(began.elapsed());
                let looking = self
                    .lookup
                    .get_as::<proto::GetOnlineFeaturesResponse>(&get, Some(pushed));
                let looked = deadline::within(left, pin!(looking)).await;
                let looked = looked.unwrap_or_else(|| Err(deadline::passed(self.timeout)));
                let service = match &get.selection {
                    Selection::Service(name) => Some(name.as_str()),
                    Selection::Features(_) => None,
                };
                let tally = looked.as_ref().map(|got| got.tally);
                self.traffic
                    .looked_up(service, &tally.map_err(Error::clone), began.elapsed());
                let looked = looked.map(|got| (got.answer, got.late));
                self.told(source, &events, looked)
            }
        };
        let (receipt, (answer, refused)) = match included {
            true => {
                let receipt = self.accept(source, payloads.clone(), durability).await?;
                let events = read(&payloads, &receipt.written);
                let places = receipt.written.places.clone();
                (receipt, looking(events, Some(places)).await)
            }
            // Before the stream can have brought them: what is published then is without them, but
            // for copies that came before.
            false => {
                let written = Written {
                    places: vec![Written::NOWHERE; payloads.len()],
                    at: self.lookup.now(),
                };
                let told = looking(read(&payloads, &written), None).await;
                (self.accept(source, payloads, durability).await?, told)
            }
        };
        Ok(PushedAndGot {
            receipt,
            answer,
            refused,
        })
    }

    /// The answer, and what is said of events that do not count.
    fn told(
        &self,
        source: &Source,
        events: &PushedEvents,
        looked: Result<(proto::GetOnlineFeaturesResponse, Late), Error>,
    ) -> (
        Result<proto::GetOnlineFeaturesResponse, Error>,
        Vec<proto::RefusedEvent>,
    ) {
        let event = |index: usize, view: &str, reason: &str, message: String| proto::RefusedEvent {
            index: index as u32,
            view: view.to_owned(),
            reason: reason.to_owned(),
            message,
        };
        let mut refused = Vec::new();
        for (index, record) in events.records.iter().enumerate() {
            match record {
                PushedRecord::Event(_) => {}
                PushedRecord::Dropped => {
                    let message = "a check of the source sends it away".to_owned();
                    refused.push(event(index, "", "dropped", message));
                }
                PushedRecord::Refused(reason, detail) => {
                    refused.push(event(index, "", reason.name(), detail.clone()));
                }
            }
        }
        for failure in &events.failures {
            let mut views = self.plan.views.iter();
            let view = views.find(|view| view.id == failure.view);
            let view = view.map_or("", |view| view.name.as_str());
            let (reason, detail) = (failure.reason.name(), failure.detail.clone());
            refused.push(event(failure.record, view, reason, detail));
        }
        let (answer, late) = match looked {
            Ok((answer, late)) => (Ok(answer), late),
            Err(error) => (Err(error), Late::new()),
        };
        for (index, clock) in late {
            let message = format!(
                "the stream clock is {clock}; allowed_lateness is {}",
                source.allowed_lateness
            );
            refused.push(event(index, "", Reason::TooLate.name(), message));
        }
        (answer, refused)
    }
}

impl From<PushedAndGot> for proto::PushAndGetResponse {
    fn from(done: PushedAndGot) -> proto::PushAndGetResponse {
        use proto::push_and_get_response::Answer;
        let answer = match done.answer {
            Ok(features) => Answer::Features(features),
            Err(error) => Answer::Error(error.into()),
        };
        proto::PushAndGetResponse {
            push: Some(done.receipt.into()),
            answer: Some(answer),
            refused: done.refused,
        }
    }
}
