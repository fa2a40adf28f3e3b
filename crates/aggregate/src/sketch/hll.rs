//! How many different keys there are, in 3 KiB: HyperLogLog.
//!
//! 4,096 registers; of each hash the first 12 bits choose one, which keeps the greatest number
//! of zeros (plus one) that any hash has next (P. Flajolet et al., 2007). The estimator is the
//! improved one of O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches",
//! 2017, algorithm 6, which needs no tables and no change of method at small counts.
//!
//! # Laws
//! - Registers are a function of the set of keys: adding and merging commute and repeat freely.
//! - The hash is the xxh3-64 (seed 0) of a key's number in little-endian, or of its bytes. It,
//!   and the byte form, are pinned by the stored format.
//!
//! There is no sparse form: few keys are kept as they are, by the partial this belongs to.

use crate::column::Cell;
use crate::partial::Key;
use tiderace_types::hash_key;
use tiderace_types::wire::{Reader, WireError, put_u64};

/// The bits that choose a register.
const PRECISION: u32 = 12;

const REGISTERS: usize = 1 << PRECISION;

/// The bits in which zeros are counted.
const REST: usize = 64 - PRECISION as usize;

/// More than the greatest rank.
const RANKS: usize = 64;

/// Six bits for each register.
const DENSE_BYTES: usize = REGISTERS * 6 / 8;

/// Registers of HyperLogLog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hll {
    registers: Box<[u8; REGISTERS]>,
}

impl Default for Hll {
    fn default() -> Hll {
        Hll {
            registers: Box::new([0; REGISTERS]),
        }
    }
}

impl Hll {
    /// The greatest relative error, but for three in a thousand: three standard errors of 1.04/√4096.
    pub const ERROR: f64 = 0.04875;

    /// How sure [`Hll::ERROR`] is.
    pub const CONFIDENCE: f64 = 0.997;

    /// Adds a key.
    pub fn add(&mut self, key: &Key) {
        self.add_cell(&key.cell());
    }

    /// Adds the key that a cell is; a null is none.
    pub(crate) fn add_cell(&mut self, cell: &Cell<'_>) {
        self.add_hash(match cell {
            Cell::Null => return,
            Cell::Int(n) => hash_key(&n.to_le_bytes()),
            Cell::Float(x) => hash_key(&x.to_le_bytes()),
            Cell::Decimal(n) => hash_key(&n.to_le_bytes()),
            Cell::Bytes(bytes) => hash_key(bytes),
        });
    }

    /// Adds the hash of a key.
    pub fn add_hash(&mut self, hash: u64) {
        let register = (hash >> REST) as usize;
        // The one behind the counted bits ends the count.
        let counted = hash << PRECISION | 1 << (PRECISION - 1);
        let rank = counted.leading_zeros() as u8 + 1;
        let held = &mut self.registers[register];
        *held = rank.max(*held);
    }

    /// Adds all keys of another.
    pub fn merge(&mut self, other: &Hll) {
        for (held, rank) in self.registers.iter_mut().zip(other.registers.iter()) {
            *held = rank.max(held).to_owned();
        }
    }

    /// About how many different keys were added.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        let of_rank = self.of_rank();
        let registers = REGISTERS as f64;
        let share = |rank: usize| f64::from(of_rank[rank]) / registers;
        let mut z = registers * tau(1.0 - share(REST + 1));
        for count in of_rank[1..=REST].iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += registers * sigma(share(0));
        registers * registers / (2.0 * std::f64::consts::LN_2 * z)
    }

    /// How many registers have each rank.
    fn of_rank(&self) -> [u32; RANKS] {
        /// Counted side by side, so that equal ranks in a row do not wait for one another.
        const LANES: usize = 8;
        let mut lanes = [[0u32; RANKS]; LANES];
        for eight in self.registers.as_chunks::<LANES>().0 {
            for (counts, rank) in lanes.iter_mut().zip(eight) {
                // There are fewer registers than a count holds.
                let count = &mut counts[usize::from(*rank) % RANKS];
                *count = count.wrapping_add(1);
            }
        }
        std::array::from_fn(|rank| lanes.iter().map(|counts| counts[rank]).sum())
    }

    /// Appends the byte form: 0 and six bits for each register, low bits first; or, where that
    /// is shorter, 1, how many are not zero, and of each the step from the one before and its rank.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(1);
        let set = || self.registers.iter().enumerate().filter(|(_, r)| **r > 0);
        put_u64(set().count() as u64, out);
        let mut after = 0;
        for (register, rank) in set() {
            put_u64((register - after) as u64, out);
            out.push(*rank);
            after = register + 1;
        }
        if out.len() - start <= DENSE_BYTES {
            return;
        }
        out.truncate(start);
        out.push(0);
        for four in self.registers.chunks_exact(4) {
            let word = (four.iter().rev()).fold(0u32, |word, rank| word << 6 | u32::from(*rank));
            out.extend(&word.to_le_bytes()[..3]);
        }
    }

    /// Reads the byte form.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Hll, WireError> {
        let mut hll = Hll::default();
        match reader.u8()? {
            0 => {
                let packed = reader.take(DENSE_BYTES)?;
                let (eights, _) = hll.registers.as_chunks_mut::<8>();
                for (eight, bytes) in eights.iter_mut().zip(packed.as_chunks::<6>().0) {
                    let [a, b, c, d, e, f] = *bytes;
                    *eight = sixes(u64::from_le_bytes([a, b, c, d, e, f, 0, 0])).to_le_bytes();
                }
            }
            1 => {
                let count = reader.count(2)?;
                let mut register = 0usize;
                for _ in 0..count {
                    let step = usize::try_from(reader.u64()?).map_err(|_| reader.error())?;
                    register = register.checked_add(step).ok_or(reader.error())?;
                    let rank = reader.u8()?;
                    *hll.registers.get_mut(register).ok_or(reader.error())? = rank;
                    register += 1;
                }
            }
            _ => return Err(reader.error()),
        }
        let most = hll.registers.iter().fold(0, |most, rank| most.max(*rank));
        match usize::from(most) <= REST + 1 {
            true => Ok(hll),
            false => Err(reader.error()),
        }
    }
}

/// Eight numbers of six bits, a byte each.
#[inline]
const fn sixes(word: u64) -> u64 {
    let word = (word & 0x00ff_ffff) | (word & 0xffff_ff00_0000) << 8;
    let word = (word & 0x0000_0fff_0000_0fff) | (word & 0x00ff_f000_00ff_f000) << 4;
    (word & 0x003f_003f_003f_003f) | (word & 0x0fc0_0fc0_0fc0_0fc0) << 2
}

/// `x + Σ x^(2^k) 2^(k−1)` from k = 1 on.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut weight, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * weight;
        weight += weight;
        if sum == before {
            return sum;
        }
    }
}

/// `(1 − x − Σ (1 − x^(2^−k))² 2^−k) / 3` from k = 1 on.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut weight, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * weight;
        if sum == before {
            return sum / 3.0;
        }
    }
}
