//! Compensated addition of doubles.

/// A sum of doubles with its running error
/// (A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", 1974).
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
        let total = self.sum + x;
        self.lost += if self.sum.abs() >= x.abs() {
            (self.sum - total) + x
        } else {
            (x - total) + self.sum
        };
        self.sum = total;
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: FloatSum) {
        self.add(other.sum);
        self.lost += other.lost;
    }

    /// The sum with its error put back. An infinity or a NaN stays one.
    #[must_use]
    pub fn total(self) -> f64 {
        if self.lost.is_finite() {
            self.sum + self.lost
        } else {
            self.sum
        }
    }
}
