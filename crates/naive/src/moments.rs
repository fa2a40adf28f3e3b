//! Sums of powers about the mean, in two passes, with twice the digits of a double.

use super::Overflow;
use super::function::Exact;
use tiderace_aggregate::Function;
use tiderace_types::Value;

/// A number as the sum of two doubles that do not overlap: about 32 digits
/// (T. J. Dekker, "A floating-point technique for extending the available precision", 1971).
#[derive(Clone, Copy, Debug)]
struct Precise(f64, f64);

impl Precise {
    const ZERO: Precise = Precise(0.0, 0.0);

    fn sum_of(a: f64, b: f64) -> Precise {
        let sum = a + b;
        let rest = sum - a;
        Precise(sum, (a - (sum - rest)) + (b - rest))
    }

    fn plus(self, other: Precise) -> Precise {
        let high = Precise::sum_of(self.0, other.0);
        let low = Precise::sum_of(self.1, other.1);
        let middle = Precise::sum_of(high.0, high.1 + low.0);
        Precise::sum_of(middle.0, middle.1 + low.1)
    }

    fn times(self, other: Precise) -> Precise {
        let product = self.0 * other.0;
        let lost = self.0.mul_add(other.0, -product);
        Precise::sum_of(product, lost + (self.0 * other.1 + self.1 * other.0))
    }

    fn over(self, divisor: f64) -> Precise {
        let quotient = self.0 / divisor;
        let product = Precise(quotient, 0.0).times(Precise(divisor, 0.0));
        let rest = self.plus(Precise(-product.0, -product.1));
        Precise::sum_of(quotient, rest.0 / divisor)
    }

    fn negated(self) -> Precise {
        Precise(-self.0, -self.1)
    }
}

/// The sums of second, third and fourth powers of differences from the mean.
pub(super) struct Moments {
    count: usize,
    second: f64,
    third: f64,
    third_of_magnitudes: f64,
    fourth: f64,
}

impl Moments {
    pub(super) fn of(numbers: &[f64]) -> Moments {
        let mut moments = Moments {
            count: numbers.len(),
            second: 0.0,
            third: 0.0,
            third_of_magnitudes: 0.0,
            fourth: 0.0,
        };
        // The mean of equal numbers is that number, which rounding would miss.
        if numbers.windows(2).all(|pair| pair[0] == pair[1]) {
            return moments;
        }
        let sum =
            |terms: &mut dyn Iterator<Item = Precise>| terms.fold(Precise::ZERO, Precise::plus);
        let mean = sum(&mut numbers.iter().map(|x| Precise(*x, 0.0))).over(numbers.len() as f64);
        let differences = || {
            numbers
                .iter()
                .map(|x| Precise(*x, 0.0).plus(mean.negated()))
        };
        let cube = |d: Precise| d.times(d).times(d);
        moments.second = sum(&mut differences().map(|d| d.times(d))).0;
        moments.third = sum(&mut differences().map(cube)).0;
        moments.third_of_magnitudes = differences().map(|d| cube(d).0.abs()).sum();
        moments.fourth = sum(&mut differences().map(|d| cube(d).times(d))).0;
        moments
    }

    /// The answer of a function of moments.
    pub(super) fn answer(&self, function: &Function) -> Result<Exact, Overflow> {
        let count = self.count as f64;
        // Null where it is nothing, or all but.
        let shape = |by: f64, answer: f64, tolerance: f64| match by {
            by if by < f64::MIN_POSITIVE => Ok(Value::Null.into()),
            by if by.is_finite() => Ok(Exact {
                value: Value::Float(answer),
                tolerance: 1e-9 * tolerance,
            }),
            _ => Err(Overflow),
        };
        let over = |less: usize| self.count.checked_sub(less).filter(|over| *over > 0);
        let variance = match function {
            _ if self.count == 0 => return Ok(Value::Null.into()),
            Function::Skewness => {
                let by = self.second * self.second.sqrt();
                let scaled = |third: f64| count.sqrt() * (third / by);
                return shape(by, scaled(self.third), scaled(self.third_of_magnitudes));
            }
            Function::Kurtosis => {
                let by = self.second * self.second;
                let whole = count * (self.fourth / by);
                return shape(by, whole - 3.0, whole);
            }
            Function::VarSamp | Function::StddevSamp => over(1),
            _ => over(0),
        };
        let Some(over) = variance else {
            return Ok(Value::Null.into());
        };
        let variance = self.second / over as f64;
        let answer = match function {
            Function::StddevSamp | Function::StddevPop => variance.sqrt(),
            _ => variance,
        };
        match answer.is_finite() {
            true => Ok(Value::Float(answer).into()),
            false => Err(Overflow),
        }
    }
}
