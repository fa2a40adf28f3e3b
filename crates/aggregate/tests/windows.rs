//! Edges of windows: the calendar where clocks are set, and the laws that every window keeps.

mod support;

use proptest::prelude::*;
use support::{Case, cases, spans};
use tiderace_aggregate::{
    Bounds, Calendar, Edge, Kept, Part, Passing, Period, Row, Span, Unit, Window, Zone,
};
use tiderace_testkit::naive;
use tiderace_types::{Duration, Timestamp};

const HOUR: i64 = 3_600_000_000;

fn calendar(every: u32, period: Period, zone: &str) -> Unit {
    let zone = Zone::named(zone).unwrap_or_else(|| panic!("no zone {zone}"));
    Unit::Calendar(Calendar::new(every, period, zone).expect("it takes so many"))
}

fn instant(text: &str) -> Timestamp {
    let parsed: chrono::DateTime<chrono::Utc> = text.parse().expect(text);
    Timestamp(parsed.timestamp_micros())
}

/// Holds that consecutive units begin at `starts` (UTC), to the microsecond.
fn check(every: u32, period: Period, zone: &str, starts: &[&str]) {
    let unit = calendar(every, period, zone);
    for pair in starts.windows(2) {
        let (start, next) = (instant(pair[0]), instant(pair[1]));
        for at in [start.0, start.0 + 1, start.0.midpoint(next.0), next.0 - 1] {
            let found = unit.start(Timestamp(at));
            assert_eq!(
                found.to_string(),
                start.to_string(),
                "{unit} at {}",
                Timestamp(at)
            );
        }
        assert!(next.since(start) <= unit.longest(), "{unit} {}", pair[0]);
    }
}

#[test]
fn days_have_23_24_or_25_hours() {
    check(
        1,
        Period::Day,
        "Asia/Seoul",
        &[
            "2024-03-09T15:00:00Z",
            "2024-03-10T15:00:00Z",
            "2024-03-11T15:00:00Z",
        ],
    );
    check(
        1,
        Period::Day,
        "America/New_York",
        &[
            "2024-03-09T05:00:00Z",
            "2024-03-10T05:00:00Z",
            "2024-03-11T04:00:00Z",
        ],
    );
    check(
        1,
        Period::Day,
        "America/New_York",
        &[
            "2024-11-02T04:00:00Z",
            "2024-11-03T04:00:00Z",
            "2024-11-04T05:00:00Z",
        ],
    );
    check(
        1,
        Period::Day,
        "Europe/Berlin",
        &[
            "2024-03-30T23:00:00Z",
            "2024-03-31T22:00:00Z",
            "2024-04-01T22:00:00Z",
        ],
    );
    check(
        1,
        Period::Day,
        "Europe/Berlin",
        &[
            "2024-10-26T22:00:00Z",
            "2024-10-27T23:00:00Z",
            "2024-10-28T23:00:00Z",
        ],
    );
    // Half an hour: 11:00 ahead in summer, 10:30 in winter.
    check(
        1,
        Period::Day,
        "Australia/Lord_Howe",
        &[
            "2024-04-05T13:00:00Z",
            "2024-04-06T13:00:00Z",
            "2024-04-07T13:30:00Z",
        ],
    );
    check(
        1,
        Period::Day,
        "Asia/Kathmandu",
        &["2024-03-09T18:15:00Z", "2024-03-10T18:15:00Z"],
    );
}

#[test]
fn days_begin_where_the_clock_jumps_over_midnight() {
    // Cairo, 26 April 2024: 00:00 was 01:00.
    check(
        1,
        Period::Day,
        "Africa/Cairo",
        &[
            "2024-04-24T22:00:00Z",
            "2024-04-25T22:00:00Z",
            "2024-04-26T21:00:00Z",
        ],
    );
    // And on 1 November it was 23:00 on the day before once more.
    check(
        1,
        Period::Day,
        "Africa/Cairo",
        &[
            "2024-10-30T21:00:00Z",
            "2024-10-31T22:00:00Z",
            "2024-11-01T22:00:00Z",
        ],
    );
    check(
        1,
        Period::Day,
        "America/Sao_Paulo",
        &[
            "2018-11-03T03:00:00Z",
            "2018-11-04T03:00:00Z",
            "2018-11-05T02:00:00Z",
        ],
    );
    check(
        1,
        Period::Day,
        "Asia/Beirut",
        &[
            "2022-03-25T22:00:00Z",
            "2022-03-26T22:00:00Z",
            "2022-03-27T21:00:00Z",
        ],
    );
    // St John's, 2010-11-07 00:01 became 23:01 on the sixth: the seventh had begun by then.
    check(
        1,
        Period::Day,
        "America/St_Johns",
        &[
            "2010-11-06T02:30:00Z",
            "2010-11-07T02:30:00Z",
            "2010-11-08T03:30:00Z",
        ],
    );
    // Samoa had no 30 December 2011.
    check(
        1,
        Period::Day,
        "Pacific/Apia",
        &[
            "2011-12-29T10:00:00Z",
            "2011-12-30T10:00:00Z",
            "2011-12-31T10:00:00Z",
        ],
    );
}

#[test]
fn hours_begin_when_the_clock_strikes() {
    // 01:00 to 02:00 is there twice.
    check(
        1,
        Period::Hour,
        "America/New_York",
        &[
            "2024-11-03T04:00:00Z",
            "2024-11-03T05:00:00Z",
            "2024-11-03T06:00:00Z",
            "2024-11-03T07:00:00Z",
        ],
    );
    check(
        6,
        Period::Hour,
        "America/New_York",
        &[
            "2024-11-02T22:00:00Z",
            "2024-11-03T04:00:00Z",
            "2024-11-03T11:00:00Z",
            "2024-11-03T17:00:00Z",
        ],
    );
    check(
        2,
        Period::Hour,
        "America/New_York",
        &[
            "2024-03-10T05:00:00Z",
            "2024-03-10T07:00:00Z",
            "2024-03-10T08:00:00Z",
            "2024-03-10T10:00:00Z",
        ],
    );
    // 02:00 was 01:30: the hour from 01:00 has ninety minutes.
    check(
        1,
        Period::Hour,
        "Australia/Lord_Howe",
        &[
            "2024-04-06T14:00:00Z",
            "2024-04-06T15:30:00Z",
            "2024-04-06T16:30:00Z",
        ],
    );
    // 02:00 was 02:30.
    check(
        1,
        Period::Hour,
        "Australia/Lord_Howe",
        &[
            "2024-10-05T14:30:00Z",
            "2024-10-05T15:30:00Z",
            "2024-10-05T16:00:00Z",
            "2024-10-05T17:00:00Z",
        ],
    );
    check(
        1,
        Period::Hour,
        "Asia/Kathmandu",
        &["2024-01-01T00:15:00Z", "2024-01-01T01:15:00Z"],
    );
    check(
        12,
        Period::Hour,
        "Africa/Cairo",
        &[
            "2024-04-25T10:00:00Z",
            "2024-04-25T22:00:00Z",
            "2024-04-26T09:00:00Z",
        ],
    );
}

#[test]
fn weeks_months_quarters_and_years() {
    check(
        1,
        Period::Week,
        "UTC",
        &[
            "1969-12-29T00:00:00Z",
            "1970-01-05T00:00:00Z",
            "1970-01-12T00:00:00Z",
        ],
    );
    check(
        1,
        Period::Week,
        "Europe/Berlin",
        &[
            "2024-03-24T23:00:00Z",
            "2024-03-31T22:00:00Z",
            "2024-04-07T22:00:00Z",
        ],
    );
    check(
        2,
        Period::Week,
        "UTC",
        &[
            "1969-12-29T00:00:00Z",
            "1970-01-12T00:00:00Z",
            "1970-01-26T00:00:00Z",
        ],
    );
    check(
        1,
        Period::Month,
        "Asia/Kathmandu",
        &[
            "2024-01-31T18:15:00Z",
            "2024-02-29T18:15:00Z",
            "2024-03-31T18:15:00Z",
        ],
    );
    check(
        1,
        Period::Quarter,
        "America/New_York",
        &[
            "2024-01-01T05:00:00Z",
            "2024-04-01T04:00:00Z",
            "2024-07-01T04:00:00Z",
            "2024-10-01T04:00:00Z",
        ],
    );
    check(
        2,
        Period::Quarter,
        "UTC",
        &[
            "2023-07-01T00:00:00Z",
            "2024-01-01T00:00:00Z",
            "2024-07-01T00:00:00Z",
        ],
    );
    check(
        1,
        Period::Year,
        "Asia/Seoul",
        &["2023-12-31T15:00:00Z", "2024-12-31T15:00:00Z"],
    );
    check(
        10,
        Period::Year,
        "UTC",
        &[
            "2010-01-01T00:00:00Z",
            "2020-01-01T00:00:00Z",
            "2030-01-01T00:00:00Z",
        ],
    );
    check(
        3,
        Period::Day,
        "UTC",
        &[
            "1969-12-29T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "1970-01-04T00:00:00Z",
        ],
    );
}

#[test]
fn a_tumbling_window_is_one_unit() {
    let day = calendar(1, Period::Day, "America/New_York");
    let window = |part, delay| Window {
        span: Span::Tumbling { unit: day, part },
        delay: Duration(delay),
    };
    let bounds = |window: Window, at: &str| {
        let Bounds { after, upto } = window.bounds(instant(at)).expect("by time alone");
        (after.to_string(), upto.to_string())
    };
    let check = |found: (String, String), after: &str, upto: &str| {
        assert_eq!((found.0.as_str(), found.1.as_str()), (after, upto));
    };
    let at = "2024-03-11T04:00:00Z";
    check(
        bounds(window(Part::Current, 0), at),
        "2024-03-11T03:59:59.999999Z",
        at,
    );
    check(
        bounds(window(Part::Last, 0), at),
        "2024-03-10T04:59:59.999999Z",
        "2024-03-11T03:59:59.999999Z",
    );
    // A microsecond earlier it is the day before that.
    check(
        bounds(window(Part::Current, 1), at),
        "2024-03-10T04:59:59.999999Z",
        "2024-03-11T03:59:59.999999Z",
    );
    check(
        bounds(window(Part::Last, 1), at),
        "2024-03-09T04:59:59.999999Z",
        "2024-03-10T04:59:59.999999Z",
    );
}

/// Wherever any zone's clock was ever set, and all round it, units part time.
#[test]
fn units_part_time_in_every_zone() {
    let of = |every, period, zone| {
        Unit::Calendar(Calendar::new(every, period, zone).expect("it takes so many"))
    };
    for name in Zone::names() {
        let zone = Zone::named(name).expect("listed");
        let one = of(1, Period::Day, zone);
        let mut last = Timestamp::MIN;
        for day in 7_000..24_000 {
            let noon = Timestamp((day * 24 + 12) * HOUR);
            let start = one.start(noon);
            if start.since(last).0 != 24 * HOUR {
                // Somewhere about here the clock was set.
                for unit in [one, of(1, Period::Hour, zone), of(4, Period::Hour, zone)] {
                    parts_time(unit, noon.minus(Duration(54 * HOUR)), noon);
                }
            }
            last = start;
        }
    }
}

/// Looks at every ten minutes and a microsecond before.
fn parts_time(unit: Unit, from: Timestamp, upto: Timestamp) {
    let mut last = Timestamp::MIN;
    for ten in (from.0..upto.0).step_by(600_000_000) {
        for at in [Timestamp(ten - 1), Timestamp(ten)] {
            let start = unit.start(at);
            assert!(last <= start && start <= at, "{unit} at {at}");
            assert_eq!(unit.start(start), start, "{unit} at {at}");
            let before = unit.start(Timestamp(start.0 - 1));
            assert!(before < start, "{unit} at {at}");
            assert!(last == start || last <= before, "{unit} at {at}");
            last = start;
        }
    }
}

fn windows() -> impl Strategy<Value = Window> {
    let delay = prop_oneof![
        Just(0),
        0..10i64,
        any::<i64>().prop_map(|d| d.saturating_abs())
    ];
    (0..spans().len(), delay).prop_map(|(span, delay)| Window {
        span: spans()[span],
        delay: Duration(delay),
    })
}

fn anywhere() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        any::<i64>(),
        -50..50i64,
        (0..50i64).prop_map(|n| i64::MAX - n),
        (0..50i64).prop_map(|n| i64::MIN + n),
        1_500_000_000_000_000..1_700_000_000_000_000i64,
    ]
    .prop_map(Timestamp)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn edges_never_fall(window in windows(), at in anywhere(), later in anywhere(), near in 0..4i64) {
        let near = at.plus(Duration(near));
        let mut instants = [at, later, near];
        instants.sort();
        for pair in instants.windows(2) {
            let edges = pair.iter().map(|at| window.left_edge(*at)).collect::<Vec<_>>();
            prop_assert!(edges[0] <= edges[1]);
            if let (Some(earlier), Some(later)) = (window.bounds(pair[0]), window.bounds(pair[1])) {
                prop_assert!(earlier.after <= later.after && earlier.upto <= later.upto);
            }
        }
    }

    #[test]
    fn what_a_window_holds_stands_until_it_is_said_to_change(
        window in windows(),
        at in anywhere(),
        steps in prop::collection::vec((-3i64..40, any::<bool>()), 0..12),
        wide in any::<bool>(),
        bits in prop::collection::vec(0u64..2, 12),
        filter in prop::option::of(Just(0usize)),
        share in 0.0..1.0f64,
    ) {
        // Near the ends of time edges stand still.
        let at = Timestamp(at.0 >> 2);
        let scale = if wide { HOUR } else { 1 };
        let mut times: Vec<i64> = steps
            .iter()
            .map(|(step, ahead)| {
                let back = window.horizon().unwrap_or(Duration(20)).0 / 2;
                let by = step.saturating_mul(scale);
                at.0.saturating_add(if *ahead { by } else { by.saturating_sub(back) })
            })
            .collect();
        times.sort_unstable();
        let passing = Passing { bits: &bits[..times.len()], filter };
        let held = |at: Timestamp| -> Vec<usize> {
            window.select(at, &times, passing).filter(|i| passing.passes(*i)).collect()
        };
        let now = held(at);
        let end = Timestamp(1 << 61);
        let (until, changed) = match window.changes_after(at, &times, passing) {
            Some(until) => {
                prop_assert!(until > at, "{window} at {at} until {until}");
                (until, true)
            }
            None => (end.plus(Duration(1)), false),
        };
        let before = Timestamp(until.0 - 1);
        let between = at.plus(Duration((before.since(at).0 as f64 * share) as i64)).min(before);
        for probe in [at, between, before] {
            prop_assert_eq!(held(probe), now.clone(), "{} from {} at {}, until {}", window, at, probe, until);
        }
        if changed {
            prop_assert_ne!(held(until), now, "{} from {} until {}", window, at, until);
        }
    }

    #[test]
    fn edges_go_where_they_are_said_to(
        window in windows(),
        at in anywhere(),
        ahead in prop_oneof![0..10i64, 0..10 * HOUR, any::<i64>().prop_map(i64::saturating_abs)],
        share in 0.0..=1.0f64,
    ) {
        let later = at.plus(Duration(ahead));
        let between = at.plus(Duration((later.since(at).0 as f64 * share) as i64)).min(later);
        let found = window.edges(at, later);
        prop_assert_eq!(found.is_some(), window.bounds(at).is_some());
        for at in [at, between, later] {
            let Some(Bounds { after, upto }) = window.bounds(at) else {
                continue;
            };
            for (edge, place) in found.iter().flatten().zip([after, upto]) {
                let there = match edge {
                    Edge::Moves(from, to) => *from <= place && place <= *to,
                    Edge::Stands(places) => places.is_sorted() && places.contains(&place),
                };
                prop_assert!(there, "{} is not on {:?}", place, edge);
            }
        }
    }

    #[test]
    fn edges_lie_within_reach(window in windows(), at in anywhere()) {
        if let Some(Bounds { after, upto }) = window.bounds(at) {
            prop_assert!(upto <= at && (after <= upto || upto == Timestamp::MIN));
        }
        if window.horizon().is_some_and(|horizon| horizon < Duration::MAX) {
            prop_assert!(window.left_edge(at) >= at.minus(window.reach()));
        }
    }
}

/// Events that are not needed may be anything, and what is needed is all that is.
fn needs_are_enough(case: &Case) {
    let (spec, facts) = (case.spec(), case.facts());
    let row = support::row(&spec, &facts);
    for as_of in case.instants(&spec, &facts) {
        for output in &spec.outputs {
            let after = row.needs_after(output, as_of);
            assert!(after >= output.window.left_edge(as_of), "{}", output.window);
            let times: Vec<i64> = row.events.times().to_vec();
            let from = times.partition_point(|time| *time <= after.0);
            let passing = |bits| Passing {
                bits,
                filter: output.filter,
            };
            let whole = output
                .window
                .select(as_of, &times, passing(row.events.bits()));
            let part = output.window.select(
                as_of,
                &times[from..],
                passing(row.events.bits().get(from..).unwrap_or_default()),
            );
            let counted = |range: std::ops::Range<usize>, from: usize| -> Vec<usize> {
                range
                    .map(|index| index + from)
                    .filter(|index| passing(row.events.bits()).passes(*index))
                    .collect()
            };
            assert_eq!(counted(whole, 0), counted(part, from), "{}", output.window);
        }
    }
}

/// What a row answers is the same at every instant before the one that it says.
fn answers_stand(case: &Case) {
    let (spec, facts) = (case.spec(), case.facts());
    let row = support::row(&spec, &facts);
    let mut instants = case.instants(&spec, &facts);
    instants.sort_unstable();
    let end = Timestamp(1 << 61);
    for as_of in instants
        .iter()
        .copied()
        .filter(|at| at.0.unsigned_abs() < 1 << 60)
    {
        for (index, output) in spec.outputs.iter().enumerate() {
            let until = row.valid_until(&spec, index, as_of);
            let until = until.unwrap_or(end).min(end);
            assert!(until > as_of, "{} {}", output.name, output.window);
            let before = Timestamp(until.0 - 1);
            let within = instants.iter().copied();
            let within = within.filter(|at| as_of < *at && *at < until);
            let now = row.finish(&spec, &[index], as_of);
            // Edges are held at the ends of time.
            if output.window.reach().0 > 1 << 58 {
                continue;
            }
            for probe in within.chain([before]) {
                let then = row.finish(&spec, &[index], probe);
                let same = match (&now[0], &then[0]) {
                    (Ok(now), Ok(then)) => naive::agree(&now.value, &then.value),
                    (now, then) => now.is_err() == then.is_err(),
                };
                assert!(
                    same,
                    "{} {} is {:?} at {as_of} until {until}, but {:?} at {probe}",
                    output.name, output.window, now[0], then[0]
                );
            }
        }
    }
}

/// A row that lets go as its spec says answers every instant that the spec promises.
fn trimming_by_the_spec_keeps_its_promise(case: &Case) {
    let mut spec = case.spec();
    let facts = case.facts();
    let reach = spec
        .outputs
        .iter()
        .map(|output| output.window.reach())
        .max();
    let (history, lateness) = (Duration((case.shuffle % 5).cast_signed()), Duration(2));
    spec.kept = Kept::Span {
        reach: reach.unwrap_or_default(),
        history,
        lateness,
    };
    let mut row = Row::new(&spec);
    let mut accepted = Vec::new();
    let mut clock = Timestamp::MIN;
    for fact in case.shuffled() {
        if fact.time < clock.minus(lateness) {
            continue;
        }
        fact.offer(&spec, &mut row);
        clock = clock.max(fact.time);
        accepted.push(fact);
        row.trim(&spec, spec.kept_from(clock));
    }
    let least = clock.minus(lateness).minus(history);
    for as_of in case
        .instants(&spec, &facts)
        .into_iter()
        .chain([least, clock])
    {
        if as_of >= least {
            for output in &spec.outputs {
                assert!(
                    row.holds(output.window, as_of),
                    "{} at {as_of:?}",
                    output.window
                );
            }
            support::check(&spec, &row, &accepted, as_of, |_| true);
        }
    }
}

proptest! {

    #[test]
    fn answers_stand_until_they_are_said_to_change(case in cases()) {
        answers_stand(&case);
    }

    #[test]
    fn what_is_needed_decides(case in cases()) {
        needs_are_enough(&case);
    }

    #[test]
    fn what_the_spec_keeps_is_enough(case in cases()) {
        trimming_by_the_spec_keeps_its_promise(&case);
    }
}
