//! Putting events in the order of their rows: a radix sort by slot, since there are many and their
//! slots are small numbers. It keeps those of one row as they came.

use crate::members::Member;

/// How many bits are sorted by at a time: so many counters stay in the nearest cache.
const BITS: u32 = 11;

/// Fewer are sorted sooner by comparing them.
const FEW: usize = 1024;

/// Sorts members that lie in the order in which they came; `spare` is memory to do it in.
pub(crate) fn by_slot(members: &mut Vec<Member>, spare: &mut Vec<Member>) {
    if members.len() < FEW {
        members.sort_unstable();
        return;
    }
    let most = members.iter().map(|member| member.slot()).max();
    let bits = u32::BITS - most.unwrap_or_default().leading_zeros();
    for shift in (0..bits).step_by(BITS as usize) {
        let digit = |member: &Member| (member.slot() >> shift) as usize % (1 << BITS);
        let mut places = [0_u32; 1 << BITS];
        members.iter().for_each(|member| places[digit(member)] += 1);
        let mut before = 0;
        for place in &mut places {
            before += std::mem::replace(place, before);
        }
        spare.clear();
        spare.resize(members.len(), members[0]);
        for member in &*members {
            let place = &mut places[digit(member)];
            spare[*place as usize] = *member;
            *place += 1;
        }
        std::mem::swap(members, spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_order_that_comparing_gives() {
        let mut seed = 7_u64;
        for (count, slots) in [(0, 1), (3, 9), (5000, 1), (5000, 3000), (70_000, 1 << 24)] {
            let mut members: Vec<Member> = (0..count)
                .map(|index| {
                    seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
                    Member::new((seed >> 33) as u32 % slots, index / 4096, index % 4096)
                })
                .collect();
            let mut expected = members.clone();
            expected.sort_unstable();
            by_slot(&mut members, &mut Vec::new());
            assert!(members == expected, "{count} members of {slots} slots");
        }
    }
}
