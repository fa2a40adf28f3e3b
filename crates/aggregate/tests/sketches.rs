//! Sketches at scale: their errors are what they say, and the order of things does not matter.

mod support;

use proptest::prelude::*;
use std::collections::BTreeMap;
use support::next;
use tiderace_aggregate::{
    Bound, Buckets, Cell, Event, Function, Hll, Id, IdKind, Kept, Key, Level, Output, Partial,
    Reading, Row, RowSpec, Span, Window, finish_partial,
};
use tiderace_types::wire::Reader;
use tiderace_types::{DataType, Duration, Timestamp, Value, hash_key};

/// Counts from where the exact count ends to far past it, many times over: three in a thousand
/// may be off by more than the bound. And on average there is no bias.
#[test]
fn counts_keep_to_their_bound() {
    let (mut tries, mut off, mut bias) = (0u32, 0u32, 0.0f64);
    for seed in 0..60u64 {
        let mut state = seed;
        let mut hll = Hll::default();
        let mut checks = [300, 1000, 5000, 12_000, 40_000, 150_000]
            .into_iter()
            .peekable();
        for count in 1..=150_000u32 {
            hll.add(&Key::Int(next(&mut state).cast_signed()));
            if checks.next_if_eq(&count).is_some() {
                let error = hll.estimate() / f64::from(count) - 1.0;
                tries += 1;
                off += u32::from(error.abs() > Hll::ERROR);
                bias += error;
            }
        }
    }
    assert!(off <= 1 + tries / 100, "{off} of {tries} are off");
    let bias = bias / f64::from(tries);
    assert!(bias.abs() < 0.005, "biased by {bias}");
}

/// The estimator's known ends: nothing, and one.
#[test]
fn few_keys_are_counted_well() {
    let mut hll = Hll::default();
    assert_eq!(hll.estimate(), 0.0);
    for n in 1..=50 {
        hll.add(&Key::Bytes(format!("key {n}").into_bytes().into()));
        hll.add(&Key::Bytes(format!("key {n}").into_bytes().into()));
        assert!((hll.estimate() - f64::from(n)).abs() < 2.0, "{n}");
    }
}

/// The hash decides which sketches agree with which: it never changes.
#[test]
fn the_hash_of_keys_is_pinned() {
    let mut hll = Hll::default();
    for key in [
        Key::Int(596),
        Key::Float(57.16),
        Key::Decimal(-5716),
        Key::Bytes(b"Z\xc3\xbcrich".as_slice().into()),
    ] {
        hll.add(&key);
    }
    let mut partial = Vec::new();
    Partial::Hll(hll).write(&mut partial);
    let hex: String = partial.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, PINNED);
}

const PINNED: &str = "070104ba01029f02019b1501c00506";

/// Every form of registers, with how long it is and what its bytes hash to: what was written once
/// reads for ever.
const FORMS: [(u64, u8, usize, u64); 5] = [
    // (how many hashes, the form, its length, its hash)
    (100, 1, 203, 14_253_102_239_272_895_424),
    (2_000, 2, 2_069, 8_344_844_781_902_576_961),
    (4_000_000, 2, 2_081, 10_424_944_431_355_965_436),
    (40_000_000_000, 2, 2_095, 1_338_046_397_434_178_325),
    (0, 0, 3_074, 13_632_219_864_601_833_966),
];

/// Registers that `count` hashes give; of none, such as no hashes give: every rank is had by many.
fn registers(count: u64) -> Hll {
    let mut hll = Hll::default();
    let mut state = count;
    for register in 0..4096u64 {
        let draws = (count / 4096).max(1);
        let rank = match count {
            0 => register % 53,
            100 if register % 41 > 0 => continue,
            2_000 if next(&mut state) % 5 > 1 => continue,
            // The greatest of so many ranks.
            _ => u64::from(next(&mut state).leading_zeros()) + u64::from(draws.ilog2()),
        };
        hll.add_hash(register << 52 | (1 << 51) >> rank.min(51));
    }
    hll
}

#[test]
fn registers_are_written_as_ever() {
    let found = FORMS.map(|(count, ..)| {
        let mut bytes = Vec::new();
        Partial::Hll(registers(count)).write(&mut bytes);
        (count, bytes[1], bytes.len(), hash_key(&bytes))
    });
    assert_eq!(found, FORMS);
}

/// A reader that is told how many registers have each rank estimates what one does that counts them,
/// whatever is added or merged later; and what is told wrongly is refused where it is checked.
#[test]
fn registers_read_as_they_were() {
    let output = output(Function::CountDistinct { cap: 1 }, DataType::Int64);
    let read = |bytes: &[u8]| {
        let read = Partial::read(&mut Reader::new(bytes), &output, &[DataType::Int64]);
        read.map(|partial| match partial {
            Partial::Hll(hll) => hll,
            other => panic!("{other:?} is no sketch"),
        })
    };
    for (count, ..) in FORMS {
        let mut written = registers(count);
        let mut bytes = Vec::new();
        Partial::Hll(written.clone()).write(&mut bytes);
        assert!(bytes.len() <= output.partial_bound(&[DataType::Int64]));
        let mut found = read(&bytes).expect("what was written reads");
        assert_eq!(found, written);
        let mut state = count;
        for _ in 0..3 {
            assert_eq!(found.estimate().to_bits(), written.estimate().to_bits());
            for _ in 0..1000 {
                let hash = next(&mut state);
                found.add_hash(hash);
                written.add_hash(hash);
            }
            assert_eq!(found, written);
            assert_eq!(found.estimate().to_bits(), written.estimate().to_bits());
            let other = registers(next(&mut state) % 10_000 * 10_000);
            found.merge(&other);
            written.merge(&other);
        }
        if bytes[1] == 2 {
            // One has a rank less.
            let last = bytes.len() - 1;
            bytes[last] -= 1;
            bytes[last - 1] += 1;
            assert!(read(&bytes).is_err());
        }
    }
}

fn floats() -> impl Strategy<Value = Vec<f64>> {
    let float = prop_oneof![
        any::<f64>().prop_filter("finite", |x| x.is_finite()),
        -1000.0..1000.0f64,
        Just(0.0),
        (0.0..60.0f64).prop_map(f64::exp),
    ];
    prop::collection::vec(float, 1..4000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn quantiles_keep_to_their_bound(numbers in floats(), cut in any::<usize>()) {
        let mut whole = Buckets::default();
        whole.extend(numbers.iter().copied());
        let (a, b) = numbers.split_at(cut % numbers.len());
        let [mut first, mut second] = [a, b].map(|part| {
            let mut buckets = Buckets::default();
            buckets.extend(part.iter().rev().copied());
            buckets
        });
        let mut other = second.clone();
        other.merge(&first);
        first.merge(&second);
        prop_assert_eq!(&first, &whole);
        prop_assert_eq!(&other, &whole);
        second.merge(&Buckets::default());
        let mut sorted = numbers;
        sorted.sort_by(f64::total_cmp);
        for level in [0, 10_000, 250_000, 500_000, 900_000, 999_000, 1_000_000] {
            let rank = Level(level).rank(sorted.len() as u64);
            let (found, exact) = (whole.at(rank), sorted[rank as usize]);
            let error = whole.error() * (1.0 + 1e-12) * exact.abs();
            let tiny = found == 0.0 && exact.abs() < f64::MIN_POSITIVE;
            prop_assert!(
                tiny || (found - exact).abs() <= error,
                "{level}: {found}, not {exact}, within {}", whole.error()
            );
        }
        let mut bytes = Vec::new();
        Partial::Numbers(tiderace_aggregate::Numbers::Counted(Box::new(whole))).write(&mut bytes);
        let output = output(Function::Quantile { level: Level(1), cap: 1 }, DataType::Float64);
        let read = Partial::read(&mut Reader::new(&bytes), &output, &[DataType::Float64]);
        prop_assert!(read.is_ok());
        prop_assert!(bytes.len() <= output.partial_bound(&[DataType::Float64]));
    }

    /// Skewed and flat, in parts that are merged in some tree, or added one by one.
    #[test]
    fn heavy_values_keep_to_their_bound(
        seed in any::<u64>(),
        keys in 1u64..600,
        skew in 1u32..4,
        parts in 1usize..40,
        cap in 4u32..64,
    ) {
        heavy_values(seed, keys, skew, parts, cap);
    }
}

/// With numbers of usual size the error is the least there is.
#[test]
fn usual_numbers_are_within_one_percent() {
    let mut buckets = Buckets::default();
    let mut state = 1;
    buckets.extend((0..100_000).map(|_| (next(&mut state) % 10_000_000) as f64 / 100.0));
    assert!(buckets.error() < 0.01, "{}", buckets.error());
}

fn output(function: Function, data_type: DataType) -> Output {
    Output {
        name: "tested".into(),
        function,
        input: Some(0),
        by: None,
        filter: None,
        window: Window {
            span: Span::Lifetime,
            delay: Duration::ZERO,
        },
        data_type,
        default: None,
    }
}

fn heavy_values(seed: u64, keys: u64, skew: u32, parts: usize, cap: u32) {
    let by_key = DataType::Map(Box::new(DataType::Int64), Box::new(DataType::Int64));
    let mut output = output(Function::Histogram { cap }, by_key);
    output.by = None;
    let spec = RowSpec {
        fingerprint: 1,
        id: IdKind::Int64,
        inputs: vec![DataType::Int64],
        filters: 0,
        sign: None,
        outputs: vec![output.clone()],
        kept: Kept::All,
    };
    let mut state = seed;
    let mut exact: BTreeMap<i64, u64> = BTreeMap::new();
    let mut row = Row::new(&spec);
    let events = 3000;
    for id in 0..events {
        let share = (next(&mut state) % 1_000_000) as f64 / 1e6;
        let key = (share.powi(skew.cast_signed()) * keys as f64) as i64;
        *exact.entry(key).or_default() += 1;
        let event = Event {
            time: Timestamp(id),
            id: Id::Int(id),
            bits: 0,
            inputs: &[Cell::Int(key)],
        };
        row.offer(&spec, &event);
    }
    let each = events as usize / parts + 1;
    let mut held: Vec<Partial> = (0..parts)
        .map(|part| {
            let range =
                (part * each).min(events as usize)..((part + 1) * each).min(events as usize);
            let mut partial = Partial::empty(&output, &spec.inputs);
            match part % 3 {
                0 => range.for_each(|i| partial.add(&output, &spec.inputs, &row.events, i..i + 1)),
                _ => partial.add(&output, &spec.inputs, &row.events, range),
            }
            partial
        })
        .collect();
    while held.len() > 1 {
        let a = held.swap_remove(next(&mut state) as usize % held.len());
        let b = held.swap_remove(next(&mut state) as usize % held.len());
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.merge_ref(&output, &b);
        ba.merge_ref(&output, &a);
        assert_eq!(ab, ba, "merging commutes");
        held.push(ab);
    }
    let reading = Reading {
        as_of: Timestamp(events),
        after: Timestamp::MIN,
        upto: Timestamp(events),
    };
    let answer = finish_partial(&output, &spec.inputs, &held[0], &reading).expect("counts fit");
    let Value::Map(entries) = answer.value else {
        panic!("a histogram is a map");
    };
    let error = match answer.bound {
        None => 0.0,
        Some(Bound::Absolute { error }) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(answer.bound.is_some(), exact.len() > cap as usize);
    assert!(error <= events as f64 / (f64::from(cap) * 0.75), "{error}");
    for (key, weight) in entries {
        let (Value::Int(key), Value::Int(weight)) = (key, weight) else {
            panic!("whole numbers");
        };
        let exact = exact.remove(&key).expect("each key once");
        assert!((exact as f64 - weight as f64).abs() <= error, "{key}");
    }
    assert!(exact.values().all(|missing| *missing as f64 <= error));
}
