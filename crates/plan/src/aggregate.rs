//! What each aggregate takes and gives.

use crate::raw::Aggregate;
use tiderace_aggregate::{DEFAULT_CAP, Function};
use tiderace_types::DataType;

/// How an aggregate treats `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Anything, or nothing at all.
    AnythingOrNothing,
    /// Numbers.
    Numbers,
    /// Values of any type but lists and maps.
    Scalars,
}

/// What an aggregate takes.
pub(crate) fn takes(aggregate: Aggregate) -> Takes {
    match aggregate {
        Aggregate::Count => Takes::AnythingOrNothing,
        Aggregate::Sum | Aggregate::Avg => Takes::Numbers,
        Aggregate::Min
        | Aggregate::Max
        | Aggregate::CountDistinct
        | Aggregate::TopN
        | Aggregate::First
        | Aggregate::Last => Takes::Scalars,
    }
}

impl Takes {
    /// Tells whether values of a type are taken.
    pub(crate) fn accepts(self, data_type: &DataType) -> bool {
        let scalar = !matches!(data_type, DataType::List(_) | DataType::Map(..));
        match self {
            Takes::AnythingOrNothing | Takes::Scalars => scalar,
            Takes::Numbers => is_number(data_type),
        }
    }

    /// What is taken, for messages.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Takes::AnythingOrNothing | Takes::Scalars => "a single value, not a list or a map",
            Takes::Numbers => "a number: int64, float64 or decimal",
        }
    }
}

/// Tells whether a type can be summed.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int64 | DataType::Float64 | DataType::Decimal { .. }
    )
}

/// The function of an aggregate.
pub(crate) fn function(aggregate: Aggregate, n: u32) -> Function {
    match aggregate {
        Aggregate::Count => Function::Count,
        Aggregate::Sum => Function::Sum,
        Aggregate::Avg => Function::Avg,
        Aggregate::Min => Function::Min,
        Aggregate::Max => Function::Max,
        Aggregate::CountDistinct => Function::CountDistinct { cap: DEFAULT_CAP },
        Aggregate::TopN => Function::TopN {
            n,
            cap: DEFAULT_CAP.max(n),
        },
        Aggregate::First => Function::First,
        Aggregate::Last => Function::Last,
    }
}

/// The type of the answer, from the types of what is aggregated and what weighs it.
pub(crate) fn result(function: &Function, of: &DataType, by: Option<&DataType>) -> DataType {
    match function {
        Function::Count | Function::CountDistinct { .. } => DataType::Int64,
        Function::Sum => sum_type(of),
        Function::Avg => match of {
            DataType::Decimal { scale, .. } => DataType::Decimal {
                precision: 38,
                scale: (*scale + 4).min(38),
            },
            _ => DataType::Float64,
        },
        Function::Min | Function::Max | Function::First | Function::Last => of.clone(),
        Function::TopN { .. } => {
            let weight = by.map_or(DataType::Int64, sum_type);
            DataType::Map(Box::new(of.clone()), Box::new(weight))
        }
        _ => unreachable!("no definition can ask for it yet"),
    }
}

fn sum_type(of: &DataType) -> DataType {
    match of {
        DataType::Decimal { scale, .. } => DataType::Decimal {
            precision: 38,
            scale: *scale,
        },
        other => other.clone(),
    }
}
