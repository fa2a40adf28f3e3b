//! Whole queries: one `SELECT` over named tables, parsed here and planned where the tables are.

use crate::{Error, compile, syntax};
use datafusion_common::{DataFusionError, SchemaError, TableReference};
use datafusion_sql::parser::{DFParser, Statement};
use datafusion_sql::resolve::resolve_table_references;
use datafusion_sql::sqlparser::ast;
use datafusion_sql::sqlparser::tokenizer::{Location, Span};
use std::ops::Range;

/// A table that a query names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// Where it is, as bytes of the text, where that is clear.
    pub span: Option<Range<usize>>,
}

/// The tables that a query reads, by name.
///
/// # Errors
/// Where the text is not one `SELECT`, and where a table has a name of several parts.
pub fn tables_of_query(sql: &str) -> Result<Vec<Named>, Error> {
    let statement = parsed(sql)?;
    let resolved = resolve_table_references(&statement, true);
    let (tables, _) = resolved.map_err(|error| query_error(sql, &error))?;
    tables
        .into_iter()
        .map(|table| {
            let span = word(sql, table.table());
            match table {
                TableReference::Bare { table } => Ok(Named {
                    name: table.to_string(),
                    span,
                }),
                other => Err(Error::at(
                    span,
                    format!("`{other}`: a table's name has one part, as it stands in `tables`"),
                )),
            }
        })
        .collect()
}

/// The one statement of a text, which must be a query.
fn parsed(sql: &str) -> Result<Statement, Error> {
    if sql.trim().is_empty() {
        return Err(Error::whole("the query is empty"));
    }
    let statements = DFParser::parse_sql(sql).map_err(|error| syntax::syntax_error(sql, &error))?;
    let mut statements = statements.into_iter();
    let (Some(statement), None) = (statements.next(), statements.next()) else {
        return Err(Error::whole("there is more than one statement"));
    };
    let is_query = match &statement {
        Statement::Statement(inner) => match inner.as_ref() {
            ast::Statement::Query(query) => reads_only(query),
            _ => false,
        },
        _ => false,
    };
    match is_query {
        true => Ok(statement),
        false => Err(Error::whole("this is not a query that only reads")
            .help("expected one `SELECT …` or `WITH … SELECT …`")),
    }
}

/// Whether what a query is made of only reads.
fn reads_only(query: &ast::Query) -> bool {
    fn of(body: &ast::SetExpr) -> bool {
        match body {
            ast::SetExpr::Select(select) => select.into.is_none(),
            ast::SetExpr::Query(query) => reads_only(query),
            ast::SetExpr::SetOperation { left, right, .. } => of(left) && of(right),
            ast::SetExpr::Values(_) | ast::SetExpr::Table(_) => true,
            _ => false,
        }
    }
    let within = query.with.iter().flat_map(|with| &with.cte_tables);
    of(&query.body) && within.into_iter().all(|cte| reads_only(&cte.query))
}

/// What a planner has against a query, with its place in the text where that is known.
#[must_use]
pub fn query_error(sql: &str, error: &DataFusionError) -> Error {
    let root = error.find_root();
    if let DataFusionError::SQL(..) = root {
        return syntax::syntax_error(sql, error);
    }
    let span = error.diagnostic().and_then(|found| found.span);
    let span = span.and_then(|span| {
        let place = |at: datafusion_common::Location| Location {
            line: at.line,
            column: at.column,
        };
        syntax::bytes_of(sql, Span::new(place(span.start), place(span.end)))
    });
    if let DataFusionError::SchemaError(inner, _) = root
        && let SchemaError::FieldNotFound {
            field,
            valid_fields,
        } = inner.as_ref()
    {
        let names = valid_fields.iter().map(|column| column.name.as_str());
        let names: Vec<&str> = names.collect();
        let message = format!("unknown column `{}`", field.quoted_flat_name());
        let span = span.or_else(|| word(sql, &field.name));
        let help = match crate::nearest(&field.name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the columns here are {}", listed(&names)),
        };
        return Error::at(span, message).help(help);
    }
    let message = compile::plain_message(error);
    // "Invalid function 'frist'.\nDid you mean 'first_value'?" says which word it is about.
    let named = message.split('\'').nth(1);
    let span = span.or_else(|| named.and_then(|name| word(sql, name)));
    Error::at(span, message)
}

/// The place of a name that stands once in a text as a word of its own; of several the first.
#[must_use]
pub fn word(sql: &str, name: &str) -> Option<Range<usize>> {
    if name.is_empty() {
        return None;
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let lower = sql.to_ascii_lowercase();
    let name = name.to_ascii_lowercase();
    let mut places = lower
        .match_indices(&name)
        .map(|(at, found)| at..at + found.len());
    places.find(|place| {
        let before = lower[..place.start].chars().next_back();
        let after = lower[place.end..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

fn listed(names: &[&str]) -> String {
    const MOST: usize = 16;
    let named = names.iter().take(MOST).map(|name| format!("`{name}`"));
    let named: Vec<String> = named.collect();
    match names.len() > MOST {
        true => format!("{} and {} more", named.join(", "), names.len() - MOST),
        false => named.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expect: &str) {
        let said = match tables_of_query(sql) {
            Ok(tables) => {
                let names = tables.into_iter().map(|table| table.name);
                names.collect::<Vec<_>>().join(" ")
            }
            Err(error) => {
                let place = error.span.map(|span| sql[span].to_owned());
                format!("{}: {}", place.unwrap_or_default(), error.message)
            }
        };
        assert_eq!(said, expect, "{sql}");
    }

    #[test]
    fn the_tables_of_a_query_are_known() {
        check("SELECT a FROM t JOIN u ON t.a = u.a", "t u");
        check("WITH x AS (SELECT * FROM t) SELECT * FROM x", "t");
        check("SELECT a FROM t WHERE a IN (SELECT a FROM U)", "t u");
        check("SELECT 1", "");
        check("SELECT a FROM t UNION ALL SELECT a FROM u;", "t u");
    }

    #[test]
    fn what_is_no_query_is_refused() {
        check("", ": the query is empty");
        check("SELECT (a FROM t", "FROM: expected `)`, found `FROM`");
        check("SELECT 1; SELECT 2", ": there is more than one statement");
        for sql in [
            "DROP TABLE t",
            "INSERT INTO t SELECT 1",
            "COPY t TO 'x.parquet'",
            "EXPLAIN SELECT 1",
            "SET x = 1",
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        ] {
            check(sql, ": this is not a query that only reads");
        }
        check(
            "SELECT a FROM lake.t",
            "t: `lake.t`: a table's name has one part, as it stands in `tables`",
        );
    }
}
