//! The names in an expression, checked against what there is, and written in one way.
//!
//! Done on the syntax tree, before planning, because only there is the place of
//! every name known.

use crate::functions::functions;
use crate::syntax::bytes_of;
use crate::{Error, Now, nearest};
use datafusion_expr::Volatility;
use datafusion_sql::sqlparser::ast::{
    Expr, Function, Ident, ObjectNamePart, Query, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// The columns that the expression names, as indices into `columns`, ascending.
///
/// Leaves every name in the tree in its one spelling, so that equal trees print equally.
pub(crate) fn resolve(
    sql: &str,
    tree: &mut Expr,
    columns: &[&str],
    now: Now,
) -> Result<Vec<usize>, Error> {
    let mut names = Names {
        sql,
        columns,
        now,
        used: BTreeSet::new(),
    };
    match tree.visit(&mut names) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(names.used.into_iter().collect()),
    }
}

struct Names<'a> {
    sql: &'a str,
    columns: &'a [&'a str],
    now: Now,
    used: BTreeSet<usize>,
}

impl VisitorMut for Names<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        ControlFlow::Break(
            Error::whole("a query is not allowed in an expression")
                .help("an expression sees one row at a time"),
        )
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let checked = match expr {
            Expr::Identifier(ident) => self.column(ident),
            Expr::CompoundIdentifier(parts) => Err(self.dotted(parts)),
            Expr::Function(function) => self.function(function),
            Expr::Wildcard(_) | Expr::QualifiedWildcard(_, _) => {
                Err(Error::whole("`*` is not allowed in an expression"))
            }
            _ => Ok(()),
        };
        match checked {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<Error> {
        match &value.value {
            Value::Placeholder(name) => ControlFlow::Break(Error::at(
                bytes_of(self.sql, value.span),
                format!("`{name}` is a placeholder; an expression has no parameters"),
            )),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Names<'_> {
    fn column(&mut self, ident: &mut Ident) -> Result<(), Error> {
        one_spelling(ident);
        match self.columns.iter().position(|name| *name == ident.value) {
            Some(index) => {
                self.used.insert(index);
                Ok(())
            }
            None => Err(self.unknown_column(ident)),
        }
    }

    fn unknown_column(&self, ident: &Ident) -> Error {
        let name = &ident.value;
        let error = Error::at(
            bytes_of(self.sql, ident.span),
            format!("unknown column `{name}`"),
        );
        if ident.quote_style == Some('"') {
            return error.help(format!("text is written with single quotes: '{name}'"));
        }
        match nearest(name, self.columns.iter().copied()) {
            Some(meant) => error.help(format!("did you mean `{meant}`?")),
            None if self.columns.is_empty() => error.help("there are no columns here"),
            None => error.help(format!("the columns are {}", listed(self.columns))),
        }
    }

    fn dotted(&self, parts: &[Ident]) -> Error {
        let text: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
        let span = parts.first().and_then(|part| bytes_of(self.sql, part.span));
        Error::at(span, format!("`{}` is not a column", text.join(".")))
            .help("columns have plain names; a nested field is declared as a column with a `path`")
    }

    fn function(&self, function: &mut Function) -> Result<(), Error> {
        let [ObjectNamePart::Identifier(ident)] = function.name.0.as_mut_slice() else {
            return Err(Error::whole(format!(
                "unknown function `{}`",
                function.name
            )));
        };
        one_spelling(ident);
        let name = ident.value.as_str();
        let span = bytes_of(self.sql, ident.span);
        if function.over.is_some() {
            return Err(
                Error::at(span, format!("`{name}` over a window is not allowed here"))
                    .help("windows belong to features: `windows: [7d]`"),
            );
        }
        match functions().get(name) {
            None if AGGREGATES.contains(&name) => Err(Error::at(
                span,
                format!("aggregate `{name}` is not allowed in an expression"),
            )
            .help("an expression sees one row at a time; aggregates belong to features")),
            None => Err(unknown_function(span, name)),
            Some(found) => self.allowed(span, name, found.signature().volatility),
        }
    }

    fn allowed(
        &self,
        span: Option<std::ops::Range<usize>>,
        name: &str,
        volatility: Volatility,
    ) -> Result<(), Error> {
        match (volatility, self.now) {
            (Volatility::Volatile, _) => Err(Error::at(
                span,
                format!("`{name}` is not allowed: the same event must always give the same answer"),
            )),
            (Volatility::Stable, _) if name == "current_time" => Err(Error::at(
                span,
                "`current_time` is not allowed: there is no type for a time of day",
            )
            .help("use `now()`")),
            (Volatility::Stable, Now::Refused) => Err(Error::at(
                span,
                format!("`{name}` is not allowed here: an event has no now"),
            )
            .help("use the event time column, or an on-demand feature")),
            _ => Ok(()),
        }
    }
}

fn unknown_function(span: Option<std::ops::Range<usize>>, name: &str) -> Error {
    let error = Error::at(span, format!("unknown function `{name}`"));
    match nearest(name, functions().names_of(Volatility::Immutable)) {
        Some(meant) => error.help(format!("did you mean `{meant}`?")),
        None => error.help("the scalar functions of DataFusion are available"),
    }
}

/// SQL's rule: a name without quotes is in small letters.
fn one_spelling(ident: &mut Ident) {
    if ident.quote_style.is_none() {
        ident.value = ident.value.to_lowercase();
    }
}

fn listed(names: &[&str]) -> String {
    const MOST: usize = 12;
    let mut text: Vec<String> = names.iter().take(MOST).map(|n| format!("`{n}`")).collect();
    if names.len() > MOST {
        text.push(format!("and {} more", names.len() - MOST));
    }
    text.join(", ")
}

/// Names that people try, so that the message can say why not.
const AGGREGATES: [&str; 22] = [
    "approx_distinct",
    "array_agg",
    "avg",
    "count",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "max",
    "mean",
    "median",
    "min",
    "nth_value",
    "rank",
    "row_number",
    "stddev",
    "stddev_pop",
    "string_agg",
    "sum",
    "var",
    "var_pop",
    "variance",
];
