//! Compensated addition of doubles.

/// A sum of doubles with its running error (cascaded summation of T. Ogita, S. Rump and
/// S. Oishi, "Accurate Sum and Dot Product", 2005: without branches).
///
/// Any order of addition agrees to 1e-9 of the sum of magnitudes, and in practice
/// to the last bits; it is not bit-for-bit order-free.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct FloatSum {
    /// The plain sum.
    pub sum: f64,
    /// What the plain sum has lost.
    pub lost: f64,
}

impl FloatSum {
    /// Adds one number.
    #[inline]
    pub fn add(&mut self, x: f64) {
        let (sum, lost) = two_sum(self.sum, x);
        self.lost += lost;
        self.sum = sum;
    }

    /// Adds another sum.
    #[inline]
    pub fn merge(&mut self, other: FloatSum) {
        self.add(other.sum);
        self.lost += other.lost;
    }

    /// The sum with its error put back. An infinity or a NaN stays one.
    #[inline]
    #[must_use]
    pub fn total(self) -> f64 {
        if self.lost.is_finite() {
            self.sum + self.lost
        } else {
            self.sum
        }
    }

    /// The sum of as many numbers, each halved so often. Exact, but where numbers get too small.
    #[must_use]
    pub fn halved(self, times: u64) -> FloatSum {
        FloatSum {
            sum: halved(self.sum, times),
            lost: halved(self.lost, times),
        }
    }
}

/// Doubles in their total order (IEEE 754 §5.10) as integers.
#[inline]
pub(crate) const fn rank(x: f64) -> i64 {
    let bits = x.to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// The double of a [`rank`].
#[inline]
pub(crate) const fn of_rank(rank: i64) -> f64 {
    let bits = rank ^ ((rank >> 63).cast_unsigned() >> 1).cast_signed();
    f64::from_bits(bits.cast_unsigned())
}

/// Halves a number so often.
#[must_use]
pub(crate) fn halved(x: f64, times: u64) -> f64 {
    /// As a double's exponent allows at once, leaving it normal.
    const AT_ONCE: u64 = 1000;
    let (mut x, mut rest) = (x, times);
    while rest > AT_ONCE && x != 0.0 && x.is_finite() {
        x *= f64::from_bits((1023 - AT_ONCE) << 52);
        rest -= AT_ONCE;
    }
    x * f64::from_bits((1023 - rest.min(AT_ONCE)) << 52)
}

/// The sum of two numbers, and what it has lost of them (D. E. Knuth's TwoSum).
#[inline]
pub(crate) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}
