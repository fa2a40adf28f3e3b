//! What every door leads to: lookups, pushes and the catalogue, within bounds.

mod push_and_get;

pub use push_and_get::{PushAndGet, PushedAndGot};

use crate::connections::{self, Connections};
use crate::lookup::{Ask, Form, Looked};
use crate::page::Page;
use crate::push::{Durability, Push, PushErrorKind, PushReceipt};
use crate::traffic::{OK, Tally, Traffic};
use crate::{Caller, Error, Kind, Lookup, Prepared, Request, Selection, deadline, nearest, proto};
use bytes::Bytes;
use std::borrow::Cow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiderace_plan::model::{Plan, Source};
use tiderace_trace::Kind::Server;
use tiderace_trace::{Span, Tracer, within};
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
    tracer: Tracer,
    doors: Vec<Arc<Connections>>,
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
            tracer: Tracer::off(),
            doors: Vec::new(),
        }
    }

    /// Tells what doors have counted among the rest.
    #[must_use]
    pub(crate) fn with_doors(self, doors: Vec<Arc<Connections>>) -> Serving {
        Serving { doors, ..self }
    }

    /// Has spans made of what is asked.
    #[must_use]
    pub fn with_tracer(self, tracer: Tracer) -> Serving {
        Serving { tracer, ..self }
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
        let got = self.get_as::<proto::GetOnlineFeaturesResponse>(caller, request);
        got.await
    }

    /// As [`Serving::get`], in a form of the caller's.
    pub(crate) async fn get_as<F: Form>(
        &self,
        caller: &Caller,
        request: Request,
    ) -> Result<F::Made, Error> {
        let began = Instant::now();
        let service = match &request.selection {
            Selection::Service(name) => Some(name.as_str()),
            Selection::Features(_) => None,
        };
        let mut span = self.tracer.begin("lookup", Server, caller.trace);
        let admitted = caller.may_read(&request.selection);
        let got = match admitted.and_then(|()| self.admit()) {
            Ok(_permit) => {
                let looking = pin!(self.lookup.get_as::<F>(&request, None));
                within(&span, self.within(looking)).await
            }
            Err(refused) => Err(refused),
        };
        if span.is_recorded() {
            let rows = got.as_ref().map(|got| (got.tally.rows(), got.width));
            note_lookup(&mut span, service, rows);
        }
        let tally = got.as_ref().map(|got| got.tally);
        self.traffic
            .looked_up(service, &tally.map_err(Error::clone), began.elapsed());
        Ok(got?.answer)
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
        let mut span = self.tracer.begin("push", Server, caller.trace);
        span.note("tiderace.events", payloads.len());
        let receipt = match caller.may_push(source) {
            Ok(()) => within(&span, self.give(source, payloads, durability)).await,
            Err(refused) => Err(refused),
        };
        if span.is_recorded() {
            // What is asked for is a name of the plan only where the plan has it.
            if self.source(source).is_ok() {
                span.note("tiderace.source", source);
            }
            note_end(&mut span, receipt.as_ref().err());
        }
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
        let source = self.check(source, &payloads)?;
        self.accept(source, payloads, durability).await
    }

    /// Has events accepted that are in order as far as bounds go.
    async fn accept(
        &self,
        source: &Source,
        payloads: Vec<Bytes>,
        durability: Durability,
    ) -> Result<PushReceipt, Error> {
        let Some(push) = &self.push else {
            return Err(self.takes_none(&source.name));
        };
        let pushed = pin!(async { Ok(push.push(&source.name, payloads, durability).await) });
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

    /// What is said where nothing can be pushed to a source.
    fn takes_none(&self, source: &str) -> Error {
        let message = match self.push {
            Some(_) => format!("source {source:?} takes no pushed events in this process"),
            None => format!("source {source:?}: this server takes no events; push to a worker"),
        };
        Error::new(Kind::Unsupported, message)
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
    pub(crate) async fn look(
        &self,
        caller: &Caller,
        prepared: &Prepared,
        ask: Ask<'_>,
    ) -> Result<Looked, Error> {
        let began = Instant::now();
        let mut span = self.tracer.begin("lookup", Server, caller.trace);
        let looking = pin!(self.lookup.look(prepared, ask));
        let looked = within(&span, self.within(looking)).await;
        if span.is_recorded() {
            let rows = looked.as_ref();
            let rows = rows.map(|looked| (looked.rows.len(), prepared.width()));
            note_lookup(&mut span, prepared.service.as_deref(), rows);
        }
        let tally = looked.as_ref().map(Tally::of_looked);
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

    /// Writes what lookups, pushes and doors have counted.
    pub(crate) fn metrics(&self, page: &mut Page) {
        self.traffic.metrics(page);
        connections::metrics(&self.doors, page);
        self.lookup.recent().metrics(page);
        if let Some(near) = self.lookup.near() {
            near.metrics(page);
        }
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

    async fn within<T>(
        &self,
        call: Pin<&mut impl Future<Output = Result<T, Error>>>,
    ) -> Result<T, Error> {
        let ended = deadline::within(self.timeout, call).await;
        ended.unwrap_or_else(|| Err(deadline::passed(self.timeout)))
    }

    fn source(&self, name: &str) -> Result<&Source, Error> {
        let mut sources = self.plan.sources.iter();
        let source = sources.find(|source| source.name == name);
        source.map(|source| &**source).ok_or_else(|| {
            let known = self.plan.sources.iter().map(|source| source.name.as_str());
            let hint = nearest::hint(name, known);
            Error::not_found(format!("unknown source {name:?}{hint}"))
        })
    }

    /// The source of a push that is in order as far as bounds go.
    fn check(&self, name: &str, payloads: &[Bytes]) -> Result<&Source, Error> {
        let source = self.source(name)?;
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
            None => Ok(source),
        }
    }
}

/// Notes what a lookup was of: how many rows and features, and how it ended.
fn note_lookup(span: &mut Span, service: Option<&str>, rows: Result<(usize, usize), &Error>) {
    match (&rows, service) {
        // A name that there is not is whatever a caller sent.
        (Err(error), Some(_)) if error.kind() == Kind::NotFound => {}
        (_, Some(service)) => span.note("tiderace.service", service),
        (_, None) => span.note("tiderace.service", "(features)"),
    }
    if let Ok((rows, features)) = rows {
        span.note("tiderace.rows", rows);
        span.note("tiderace.features", features);
    }
    note_end(span, rows.err());
}

/// Notes the code that a call ended with.
fn note_end(span: &mut Span, error: Option<&Error>) {
    let code = error.map_or(OK, |error| error.kind().code());
    span.note("tiderace.code", code);
    if error.is_some() {
        span.fail(code);
    }
}
