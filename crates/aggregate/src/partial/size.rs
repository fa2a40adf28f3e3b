//! How large partials can get.

use crate::function::Function;
use crate::spec::Output;
use tiderace_types::DataType;

/// How long text values are taken to be at most, in bytes, where sizes are bounded ahead.
pub const TEXT_BOUND: usize = 128;

/// An exact sum at its largest: form, carry, low half.
const SUM: usize = 1 + 10 + 19;

/// A varint at its largest.
const VARINT: usize = 10;

impl Output {
    /// How many bytes a partial of this output has at most, when texts keep to [`TEXT_BOUND`].
    #[must_use]
    pub fn partial_bound(&self, inputs: &[DataType]) -> usize {
        let input = |place: Option<usize>| place.map_or(VARINT, |place| key_bound(&inputs[place]));
        let of = input(self.input);
        let list = |most: u32, each: usize| VARINT + most as usize * each;
        // Ids are texts; where there are none, all inputs stand for them.
        let tie: usize = inputs.iter().map(key_bound).sum::<usize>();
        let placed = VARINT + 1 + VARINT + tie.max(TEXT_BOUND) + of;
        let body = match &self.function {
            Function::Count | Function::Rate { .. } => VARINT,
            Function::TimeSinceFirst | Function::TimeSinceLast => VARINT,
            Function::Sum | Function::Avg => SUM + VARINT,
            Function::Min | Function::Max => of,
            Function::VarSamp
            | Function::VarPop
            | Function::StddevSamp
            | Function::StddevPop
            | Function::Skewness
            | Function::Kurtosis => VARINT + 8 * 8,
            Function::CountDistinct { cap } => list(*cap, of).max(HLL),
            Function::DistinctList { n } => list(*n, of),
            Function::TopN { cap, .. }
            | Function::Histogram { cap }
            | Function::Entropy { cap } => list(*cap, of + SUM) + 2 * SUM,
            Function::BottomK { k } | Function::TopK { k } => list(*k, of),
            Function::First | Function::Last => VARINT + placed,
            Function::FirstN { n, .. } | Function::LastN { n, .. } => list(*n, placed),
            Function::Quantile { cap, .. } | Function::Quantiles { cap, .. } => {
                list(*cap, 8).max(BUCKETS)
            }
            Function::Breakdown { cap, .. } => list(*cap, input(self.by) + 1 + SUM + VARINT + of),
            Function::DecaySum { .. } | Function::DecayAvg { .. } => VARINT + 4 * 8,
        };
        1 + body
    }
}

/// 4,096 registers of 6 bits.
const HLL: usize = 4096 * 6 / 8 + 8;

/// 1,024 buckets, each the step from the one before and a count.
const BUCKETS: usize = 1024 * 10 + 64;

/// How many bytes a key of this type has at most.
fn key_bound(data_type: &DataType) -> usize {
    1 + match data_type {
        DataType::Float64 => 8,
        DataType::Decimal { .. } => 19,
        DataType::String | DataType::Bytes => 2 + TEXT_BOUND,
        _ => VARINT,
    }
}
