//! What compiled expressions answer.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DurationMicrosecondType, Field, Float64Type, Int64Type, Schema, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use tiderace_expr::{Compiled, Now, compile};
use tiderace_types::{DataType, Timestamp};

const NOW: Timestamp = Timestamp(1_522_540_831_000_000);

fn columns() -> Vec<(String, DataType)> {
    [
        ("n", DataType::Int64),
        ("x", DataType::Float64),
        ("s", DataType::String),
        ("b", DataType::Bool),
        ("at", DataType::Timestamp),
    ]
    .map(|(name, data_type)| (name.to_owned(), data_type))
    .to_vec()
}

fn batch() -> RecordBatch {
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![
            Some(1),
            None,
            Some(i64::MAX),
            Some(0),
        ])),
        Arc::new(Float64Array::from(vec![
            Some(0.5),
            Some(2.0),
            None,
            Some(-1.0),
        ])),
        Arc::new(StringArray::from(vec![
            Some("a"),
            Some(""),
            None,
            Some("é"),
        ])),
        Arc::new(BooleanArray::from(vec![
            Some(true),
            Some(false),
            None,
            Some(true),
        ])),
        Arc::new(TimestampMicrosecondArray::from(vec![
            Some(NOW.0),
            Some(NOW.0 - 1_000_000),
            None,
            Some(0),
        ])),
    ];
    let fields: Vec<Field> = columns()
        .iter()
        .map(|(name, data_type)| Field::new(name, data_type.to_arrow(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns fit")
}

fn expression(sql: &str) -> Compiled {
    compile(sql, &columns(), Now::Column).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

fn answers(sql: &str) -> ArrayRef {
    let compiled = expression(sql);
    let found = compiled.evaluate(&batch(), NOW).expect(sql);
    assert_eq!(*found.data_type(), compiled.data_type().to_arrow(), "{sql}");
    assert_eq!(found.len(), batch().num_rows(), "{sql}");
    found
}

fn check_int(sql: &str, expected: [Option<i64>; 4]) {
    let found = answers(sql);
    let found: Vec<_> = found.as_primitive::<Int64Type>().iter().collect();
    assert_eq!(found, expected, "{sql}");
}

fn check_float(sql: &str, expected: [Option<f64>; 4]) {
    let found = answers(sql);
    let found: Vec<_> = found.as_primitive::<Float64Type>().iter().collect();
    assert_eq!(found, expected, "{sql}");
}

fn check_bool(sql: &str, expected: [Option<bool>; 4]) {
    let found = answers(sql);
    let found: Vec<_> = found.as_boolean().iter().collect();
    assert_eq!(found, expected, "{sql}");
}

#[test]
fn functions_and_operators_answer() {
    check_float("x", [Some(0.5), Some(2.0), None, Some(-1.0)]);
    check_float(
        "coalesce(x, n, 7)",
        [Some(0.5), Some(2.0), Some(i64::MAX as f64), Some(-1.0)],
    );
    check_float("x / nullif(n, 0)", [Some(0.5), None, None, None]);
    check_float("abs(x)", [Some(0.5), Some(2.0), None, Some(1.0)]);
    check_int("length(s)", [Some(1), Some(0), None, Some(1)]);
    check_int(
        "CASE WHEN b THEN 1 ELSE 0 END",
        [Some(1), Some(0), Some(0), Some(1)],
    );
    check_int("42", [Some(42); 4]);
    check_bool("x > 0 AND b", [Some(true), Some(false), None, Some(false)]);
    check_bool(
        "x IS NULL",
        [Some(false), Some(false), Some(true), Some(false)],
    );
    check_bool(
        "s IN ('a', 'b')",
        [Some(true), Some(false), None, Some(false)],
    );
    check_int(
        "date_part('year', at)",
        [Some(2018), Some(2018), None, Some(1970)],
    );
}

#[test]
fn now_is_the_instant_asked_about() {
    let late = answers("now() - at");
    let late: Vec<_> = late
        .as_primitive::<DurationMicrosecondType>()
        .iter()
        .collect();
    assert_eq!(late, [Some(0), Some(1_000_000), None, Some(NOW.0)]);
    let day = answers("current_date");
    let day = day.as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!(day, NOW.0.div_euclid(86_400_000_000) * 86_400_000_000);
    let times = answers("now()");
    assert_eq!(
        times.as_primitive::<TimestampMicrosecondType>().value(3),
        NOW.0
    );
}

#[test]
fn a_plain_column_is_the_same_array() {
    let batch = batch();
    let found = expression("n").evaluate(&batch, NOW).expect("a column");
    assert!(Arc::ptr_eq(&found, batch.column(0)));
}

#[test]
fn overflow_fails_its_row_and_no_other() {
    for sql in ["n + 1", "n * 2", "n * n", "-2 - n", "-(n * 2)"] {
        let (found, errors) = expression(sql).evaluate_each(&batch(), NOW);
        let rows: Vec<usize> = errors.iter().map(|error| error.row).collect();
        assert_eq!(rows, [2], "{sql}");
        assert!(
            found.is_null(2) && found.is_valid(0) && found.is_valid(3),
            "{sql}"
        );
        let first = expression(sql).evaluate(&batch(), NOW).expect_err(sql);
        assert_eq!(first, errors[0]);
    }
    let (_, errors) = expression("1 / n").evaluate_each(&batch(), NOW);
    assert_eq!(errors.len(), 1);
    assert_eq!(
        (errors[0].row, errors[0].message.as_str()),
        (3, "divide by zero error")
    );
}

#[test]
fn a_guard_guards_its_own_row() {
    // Evaluated as a whole, the division would fail on the row that the guard spares.
    check_bool(
        "n <> 0 AND 1 / n > 0",
        [Some(true), None, Some(false), Some(false)],
    );
}

#[test]
fn casts_keep_what_fits_and_fail_what_does_not() {
    let float = expression("n")
        .cast(&DataType::Float64)
        .expect("numbers cast");
    let found = float.evaluate(&batch(), NOW).expect("fits");
    assert_eq!(found.as_primitive::<Float64Type>().value(0), 1.0);
    assert_eq!(float.canonical(), "CAST(n AS float64)");
    let money = DataType::Decimal {
        precision: 5,
        scale: 2,
    };
    let (_, errors) = expression("n")
        .cast(&money)
        .expect("numbers cast")
        .evaluate_each(&batch(), NOW);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].row, 2);
    assert!(expression("b").cast(&DataType::Timestamp).is_err());
}

#[test]
fn columns_can_move() {
    let compiled = expression("x + n");
    assert_eq!(compiled.columns(), [0, 1]);
    let moved = compiled.remap(&[4, 2, 9, 9, 9]);
    assert_eq!(moved.columns(), [2, 4]);
    let batch = batch();
    let order = [3, 3, 1, 3, 0];
    let shuffled = batch.project(&order).expect("columns exist");
    assert_eq!(
        &moved.evaluate(&shuffled, NOW).expect("evaluates"),
        &compiled.evaluate(&batch, NOW).expect("evaluates"),
    );
}

#[test]
fn a_batch_of_the_wrong_shape_is_an_error() {
    let narrow = batch().project(&[2]).expect("a column");
    assert!(expression("x + 1").evaluate(&narrow, NOW).is_err());
    assert!(expression("n").evaluate(&narrow, NOW).is_err());
    assert!(expression("n + 1").evaluate(&narrow, NOW).is_err());
    let empty = batch().slice(0, 0);
    assert_eq!(
        expression("n + 1")
            .evaluate(&empty, NOW)
            .expect("no rows")
            .len(),
        0
    );
}
