//! What each aggregate takes and gives.

use crate::raw::Aggregate;
use tiderace_aggregate::Function;
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
        Aggregate::Count
        | Aggregate::TimeSinceFirst
        | Aggregate::TimeSinceLast
        | Aggregate::Rate => Takes::AnythingOrNothing,
        Aggregate::Sum
        | Aggregate::Avg
        | Aggregate::VarSamp
        | Aggregate::VarPop
        | Aggregate::StddevSamp
        | Aggregate::StddevPop
        | Aggregate::Skewness
        | Aggregate::Kurtosis
        | Aggregate::Quantile
        | Aggregate::DecaySum
        | Aggregate::DecayAvg => Takes::Numbers,
        Aggregate::Min
        | Aggregate::Max
        | Aggregate::CountDistinct
        | Aggregate::DistinctList
        | Aggregate::TopN
        | Aggregate::TopK
        | Aggregate::BottomK
        | Aggregate::First
        | Aggregate::Last
        | Aggregate::FirstN
        | Aggregate::LastN
        | Aggregate::Histogram
        | Aggregate::Entropy => Takes::Scalars,
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

/// The type of the answer, from the types of what is aggregated and of `by`.
pub(crate) fn result(function: &Function, of: &DataType, by: Option<&DataType>) -> DataType {
    let list = |of: &DataType| DataType::List(Box::new(of.clone()));
    let map = |key: &DataType, value| DataType::Map(Box::new(key.clone()), Box::new(value));
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
        Function::VarSamp
        | Function::VarPop
        | Function::StddevSamp
        | Function::StddevPop
        | Function::Skewness
        | Function::Kurtosis
        | Function::Quantile { .. }
        | Function::Entropy { .. }
        | Function::DecaySum { .. }
        | Function::DecayAvg { .. }
        | Function::Rate { .. } => DataType::Float64,
        Function::DistinctList { .. }
        | Function::BottomK { .. }
        | Function::TopK { .. }
        | Function::FirstN { .. }
        | Function::LastN { .. } => list(of),
        Function::Quantiles { .. } => list(&DataType::Float64),
        Function::TimeSinceFirst | Function::TimeSinceLast => DataType::Duration,
        Function::TopN { .. } => map(of, by.map_or(DataType::Int64, sum_type)),
        Function::Histogram { .. } => map(of, DataType::Int64),
        Function::Breakdown { each, .. } => {
            let value = result(&each.function(), of, None);
            map(by.unwrap_or(&DataType::Int64), value)
        }
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
