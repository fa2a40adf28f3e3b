//! One thing that was done, with when it began and ended.

use crate::tracer::Inner;
use crate::{Context, proto};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work inside.
    Internal,
    /// A call that is answered.
    Server,
    /// A call that is made.
    Client,
    /// Records that are read.
    Consumer,
}

/// What an attribute may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A name or a code.
    Text(String),
    /// A count.
    Count(u64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Value {
        Value::Count(count)
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Value {
        Value::Count(count as u64)
    }
}

/// A span that has begun; it ends when it is dropped. Of a trace that is not recorded it is nothing.
#[derive(Debug, Default)]
pub struct Span(Option<Box<Begun>>);

#[derive(Debug)]
struct Begun {
    tracer: Arc<Inner>,
    context: Context,
    began: Instant,
    told: proto::Span,
}

impl Span {
    /// One of no trace.
    #[must_use]
    pub fn none() -> Span {
        Span(None)
    }

    pub(crate) fn begin(
        tracer: &Arc<Inner>,
        name: &'static str,
        kind: Kind,
        context: Context,
        parent: Option<u64>,
    ) -> Span {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = since.map_or(0, |since| since.as_nanos());
        let kind = match kind {
            Kind::Internal => proto::span::SpanKind::Internal,
            Kind::Server => proto::span::SpanKind::Server,
            Kind::Client => proto::span::SpanKind::Client,
            Kind::Consumer => proto::span::SpanKind::Consumer,
        };
        let told = proto::Span {
            trace_id: context.trace.to_be_bytes().into(),
            span_id: context.span.to_be_bytes().into(),
            parent_span_id: parent.map_or(Vec::new(), |span| span.to_be_bytes().into()),
            name: name.to_owned(),
            kind: kind.into(),
            start_time_unix_nano: u64::try_from(nanos).unwrap_or(0),
            flags: 1,
            ..proto::Span::default()
        };
        Span(Some(Box::new(Begun {
            tracer: Arc::clone(tracer),
            context,
            began: Instant::now(),
            told,
        })))
    }

    /// Whether it is recorded: what only it needs is worth finding out.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Where it stands in its trace, for those who go on with it.
    #[must_use]
    pub fn context(&self) -> Option<Context> {
        self.0.as_ref().map(|begun| begun.context)
    }

    /// Has it begin earlier than it was made.
    pub fn since(&mut self, began: Instant) {
        if let Some(begun) = &mut self.0 {
            let earlier = begun.began.saturating_duration_since(began);
            let nanos = u64::try_from(earlier.as_nanos()).unwrap_or(0);
            begun.began -= earlier;
            let start = &mut begun.told.start_time_unix_nano;
            *start = start.saturating_sub(nanos);
        }
    }

    /// Begins a part of it.
    #[must_use]
    pub fn child(&self, name: &'static str, kind: Kind) -> Span {
        match &self.0 {
            None => Span(None),
            Some(begun) => Inner::child(&begun.tracer, name, kind, begun.context),
        }
    }

    /// Notes an attribute.
    pub fn note(&mut self, key: &'static str, value: impl Into<Value>) {
        let Some(begun) = &mut self.0 else {
            return;
        };
        let value = match value.into() {
            Value::Text(text) => proto::any_value::Value::StringValue(text),
            Value::Count(count) => {
                proto::any_value::Value::IntValue(i64::try_from(count).unwrap_or(i64::MAX))
            }
        };
        begun.told.attributes.push(proto::KeyValue {
            key: key.to_owned(),
            value: Some(proto::AnyValue { value: Some(value) }),
        });
    }

    /// Notes another trace that it is of.
    pub fn link(&mut self, other: Context) {
        if let Some(begun) = &mut self.0 {
            begun.told.links.push(proto::span::Link {
                trace_id: other.trace.to_be_bytes().into(),
                span_id: other.span.to_be_bytes().into(),
            });
        }
    }

    /// Notes that it has failed, by a code and not by a message, which may quote what was sent.
    pub fn fail(&mut self, code: &str) {
        if let Some(begun) = &mut self.0 {
            begun.told.status = Some(proto::Status {
                message: code.to_owned(),
                code: proto::status::StatusCode::Error.into(),
            });
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(begun) = self.0.take() {
            let Begun {
                tracer,
                began,
                mut told,
                ..
            } = *begun;
            let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            told.end_time_unix_nano = told.start_time_unix_nano.saturating_add(nanos);
            tracer.ended(told);
        }
    }
}

tokio::task_local! {
    /// The recorded span that a task works for.
    static PRESENT: (Arc<Inner>, Context);
}

/// Does `work` for a span, of which [`child`] then makes parts.
pub async fn within<T>(span: &Span, work: impl Future<Output = T>) -> T {
    match &span.0 {
        None => work.await,
        Some(begun) => {
            let present = (Arc::clone(&begun.tracer), begun.context);
            PRESENT.scope(present, work).await
        }
    }
}

/// Begins a part of the span that this task works for; of none where it works for none.
#[must_use]
pub fn child(name: &'static str, kind: Kind) -> Span {
    let begin =
        |(tracer, context): &(Arc<Inner>, Context)| Inner::child(tracer, name, kind, *context);
    PRESENT.try_with(begin).unwrap_or_default()
}
