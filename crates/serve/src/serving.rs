//! What every door leads to: lookups, pushes and the catalogue, within bounds.

use crate::lookup::{Ask, Looked};
use crate::page::Page;
use crate::push::{Durability, Push, PushErrorKind, PushReceipt};
use crate::traffic::{Tally, Traffic};
use crate::{Caller, Error, Kind, Lookup, Prepared, Request, Selection, nearest, proto};
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiderace_plan::model::Plan;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Everything that a server can be asked, whatever the protocol.
pub struct Serving {
    plan: Arc<Plan>,
    lookup: Lookup,
    push: Option<Arc<dyn Push>>,
    catalogue: proto::GetCatalogueResponse,
    in_flight: Semaphore,
    timeout: Duration,
    traffic: Traffic,
}

impl Serving {
    /// Puts the parts together: at most `concurrency` calls at once, each within `timeout`.
    #[must_use]
    pub fn new(
        plan: Arc<Plan>,
        lookup: Lookup,
        push: Option<Arc<dyn Push>>,
        concurrency: usize,
        timeout: Duration,
    ) -> Serving {
        Serving {
            catalogue: crate::catalogue(&plan),
            traffic: Traffic::of(&plan),
            plan,
            lookup,
            push,
            in_flight: Semaphore::new(concurrency.min(Semaphore::MAX_PERMITS)),
            timeout,
        }
    }

    /// Looks features up.
    ///
    /// # Errors
    /// As [`Lookup::get`]; [`Kind::TooMuch`] and [`Kind::Deadline`] past the bounds; [`Kind::Forbidden`] for
    /// a caller who may not.
    pub async fn get(
        &self,
        caller: &Caller,
        request: Request,
    ) -> Result<proto::GetOnlineFeaturesResponse, Error> {
        let began = Instant::now();
        let service = match &request.selection {
            Selection::Service(name) => Some(name.clone()),
            Selection::Features(_) => None,
        };
        let admitted = caller.may_read(&request.selection);
        let answer = match admitted.and_then(|()| self.admit()) {
            Ok(_permit) => self.within(self.lookup.get(request)).await,
            Err(refused) => Err(refused),
        };
        let tally = answer.as_ref().map(Tally::of_response);
        let tally = tally.map_err(Error::clone);
        self.traffic
            .looked_up(service.as_deref(), &tally, began.elapsed());
        answer
    }

    /// Gives events to a source.
    ///
    /// # Errors
    /// For a caller who may not, an unknown source, an empty or oversized push, and whatever the [`Push`]
    /// says.
    pub async fn push(
        &self,
        caller: &Caller,
        source: &str,
        payloads: Vec<Bytes>,
        durability: Durability,
    ) -> Result<PushReceipt, Error> {
        let receipt = match caller.may_push(source) {
            Ok(()) => self.give(source, payloads, durability).await,
            Err(refused) => Err(refused),
        };
        let count = receipt.as_ref().map(|receipt| receipt.count);
        self.traffic.pushed(source, &count.map_err(Error::clone));
        receipt
    }

    async fn give(
        &self,
        source: &str,
        payloads: Vec<Bytes>,
        durability: Durability,
    ) -> Result<PushReceipt, Error> {
        let _permit = self.admit()?;
        self.check(source, &payloads)?;
        let Some(push) = &self.push else {
            return Err(Error::new(
                Kind::Unsupported,
                format!("source {source:?}: this server takes no events; push to a worker"),
            ));
        };
        let pushed = async { Ok(push.push(source, payloads, durability).await) };
        self.within(pushed).await?.map_err(|error| {
            let kind = match error.kind {
                PushErrorKind::Invalid => Kind::Invalid,
                PushErrorKind::Unsupported => Kind::Unsupported,
                PushErrorKind::Unavailable => Kind::Unavailable,
                PushErrorKind::TooMuch => Kind::TooMuch,
                PushErrorKind::Bug => Kind::Bug,
            };
            Error::new(kind, error.message)
        })
    }

    /// Lets a call in that is not made of a [`Request`]; it is in flight as long as that is kept.
    ///
    /// # Errors
    /// [`Kind::TooMuch`] past the bound.
    pub(crate) fn admit(&self) -> Result<SemaphorePermit<'_>, Error> {
        // Past the bound calls are shed, not queued: a queue would only make every answer late.
        self.in_flight.try_acquire().map_err(|_| {
            Error::new(
                Kind::TooMuch,
                "too many calls at once; try again a little later",
            )
        })
    }

    /// Answers what is asked of a prepared selection, for who has been let in.
    ///
    /// # Errors
    /// As [`Serving::get`].
    pub(crate) async fn look(&self, prepared: &Prepared, ask: Ask<'_>) -> Result<Looked, Error> {
        let began = Instant::now();
        let looked = self.within(self.lookup.look(prepared, ask)).await;
        let tally = looked.as_ref().map(|looked| {
            Tally::of(looked.rows.iter().map(|row| {
                let values = row.values.iter();
                values.map(|judged| (judged.status.into(), judged.flags))
            }))
        });
        let tally = tally.map_err(Error::clone);
        self.traffic
            .looked_up(prepared.service.as_deref(), &tally, began.elapsed());
        looked
    }

    /// What is asked, counted.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// What lookups are answered by.
    pub(crate) fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// Writes what lookups and pushes have counted.
    pub(crate) fn metrics(&self, page: &mut Page) {
        self.traffic.metrics(page);
        self.lookup.recent().metrics(page);
    }

    /// What is served.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Finds or makes the prepared form of a selection.
    ///
    /// # Errors
    /// As [`Lookup::prepared`].
    pub(crate) fn prepared(&self, selection: &Selection) -> Result<Arc<Prepared>, Error> {
        self.lookup.prepared(selection)
    }

    /// Lists what there is; of it, to a caller who does not administer, what it may ask for.
    #[must_use]
    pub fn catalogue(&self, caller: &Caller) -> Cow<'_, proto::GetCatalogueResponse> {
        match caller.has(|rights| rights.admin) {
            true => Cow::Borrowed(&self.catalogue),
            false => Cow::Owned(crate::catalogue::allowed(&self.catalogue, caller)),
        }
    }

    /// Tells whether lookups can be answered.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] with the reason why not.
    pub fn ready(&self) -> Result<(), Error> {
        self.lookup.ready()
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                Kind::Deadline,
                format!("no answer within {} ms", self.timeout.as_millis()),
            )),
        }
    }

    fn check(&self, name: &str, payloads: &[Bytes]) -> Result<(), Error> {
        let Some(source) = self.plan.sources.iter().find(|source| source.name == name) else {
            let known = self.plan.sources.iter().map(|source| source.name.as_str());
            let hint = nearest::hint(name, known);
            return Err(Error::not_found(format!("unknown source {name:?}{hint}")));
        };
        if payloads.is_empty() {
            return Err(Error::invalid(format!(
                "source {name:?}: nothing is pushed; send at least one event"
            )));
        }
        let most = source.max_record_bytes;
        match payloads.iter().position(|payload| payload.len() > most) {
            Some(place) => Err(Error::invalid(format!(
                "source {name:?} event {place}: {} bytes are too many; at most {most}",
                payloads[place].len()
            ))),
            None => Ok(()),
        }
    }
}
