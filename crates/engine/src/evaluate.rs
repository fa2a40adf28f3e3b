//! Expressions over a decoded batch, with failures pinned to the events that cause them.

use crate::packet::Input;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{
    DataType as ArrowType, Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type,
    TimestampMicrosecondType,
};
use tiderace_expr::Compiled;
use tiderace_types::Timestamp;

/// An expression's values, and the events on which it failed (null there).
pub(crate) struct Evaluated {
    pub(crate) array: ArrayRef,
    pub(crate) failed: Vec<(u32, String)>,
}

/// Evaluates over the whole batch; a failure is pinned to its event and takes no other with it.
///
/// Stream expressions never see the clock, so the instant given to them is of no account.
pub(crate) fn evaluate(compiled: &Compiled, batch: &RecordBatch) -> Evaluated {
    let (array, errors) = compiled.evaluate_each(batch, Timestamp(0));
    let failed = errors.into_iter();
    Evaluated {
        array,
        failed: failed
            .map(|error| (error.row as u32, error.message))
            .collect(),
    }
}

/// Which events a condition holds for: true, not null.
pub(crate) fn holds(array: &ArrayRef, event: usize) -> bool {
    let array: &BooleanArray = array.as_boolean();
    array.is_valid(event) && array.value(event)
}

/// Types an evaluated input for the lanes.
pub(crate) fn input(array: &ArrayRef) -> Input {
    let nulls = array.nulls().cloned();
    match array.data_type() {
        ArrowType::Int64 => Input::Int(array.as_primitive::<Int64Type>().values().clone(), nulls),
        ArrowType::Timestamp(..) => Input::Int(
            array
                .as_primitive::<TimestampMicrosecondType>()
                .values()
                .clone(),
            nulls,
        ),
        ArrowType::Duration(_) => Input::Int(
            array
                .as_primitive::<DurationMicrosecondType>()
                .values()
                .clone(),
            nulls,
        ),
        ArrowType::Boolean => Input::Bool(array.as_boolean().clone()),
        ArrowType::Float64 => Input::Float(array.as_primitive::<Float64Type>().clone()),
        ArrowType::Decimal128(..) => Input::Decimal(array.as_primitive::<Decimal128Type>().clone()),
        ArrowType::Utf8 => Input::Text(array.as_string::<i32>().clone()),
        ArrowType::Binary => Input::Bytes(array.as_binary::<i32>().clone()),
        other => unreachable!("expressions never give {other}"),
    }
}

/// The events whose doubles are NaN or infinite.
pub(crate) fn not_finite(array: &ArrayRef) -> Vec<u32> {
    let Some(floats) = array.as_primitive_opt::<Float64Type>() else {
        return Vec::new();
    };
    let events = 0..floats.len();
    events
        .filter(|event| floats.is_valid(*event) && !floats.value(*event).is_finite())
        .map(|event| event as u32)
        .collect()
}

/// The batch of the named events only.
pub(crate) fn only(batch: &RecordBatch, events: &[u32]) -> RecordBatch {
    let indices = UInt32Array::from(events.to_vec());
    let columns = batch.columns().iter();
    let columns = columns.map(|column| take(column, &indices, None).expect("indices are in range"));
    RecordBatch::try_new(batch.schema(), columns.collect()).expect("columns keep their types")
}
