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
//! - How many registers have each rank is all that an estimate takes. What a reader is to be quick with
//!   says it beside the registers, so that none of them is looked at but those that more keys fall on.
//!
//! There is no sparse form: few keys are kept as they are, by the partial this belongs to.

use crate::column::Cell;
use crate::partial::Key;
use tiderace_types::wire::{Reader, WireError, put_u64};
use tiderace_types::{hash_key, hash_word};

/// The bits that choose a register.
const PRECISION: u32 = 12;

const REGISTERS: usize = 1 << PRECISION;

/// The bits in which zeros are counted.
const REST: usize = 64 - PRECISION as usize;

/// More than the greatest rank.
const RANKS: usize = 64;

/// So many registers that are not zero are written one by one at most.
const FEW: usize = 128;

/// The greatest rank that registers may be packed above: those above it by less than
/// [`APART`] are ranks.
const MOST_LEAST: usize = REST + 2 - APART as usize;

/// Six bits for each register.
const DENSE_BYTES: usize = REGISTERS * 6 / 8;

/// Half a byte that says that a register is told apart: it has so much above the least, or more, or less.
const APART: u8 = 15;

/// Registers of HyperLogLog.
#[derive(Clone, Debug)]
pub struct Hll {
    held: Box<Held>,
}

/// Registers, and how many of them have each rank, where that is known.
#[derive(Clone, Debug)]
struct Held {
    registers: [u8; REGISTERS],
    of_rank: [u16; RANKS],
    is_counted: bool,
}

impl Default for Hll {
    fn default() -> Hll {
        Hll {
            held: Box::new(Held {
                registers: [0; REGISTERS],
                of_rank: [0; RANKS],
                is_counted: false,
            }),
        }
    }
}

impl PartialEq for Hll {
    fn eq(&self, other: &Hll) -> bool {
        self.held.registers == other.held.registers
    }
}

impl Eq for Hll {}

impl Hll {
    /// The greatest relative error, but for three in a thousand: three standard errors of 1.04/√4096.
    pub const ERROR: f64 = 0.04875;

    /// How sure [`Hll::ERROR`] is.
    pub const CONFIDENCE: f64 = 0.997;

    /// How many bytes of memory it takes.
    pub(crate) const MEMORY: usize = size_of::<Hll>() + size_of::<Held>();

    /// Adds a key.
    pub fn add(&mut self, key: &Key) {
        self.add_cell(&key.cell());
    }

    /// Adds the key that a cell is; a null is none.
    #[inline]
    pub(crate) fn add_cell(&mut self, cell: &Cell<'_>) {
        self.add_hash(match cell {
            Cell::Null => return,
            Cell::Int(n) => hash_word(n.cast_unsigned()),
            Cell::Float(x) => hash_word(x.to_bits()),
            Cell::Decimal(n) => hash_key(&n.to_le_bytes()),
            Cell::Bytes(bytes) => hash_key(bytes),
        });
    }

    /// Adds the hash of a key.
    #[inline]
    pub fn add_hash(&mut self, hash: u64) {
        let register = (hash >> REST) as usize;
        // The one behind the counted bits ends the count.
        let counted = hash << PRECISION | 1 << (PRECISION - 1);
        let rank = counted.leading_zeros() as u8 + 1;
        if self.held.registers[register] < rank {
            self.held.raise(register, rank);
        }
    }

    /// Adds all keys of another.
    pub fn merge(&mut self, other: &Hll) {
        let registers = self.held.registers.iter_mut();
        for (held, rank) in registers.zip(&other.held.registers) {
            *held = rank.max(held).to_owned();
        }
        self.held.is_counted = false;
    }

    /// About how many different keys were added.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        let of_rank = self.held.of_rank();
        let registers = REGISTERS as f64;
        let share = |rank: usize| f64::from(of_rank[rank]) / registers;
        let mut z = registers * tau(1.0 - share(REST + 1));
        // Half of nothing is nothing: ranks that no register has, nor any above, say nothing.
        let most = match of_rank[REST + 1] {
            0 => of_rank.iter().rposition(|count| *count > 0).unwrap_or(0),
            _ => REST,
        };
        for count in of_rank[1..=most].iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += registers * sigma(share(0));
        registers * registers / (2.0 * std::f64::consts::LN_2 * z)
    }

    /// Whether what was read of how many registers have each rank is so.
    pub(crate) fn is_sound(&self) -> bool {
        !self.held.is_counted || self.held.of_rank == count(&self.held.registers)
    }

    /// Appends the byte form, the first of these that is not too long:
    /// - 1, how many registers are not zero, and of each the step from the one before and its rank;
    /// - 2, a rank, for each two registers (one of the first half, and its like of the second) a byte
    ///   of what they have above it, low bits first; how many have more or less, and of each the step from the one
    ///   before and its rank; one more than the greatest rank, and for each rank up to it how many have it;
    /// - 0 and six bits for each register, low bits first.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let of_rank = self.held.of_rank();
        let start = out.len();
        if REGISTERS - usize::from(of_rank[0]) <= FEW {
            out.push(1);
            write_some(self.held.registers.iter(), |rank| rank > 0, out);
            return;
        }
        self.write_halves(&of_rank, out);
        if out.len() - start <= 1 + DENSE_BYTES {
            return;
        }
        out.truncate(start);
        out.push(0);
        for four in self.held.registers.chunks_exact(4) {
            let word = (four.iter().rev()).fold(0u32, |word, rank| word << 6 | u32::from(*rank));
            out.extend(&word.to_le_bytes()[..3]);
        }
    }

    fn write_halves(&self, of_rank: &[u16; RANKS], out: &mut Vec<u8>) {
        // Of the windows of ranks that can be packed the one that most registers are in.
        let within = |least: &usize| -> u32 {
            let ranks = of_rank[*least..*least + usize::from(APART)].iter();
            ranks.map(|count| u32::from(*count)).sum()
        };
        let least = (0..=MOST_LEAST).rev().max_by_key(within);
        let least = least.unwrap_or_default() as u8;
        let packed = |rank: &u8| match rank.wrapping_sub(least) {
            above if above < APART => above,
            _ => APART,
        };
        out.extend([2, least]);
        let (first, second) = self.held.registers.split_at(REGISTERS / 2);
        let pairs = first.iter().zip(second);
        out.extend(pairs.map(|(a, b)| packed(a) | packed(b) << 4));
        let is_apart = |rank: u8| rank.wrapping_sub(least) >= APART;
        write_some(self.held.registers.iter(), is_apart, out);
        let ranks = of_rank.iter().rposition(|count| *count > 0);
        let ranks = ranks.map_or(0, |most| most + 1);
        put_u64(ranks as u64, out);
        let counts = of_rank[..ranks].iter();
        counts.for_each(|count| put_u64((*count).into(), out));
    }

    /// Reads the byte form. How many registers have each rank is believed: see [`Hll::is_sound`].
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Hll, WireError> {
        let mut hll = Hll::default();
        let Held {
            registers,
            of_rank,
            is_counted,
        } = &mut *hll.held;
        match reader.u8()? {
            0 => {
                let packed = reader.take(DENSE_BYTES)?;
                let (eights, _) = registers.as_chunks_mut::<8>();
                for (eight, bytes) in eights.iter_mut().zip(packed.as_chunks::<6>().0) {
                    let [a, b, c, d, e, f] = *bytes;
                    *eight = sixes(u64::from_le_bytes([a, b, c, d, e, f, 0, 0])).to_le_bytes();
                }
            }
            1 => {
                of_rank[0] = REGISTERS as u16;
                read_some(reader, registers, |rank| {
                    of_rank[0] = of_rank[0].wrapping_sub(1);
                    let more = &mut of_rank[usize::from(rank) % RANKS];
                    *more = more.wrapping_add(1);
                })?;
                *is_counted = true;
            }
            2 => {
                let least = reader.u8()?;
                if usize::from(least) > MOST_LEAST {
                    return Err(reader.error());
                }
                let packed = reader.take(REGISTERS / 2)?;
                let (first, second) = registers.split_at_mut(REGISTERS / 2);
                for (rank, byte) in first.iter_mut().zip(packed) {
                    *rank = (byte & 15).wrapping_add(least);
                }
                for (rank, byte) in second.iter_mut().zip(packed) {
                    *rank = (byte >> 4).wrapping_add(least);
                }
                read_some(reader, registers, |_| {})?;
                let ranks = reader.count(1)?;
                let counts = of_rank.get_mut(..ranks).ok_or(reader.error())?;
                reader.u64s(counts, |count| u16::try_from(count).ok())?;
                *is_counted = true;
                let all = of_rank.iter().map(|count| usize::from(*count));
                if all.sum::<usize>() != REGISTERS {
                    return Err(reader.error());
                }
            }
            _ => return Err(reader.error()),
        }
        let most = registers.iter().fold(0, |most, rank| most.max(*rank));
        match usize::from(most) <= REST + 1 && of_rank[REST + 2..].iter().all(|count| *count == 0) {
            true => Ok(hll),
            false => Err(reader.error()),
        }
    }
}

impl Held {
    fn raise(&mut self, register: usize, rank: u8) {
        let before = std::mem::replace(&mut self.registers[register], rank);
        if self.is_counted {
            // What was read may be wrong, but is never left out of an array.
            let less = &mut self.of_rank[usize::from(before) % RANKS];
            *less = less.saturating_sub(1);
            let more = &mut self.of_rank[usize::from(rank) % RANKS];
            *more = more.wrapping_add(1);
        }
    }

    /// How many registers have each rank.
    fn of_rank(&self) -> [u16; RANKS] {
        match self.is_counted {
            true => self.of_rank,
            false => count(&self.registers),
        }
    }
}

fn count(registers: &[u8; REGISTERS]) -> [u16; RANKS] {
    /// Counted side by side, so that equal ranks in a row do not wait for one another.
    const LANES: usize = 8;
    let mut lanes = [[0u16; RANKS]; LANES];
    for eight in registers.as_chunks::<LANES>().0 {
        for (counts, rank) in lanes.iter_mut().zip(eight) {
            // There are fewer registers than a count holds.
            let count = &mut counts[usize::from(*rank) % RANKS];
            *count = count.wrapping_add(1);
        }
    }
    std::array::from_fn(|rank| lanes.iter().map(|counts| counts[rank]).sum())
}

/// Writes how many registers there are of some ranks, and of each the step from the one before and its rank.
fn write_some<'r>(
    registers: impl Iterator<Item = &'r u8> + Clone,
    wanted: impl Fn(u8) -> bool,
    out: &mut Vec<u8>,
) {
    let some = registers.enumerate().filter(|(_, rank)| wanted(**rank));
    put_u64(some.clone().count() as u64, out);
    let mut after = 0;
    for (register, rank) in some {
        put_u64((register - after) as u64, out);
        out.push(*rank);
        after = register + 1;
    }
}

/// Reads what [`write_some`] wrote, and tells of each rank.
fn read_some(
    reader: &mut Reader<'_>,
    registers: &mut [u8; REGISTERS],
    mut each: impl FnMut(u8),
) -> Result<(), WireError> {
    let mut register = 0usize;
    for _ in 0..reader.count(2)? {
        let step = usize::try_from(reader.u64()?).map_err(|_| reader.error())?;
        register = register.checked_add(step).ok_or(reader.error())?;
        let rank = reader.u8()?;
        *registers.get_mut(register).ok_or(reader.error())? = rank;
        each(rank);
        register += 1;
    }
    Ok(())
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
    // Below zero it is where what was read of ranks is wrong.
    if x <= 0.0 || x == 1.0 {
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
