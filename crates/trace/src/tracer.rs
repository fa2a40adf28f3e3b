//! Where spans begin, and where they go when they end.

use crate::{Context, Kind, Sampler, Span, proto};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// Begins spans. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Tracer(pub(crate) Option<Arc<Inner>>);

/// What became of spans, since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The collector has them.
    pub exported: u64,
    /// The queue had no room for them.
    pub dropped: u64,
    /// The collector was away, or refused them.
    pub failed: u64,
}

#[derive(Debug)]
pub(crate) struct Inner {
    sampler: Sampler,
    queue: mpsc::Sender<proto::Span>,
    pub(crate) exported: AtomicU64,
    dropped: AtomicU64,
    pub(crate) failed: AtomicU64,
}

impl Tracer {
    /// One that makes no spans.
    #[must_use]
    pub fn off() -> Tracer {
        Tracer(None)
    }

    pub(crate) fn to(queue: mpsc::Sender<proto::Span>, sampler: Sampler) -> Tracer {
        Tracer(Some(Arc::new(Inner {
            sampler,
            queue,
            exported: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })))
    }

    /// Whether any span is made.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a span that a caller has asked for, or that begins a trace of its own.
    #[must_use]
    pub fn begin(&self, name: &'static str, kind: Kind, parent: Option<Context>) -> Span {
        let Some(inner) = &self.0 else {
            return Span::none();
        };
        let trace = parent.map_or_else(|| rand::random::<u128>().max(1), |parent| parent.trace);
        if !inner.sampler.takes(trace, parent) {
            return Span::none();
        }
        let context = Context {
            trace,
            span: rand::random::<u64>().max(1),
            sampled: true,
        };
        Span::begin(inner, name, kind, context, parent.map(|parent| parent.span))
    }

    /// Begins a part of a span that is recorded elsewhere in this process.
    #[must_use]
    pub fn go_on(&self, name: &'static str, kind: Kind, with: Option<Context>) -> Span {
        match (&self.0, with) {
            (Some(inner), Some(context)) => Inner::child(inner, name, kind, context),
            _ => Span::none(),
        }
    }

    /// What became of spans; `None` where none are made.
    #[must_use]
    pub fn counts(&self) -> Option<Counts> {
        let inner = self.0.as_ref()?;
        Some(Counts {
            exported: inner.exported.load(Ordering::Relaxed),
            dropped: inner.dropped.load(Ordering::Relaxed),
            failed: inner.failed.load(Ordering::Relaxed),
        })
    }
}

impl Inner {
    pub(crate) fn child(
        tracer: &Arc<Inner>,
        name: &'static str,
        kind: Kind,
        parent: Context,
    ) -> Span {
        let context = Context {
            span: rand::random::<u64>().max(1),
            ..parent
        };
        Span::begin(tracer, name, kind, context, Some(parent.span))
    }

    /// Takes a span that has ended, if there is room.
    pub(crate) fn ended(&self, span: proto::Span) {
        if self.queue.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
