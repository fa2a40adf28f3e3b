//! Every property over its seeds, whole and harmed: what can be said in a second or two without
//! looking at coverage. `scripts/fuzz.sh` looks for more.

use tiderace_fuzz::{ALL, seeds};

/// How many mutations of seeds there are of each property.
const RUNS: usize = 20_000;

#[test]
fn seeds_whole_and_harmed() {
    let mut state = 7u64;
    let mut next = move |below: usize| {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = state;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ x >> 31) % below.max(1) as u64) as usize
    };
    for (name, property) in ALL {
        let seeds = seeds::of(name);
        seeds.iter().for_each(|seed| property(seed));
        for _ in 0..RUNS {
            let mut bytes = seeds[next(seeds.len())].clone();
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                match next(5) {
                    0 => bytes[at] ^= 1 << next(8),
                    1 => bytes[at] = next(256) as u8,
                    2 => bytes.truncate(at.max(1)),
                    3 => drop(bytes.splice(at..at, [0xff; 9])),
                    _ => {
                        let other = &seeds[next(seeds.len())];
                        let from = next(other.len());
                        bytes.truncate(at.max(1));
                        bytes.extend(&other[from..]);
                    }
                }
            }
            property(&bytes);
        }
    }
}
