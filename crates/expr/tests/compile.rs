//! What compiles, to which type and columns, and what the rest is told.

use tiderace_expr::{Compiled, Error, Now, compile};
use tiderace_types::DataType;

fn columns() -> Vec<(String, DataType)> {
    let money = DataType::Decimal {
        precision: 12,
        scale: 2,
    };
    [
        ("tx_id", DataType::Int64),
        ("amount", DataType::Float64),
        ("price", money),
        ("country", DataType::String),
        ("at", DataType::Timestamp),
        ("online", DataType::Bool),
        ("raw", DataType::Bytes),
    ]
    .map(|(name, data_type)| (name.to_owned(), data_type))
    .to_vec()
}

fn compiled(sql: &str, now: Now) -> Result<Compiled, Error> {
    compile(sql, &columns(), now)
}

fn check(sql: &str, data_type: &str, used: &[usize], canonical: &str) {
    let found = compiled(sql, Now::Refused).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    assert_eq!(found.data_type().to_string(), data_type, "{sql}");
    assert_eq!(found.columns(), used, "{sql}");
    assert_eq!(found.canonical(), canonical, "{sql}");
}

/// What is wrong, the text it points at, and the help.
fn check_wrong(sql: &str, message: &str, at: Option<&str>, help: Option<&str>) {
    let error = compiled(sql, Now::Refused).expect_err(sql);
    let pointed = error.span.clone().map(|span| &sql[span]);
    let got = (error.message.as_str(), pointed, error.help.as_deref());
    assert_eq!(got, (message, at, help), "{sql}");
}

#[test]
fn expressions_have_types_columns_and_one_text() {
    check("amount", "float64", &[1], "amount");
    check("(AMOUNT)", "float64", &[1], "amount");
    check("amount>0", "bool", &[1], "amount > 0");
    check("amount  >  0", "bool", &[1], "amount > 0");
    check("tx_id + 1", "int64", &[0], "tx_id + 1");
    check("tx_id * amount", "float64", &[0, 1], "tx_id * amount");
    check("amount + tx_id", "float64", &[0, 1], "amount + tx_id");
    check("length(country)", "int64", &[3], "length(country)");
    check("UPPER(country)", "string", &[3], "upper(country)");
    check("country || 'x'", "string", &[3], "country || 'x'");
    check(
        "coalesce(amount, 0)",
        "float64",
        &[1],
        "coalesce(amount, 0)",
    );
    check("nullif(amount, 0)", "float64", &[1], "nullif(amount, 0)");
    check("abs(price)", "decimal(12, 2)", &[2], "abs(price)");
    check(
        "date_trunc('day', at)",
        "timestamp",
        &[4],
        "date_trunc('day', at)",
    );
    check("CAST(at AS DATE)", "timestamp", &[4], "CAST(at AS DATE)");
    check(
        "date_part('hour', at)",
        "int64",
        &[4],
        "date_part('hour', at)",
    );
    check(
        "online AND amount > 1",
        "bool",
        &[1, 5],
        "online AND amount > 1",
    );
    check(
        "country IN ('DE', 'FR')",
        "bool",
        &[3],
        "country IN ('DE', 'FR')",
    );
    check("country LIKE 'D%'", "bool", &[3], "country LIKE 'D%'");
    check(
        "regexp_like(country, '^D')",
        "bool",
        &[3],
        "regexp_like(country, '^D')",
    );
    check(
        "CASE WHEN online THEN amount ELSE 0 END",
        "float64",
        &[1, 5],
        "CASE WHEN online THEN amount ELSE 0 END",
    );
    check("1", "int64", &[], "1");
    check("raw", "bytes", &[6], "raw");
    check("greatest(tx_id, 3)", "int64", &[0], "greatest(tx_id, 3)");
    check("CAST(tx_id AS INT)", "int64", &[0], "CAST(tx_id AS INT)");
}

#[test]
fn what_is_wrong_is_said_in_its_place() {
    check_wrong(
        "amont > 0",
        "unknown column `amont`",
        Some("amont"),
        Some("did you mean `amount`?"),
    );
    check_wrong(
        "amount > zzz",
        "unknown column `zzz`",
        Some("zzz"),
        Some("the columns are `tx_id`, `amount`, `price`, `country`, `at`, `online`, `raw`"),
    );
    check_wrong(
        "country = \"DE\"",
        "unknown column `DE`",
        Some("\"DE\""),
        Some("text is written with single quotes: 'DE'"),
    );
    check_wrong(
        "uper(country)",
        "unknown function `uper`",
        Some("uper"),
        Some("did you mean `upper`?"),
    );
    check_wrong(
        "amount / sum(amount)",
        "aggregate `sum` is not allowed in an expression",
        Some("sum"),
        Some("an expression sees one row at a time; aggregates belong to features"),
    );
    check_wrong(
        "amount > random()",
        "`random` is not allowed: the same event must always give the same answer",
        Some("random"),
        None,
    );
    check_wrong(
        "at < now()",
        "`now` is not allowed here: an event has no now",
        Some("now"),
        Some("use the event time column, or an on-demand feature"),
    );
    check_wrong(
        "at < current_timestamp",
        "`current_timestamp` is not allowed here: an event has no now",
        Some("current_timestamp"),
        Some("use the event time column, or an on-demand feature"),
    );
    check_wrong(
        "amount > (SELECT 1)",
        "a query is not allowed in an expression",
        None,
        Some("an expression sees one row at a time"),
    );
    check_wrong(
        "lag(amount) OVER ()",
        "`lag` over a window is not allowed here",
        Some("lag"),
        Some("windows belong to features: `windows: [7d]`"),
    );
    check_wrong(
        "payment.amount",
        "`payment.amount` is not a column",
        Some("payment"),
        Some("columns have plain names; a nested field is declared as a column with a `path`"),
    );
    check_wrong(
        "amount >",
        "expected an expression, found the end",
        Some(">"),
        None,
    );
    check_wrong(
        "amount > )",
        "expected an expression, found `)`",
        Some(")"),
        None,
    );
    check_wrong(
        "amount 3",
        "expected end of expression, found `3`",
        Some("3"),
        None,
    );
    check_wrong("", "the expression is empty", None, None);
    check_wrong(
        "amount AS x",
        "`x` names the result; an expression has no alias",
        Some("x"),
        None,
    );
    check_wrong(
        "NULL",
        "the expression is always null",
        None,
        Some("give the null a type: `CAST(NULL AS DOUBLE)`"),
    );
}

#[test]
fn types_that_do_not_fit_are_refused() {
    for sql in [
        "country + online",
        "upper(raw, 1)",
        "NOT amount AND 'x'",
        "$1 + 1",
        "amount > @x",
        "INTERVAL '1 day'",
        "array_length(country)",
        "uuid()",
        "*",
    ] {
        let error = compiled(sql, Now::Column).expect_err(sql);
        assert!(!error.message.is_empty(), "{sql}");
        assert!(!error.message.contains('\n'), "{sql}: {}", error.message);
    }
}

#[test]
fn now_is_the_instant_given() {
    let found = compiled("now() - at", Now::Column).expect("compiles");
    assert_eq!(found.data_type(), &DataType::Duration);
    assert!(found.uses_now());
    assert_eq!(found.columns(), [4]);
    assert!(!compiled("at", Now::Column).expect("compiles").uses_now());
    assert!(compiled("current_time", Now::Column).is_err());
}

#[test]
fn a_compiled_expression_can_be_shared() {
    fn shareable<T: Clone + std::fmt::Debug + Send + Sync + 'static>(_: &T) {}
    shareable(&compiled("amount", Now::Refused).expect("compiles"));
}
