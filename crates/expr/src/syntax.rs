//! Text to syntax tree, and places in the tree back to bytes of the text.

use crate::Error;
use datafusion_common::DataFusionError;
use datafusion_sql::parser::DFParser;
use datafusion_sql::sqlparser::ast::Expr;
use datafusion_sql::sqlparser::parser::ParserError;
use datafusion_sql::sqlparser::tokenizer::{Location, Span};
use std::ops::Range;

/// Parses one expression and nothing after it.
pub(crate) fn parse(sql: &str) -> Result<Expr, Error> {
    if sql.trim().is_empty() {
        return Err(Error::whole("the expression is empty"));
    }
    let parsed = DFParser::parse_sql_into_expr(sql).map_err(|error| syntax_error(sql, &error))?;
    if let Some(alias) = parsed.alias {
        return Err(Error::at(
            bytes_of(sql, alias.span),
            format!(
                "`{}` names the result; an expression has no alias",
                alias.value
            ),
        ));
    }
    Ok(parsed.expr)
}

/// The bytes of a span; `None` when the parser gave none.
pub(crate) fn bytes_of(sql: &str, span: Span) -> Option<Range<usize>> {
    let start = byte_of(sql, span.start)?;
    let end = byte_of(sql, span.end)?;
    (start < end).then_some(start..end)
}

/// The byte of a place counted in lines and characters from 1.
fn byte_of(sql: &str, place: Location) -> Option<usize> {
    let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
    let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
    let mut start = 0;
    for (number, text) in sql.split_inclusive('\n').enumerate() {
        if number == line {
            let within = text.char_indices().nth(column).map(|(byte, _)| byte);
            return Some(start + within.unwrap_or(text.len()));
        }
        start += text.len();
    }
    None
}

pub(crate) fn syntax_error(sql: &str, error: &DataFusionError) -> Error {
    let DataFusionError::SQL(parser_error, _) = error.find_root() else {
        return Error::whole(crate::compile::plain_message(error));
    };
    let text = match parser_error.as_ref() {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => return Error::whole("the expression is too deep"),
    };
    let (message, place) = split_place(text);
    let start = match place {
        Some(place) => byte_of(sql, place),
        None => message.ends_with("found: EOF").then_some(sql.len()),
    };
    Error::at(start.map(|start| token_at(sql, start)), readable(message))
}

/// Splits "…, found: x at Line: 1, Column: 5" into the message and the place.
fn split_place(text: &str) -> (&str, Option<Location>) {
    let Some((message, place)) = text.rsplit_once(" at Line: ") else {
        return (text, None);
    };
    let Some((line, column)) = place.split_once(", Column: ") else {
        return (text, None);
    };
    match (line.trim().parse(), column.trim().parse()) {
        (Ok(line), Ok(column)) => (message, Some(Location { line, column })),
        _ => (text, None),
    }
}

/// "Expected: an expression, found: )" as "expected an expression, found `)`".
fn readable(message: &str) -> String {
    match message
        .strip_prefix("Expected: ")
        .and_then(|rest| rest.rsplit_once(", found: "))
    {
        Some((expected, found)) => {
            let sign = expected.chars().all(|c| c.is_ascii_punctuation());
            let expected = if sign {
                format!("`{expected}`")
            } else {
                expected.to_owned()
            };
            match found {
                "EOF" => format!("expected {expected}, found the end"),
                found => format!("expected {expected}, found `{found}`"),
            }
        }
        None => lower_first(message),
    }
}

/// The bytes of the word or sign that starts at `start`, or the last byte at the end.
fn token_at(sql: &str, start: usize) -> Range<usize> {
    let Some(first) = sql[start..].chars().next() else {
        let last = sql.trim_end().char_indices().next_back();
        return last.map_or(0..sql.len(), |(at, c)| at..at + c.len_utf8());
    };
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let length = if word(first) {
        sql[start..].find(|c| !word(c)).unwrap_or(sql.len() - start)
    } else {
        first.len_utf8()
    };
    start..start + length
}

/// The text with a small first letter, unless it begins with an acronym.
pub(crate) fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), second) if !second.is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}
