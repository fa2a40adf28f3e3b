//! Where sources and outputs are written, for what is found wrong with them from outside: by a schema
//! file, Kafka or a registry.

use crate::report::diagnostic;
use crate::source::Draft;
use crate::text::Place;
use crate::view;
use crate::{Code, Diagnostic, SourceFile};
use std::collections::BTreeMap;
use std::ops::Range;

/// The places of sources and their columns, and of views' outputs, in the definition files.
#[derive(Clone, Debug, Default)]
pub struct Places {
    sources: BTreeMap<String, Written>,
    feeds: BTreeMap<String, Place>,
}

#[derive(Clone, Debug)]
struct Written {
    format: Place,
    columns: Vec<(String, Place)>,
}

impl Places {
    pub(crate) fn of<'a>(
        drafts: impl Iterator<Item = &'a Draft>,
        views: impl Iterator<Item = &'a view::Draft>,
    ) -> Places {
        let written = |draft: &Draft| {
            let names = draft.scope.iter().map(|(name, _)| name.clone());
            let columns = names.zip(draft.places.iter().copied()).collect();
            let format = draft.place;
            (draft.source.name.clone(), Written { format, columns })
        };
        let feed = |view: &view::Draft| Some((view.name.clone(), view.feed.as_ref()?.1));
        Places {
            sources: drafts.map(written).collect(),
            feeds: views.filter_map(feed).collect(),
        }
    }

    /// The names of a source's declared columns, in their order.
    pub fn columns(&self, source: &str) -> impl Iterator<Item = &str> {
        let columns = self.sources.get(source).map(|written| &written.columns);
        columns.into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// A finding about a source's column (an index into the declared ones), or about its format.
    /// `files` are those that the definitions were loaded from.
    #[must_use]
    pub fn finding(
        &self,
        files: &[SourceFile],
        source: &str,
        column: Option<usize>,
        code: Code,
        message: String,
        help: Option<String>,
    ) -> Diagnostic {
        let written = self.sources.get(source);
        let place = written.map(|written| {
            let column = column.and_then(|column| written.columns.get(column));
            column.map_or(written.format, |(_, place)| *place)
        });
        diagnostic(files, place.unwrap_or_default(), code, message, help)
    }

    /// A finding about some bytes of a SQL view's query, which is `written`, or about all of it.
    #[must_use]
    pub fn query_finding(
        &self,
        files: &[SourceFile],
        view: &str,
        (written, part): (&str, Option<Range<usize>>),
        code: Code,
        message: String,
        help: Option<String>,
    ) -> Diagnostic {
        let place = self.sources.get(view).map(|written| written.format);
        let mut place = place.unwrap_or_default();
        if let Some((part, file)) = part.zip(files.get(place.file as usize)) {
            place = place.within(file, written, part);
        }
        diagnostic(files, place, code, message, help)
    }

    /// A finding about the topic that a view's values go to.
    #[must_use]
    pub fn feed_finding(
        &self,
        files: &[SourceFile],
        view: &str,
        code: Code,
        message: String,
        help: Option<String>,
    ) -> Diagnostic {
        let place = self.feeds.get(view).copied();
        diagnostic(files, place.unwrap_or_default(), code, message, help)
    }
}

/// A finding at a place of the files that the definitions were loaded from.
#[must_use]
pub fn finding(
    files: &[SourceFile],
    place: Place,
    code: Code,
    message: String,
    help: Option<String>,
) -> Diagnostic {
    diagnostic(files, place, code, message, help)
}
