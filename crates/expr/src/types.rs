//! Which Arrow types may leave an expression, and as what.

use arrow::datatypes::{DataType as Arrow, TimeUnit};
use tiderace_types::DataType;

/// The type that an Arrow type widens to; `None` when it has no place here.
pub(crate) fn widened(arrow: &Arrow) -> Option<DataType> {
    Some(match arrow {
        Arrow::Boolean => DataType::Bool,
        Arrow::Int8 | Arrow::Int16 | Arrow::Int32 | Arrow::Int64 => DataType::Int64,
        Arrow::UInt8 | Arrow::UInt16 | Arrow::UInt32 | Arrow::UInt64 => DataType::Int64,
        Arrow::Float16 | Arrow::Float32 | Arrow::Float64 => DataType::Float64,
        Arrow::Decimal32(precision, scale)
        | Arrow::Decimal64(precision, scale)
        | Arrow::Decimal128(precision, scale) => DataType::Decimal {
            precision: *precision,
            scale: *scale,
        },
        Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View => DataType::String,
        Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView | Arrow::FixedSizeBinary(_) => {
            DataType::Bytes
        }
        Arrow::Timestamp(_, _) | Arrow::Date32 | Arrow::Date64 => DataType::Timestamp,
        Arrow::Duration(_) => DataType::Duration,
        Arrow::List(item) | Arrow::LargeList(item) => {
            DataType::List(Box::new(widened(item.data_type())?))
        }
        Arrow::Map(entries, _) => match entries.data_type() {
            Arrow::Struct(fields) if fields.len() == 2 => DataType::Map(
                Box::new(widened(fields[0].data_type())?),
                Box::new(widened(fields[1].data_type())?),
            ),
            _ => return None,
        },
        _ => return None,
    })
}

/// The casts that take `from` to its widened type without moving an instant.
pub(crate) fn steps(from: &Arrow, to: &DataType) -> Vec<Arrow> {
    let target = to.to_arrow();
    match from {
        same if *same == target => vec![],
        Arrow::Timestamp(_, Some(_)) => vec![
            Arrow::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            target,
        ],
        _ => vec![target],
    }
}
