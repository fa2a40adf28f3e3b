//! Every rule at its edge: one microsecond on either side.

use super::*;
use tiderace_aggregate::{Part, Span, Unit};
use tiderace_types::{CoveredFrom, Generation, ViewId};

const DAY: Duration = Duration(86_400_000_000);
const NOW: Timestamp = Timestamp(1_000 * DAY.0);
const SLIDING: Window = Window {
    span: Span::Sliding(DAY),
    delay: Duration::ZERO,
};
const DELAYED: Window = Window {
    span: Span::Sliding(DAY),
    delay: Duration(2 * DAY.0),
};
const LIFETIME: Window = Window {
    span: Span::Lifetime,
    delay: Duration::ZERO,
};
const LAST_10: Window = Window {
    span: Span::LastN(10),
    delay: Duration::ZERO,
};
const SESSION: Window = Window {
    span: Span::Session {
        gap: Duration(DAY.0 / 2),
        max_length: Duration(DAY.0 / 2 - 1),
    },
    delay: Duration::ZERO,
};
const YESTERDAY: Window = Window {
    span: Span::Tumbling {
        unit: Unit::Fixed(DAY),
        part: Part::Last,
    },
    delay: Duration::ZERO,
};
/// A window of a day behind two days of delay.
const REACH: Duration = Duration(3 * DAY.0);

/// A case: all well at first, each test turns one thing.
#[derive(Clone)]
struct Case {
    terms: Terms,
    marker: Option<ViewMarker>,
    as_of: Timestamp,
    held: Held,
    window: Window,
    /// What the events of the row say that the window needs.
    needs_after: Timestamp,
}

fn case() -> Case {
    Case {
        terms: Terms {
            fingerprint: 7,
            kept: Kept::Span {
                reach: REACH,
                history: DAY,
                lateness: DAY,
            },
            reach: Some(REACH),
            max_age: None,
            max_lag: Duration::from_secs(5),
        },
        marker: Some(ViewMarker {
            view: ViewId(1),
            generation: Generation(0),
            fingerprint: 7,
            covered_from: CoveredFrom::Beginning,
            clock: NOW,
            caught_up_at: NOW,
            least_lag: Duration::ZERO,
        }),
        as_of: NOW,
        held: Held::Row {
            kept_from: Timestamp::MIN,
            newest: Some(NOW),
        },
        window: SLIDING,
        needs_after: Timestamp::MIN,
    }
}

#[track_caller]
fn check(turn: impl Fn(&mut Case), expect: (Standing, u32)) {
    let mut case = case();
    turn(&mut case);
    let said = case.marker.as_ref();
    let at = At {
        as_of: case.as_of,
        now: NOW,
    };
    let found = judge(&case.terms, said, at, case.held).value(case.window, || case.needs_after);
    assert_eq!(found, expect);
}

fn marker(case: &mut Case) -> &mut ViewMarker {
    case.marker.as_mut().expect("the case has one")
}

fn micros(at: Timestamp, more: i64) -> Timestamp {
    Timestamp(at.0 + more)
}

#[test]
fn all_well() {
    check(|_| {}, (Standing::Known, COMPLETE));
}

#[test]
fn unavailable_without_a_marker_of_this_definition() {
    check(|case| case.marker = None, (Standing::Unavailable, COMPLETE));
    check(
        |case| marker(case).fingerprint = 8,
        (Standing::Unavailable, COMPLETE),
    );
}

#[test]
fn stale_past_max_lag() {
    let lagging = |micros: i64| {
        move |case: &mut Case| marker(case).caught_up_at = Timestamp(NOW.0 - 5_000_000 - micros)
    };
    check(lagging(0), (Standing::Known, COMPLETE));
    check(lagging(1), (Standing::Known, STALE));
    // A writer whose wall clock runs ahead is not stale.
    check(lagging(-60_000_000), (Standing::Known, COMPLETE));
    // What was never caught up is stale, without overflow.
    check(
        |case| marker(case).caught_up_at = Timestamp::MIN,
        (Standing::Known, STALE),
    );
}

#[test]
fn warming_until_the_window_is_covered() {
    let covered = |from: CoveredFrom, window: Window| {
        move |case: &mut Case| {
            marker(case).covered_from = from;
            case.window = window;
        }
    };
    let edge = NOW.minus(DAY);
    for (from, window, flags) in [
        (CoveredFrom::Instant(edge), SLIDING, COMPLETE),
        (CoveredFrom::Instant(micros(edge, 1)), SLIDING, WARMING),
        (CoveredFrom::Instant(NOW.minus(REACH)), DELAYED, COMPLETE),
        (
            CoveredFrom::Instant(micros(NOW.minus(REACH), 1)),
            DELAYED,
            WARMING,
        ),
        (CoveredFrom::Instant(Timestamp(0)), LIFETIME, WARMING),
        (CoveredFrom::Beginning, LIFETIME, COMPLETE),
        (CoveredFrom::Nothing, SLIDING, WARMING),
        (CoveredFrom::Nothing, LIFETIME, WARMING),
    ] {
        check(covered(from, window), (Standing::Known, flags));
    }
    // Until so many events are held, or a session is known to begin where it seems to.
    for window in [LAST_10, SESSION] {
        let needs = |from: i64| {
            move |case: &mut Case| {
                covered(CoveredFrom::Instant(NOW), window)(case);
                case.needs_after = micros(NOW, from);
            }
        };
        check(needs(0), (Standing::Known, COMPLETE));
        check(needs(-1), (Standing::Known, WARMING));
    }
    for (from, window, flags) in [
        (CoveredFrom::Instant(edge), SESSION, COMPLETE),
        (CoveredFrom::Instant(micros(edge, 1)), SESSION, WARMING),
        (CoveredFrom::Instant(Timestamp(0)), LAST_10, WARMING),
        (CoveredFrom::Beginning, LAST_10, COMPLETE),
        (CoveredFrom::Nothing, LAST_10, WARMING),
        (
            CoveredFrom::Instant(micros(NOW.minus(DAY), -1)),
            YESTERDAY,
            COMPLETE,
        ),
        (CoveredFrom::Instant(NOW.minus(DAY)), YESTERDAY, WARMING),
    ] {
        check(covered(from, window), (Standing::Known, flags));
    }
    // It flags a missing entity too: not found yet is not the same as none.
    check(
        |case| {
            marker(case).covered_from = CoveredFrom::Nothing;
            case.held = Held::Absent;
        },
        (Standing::NotFound, WARMING),
    );
    check(
        |case| {
            marker(case).covered_from = CoveredFrom::Nothing;
            marker(case).caught_up_at = Timestamp::MIN;
        },
        (Standing::Known, WARMING | STALE),
    );
}

#[test]
fn outside_history_by_the_clock() {
    // clock - lateness - history = two days before the clock.
    for held in [Held::Absent, case().held] {
        let standing = match held {
            Held::Absent => Standing::NotFound,
            Held::Row { .. } | Held::Within { .. } => Standing::Known,
        };
        let at = |back: i64| {
            move |case: &mut Case| {
                case.held = match held {
                    Held::Absent => Held::Absent,
                    Held::Row { kept_from, .. } | Held::Within { kept_from, .. } => Held::Row {
                        kept_from,
                        newest: Some(Timestamp(back)),
                    },
                };
                case.as_of = Timestamp(back);
                // Expiry is judged apart.
                marker(case).least_lag = Duration(10 * DAY.0);
            }
        };
        let edge = NOW.minus(DAY).minus(DAY).0;
        check(at(edge), (standing, COMPLETE));
        check(at(edge - 1), (Standing::OutsideHistory, COMPLETE));
    }
}

#[test]
fn outside_history_by_what_the_row_let_go() {
    let kept_from = |from: Timestamp, window: Window| {
        move |case: &mut Case| {
            case.held = Held::Row {
                kept_from: from,
                newest: Some(NOW),
            };
            case.window = window;
        }
    };
    for (window, edge) in [
        (SLIDING, NOW.minus(DAY)),
        (DELAYED, NOW.minus(REACH)),
        (LIFETIME, NOW),
        (LAST_10, NOW),
        (SESSION, NOW.minus(DAY)),
        (YESTERDAY, micros(NOW.minus(DAY), -1)),
    ] {
        check(kept_from(edge, window), (Standing::Known, COMPLETE));
        check(
            kept_from(micros(edge, 1), window),
            (Standing::OutsideHistory, COMPLETE),
        );
    }
}

#[test]
fn outside_history_by_what_may_have_expired() {
    let absent = |least_lag: Duration| {
        move |case: &mut Case| {
            case.held = Held::Absent;
            case.as_of = NOW.minus(DAY);
            marker(case).least_lag = least_lag;
        }
    };
    // surely kept = now - least_lag; exact from there minus history (a day).
    check(absent(Duration::ZERO), (Standing::NotFound, COMPLETE));
    check(absent(Duration(-1)), (Standing::OutsideHistory, COMPLETE));
    check(absent(Duration(1)), (Standing::NotFound, COMPLETE));
    // Rows of a view with a lifetime never do.
    check(
        |case| {
            absent(Duration(-1))(case);
            case.terms.reach = None;
        },
        (Standing::NotFound, COMPLETE),
    );
    // A row that is there has not expired.
    check(
        |case| {
            case.as_of = NOW.minus(DAY);
            case.held = Held::Row {
                kept_from: Timestamp::MIN,
                newest: Some(case.as_of),
            };
            marker(case).least_lag = Duration(-5);
        },
        (Standing::Known, COMPLETE),
    );
}

#[test]
fn everything_is_kept_with_history_all() {
    check(
        |case| {
            case.terms.kept = Kept::All;
            case.as_of = Timestamp(0);
            case.held = Held::Absent;
            marker(case).least_lag = Duration(-1);
        },
        (Standing::NotFound, COMPLETE),
    );
}

#[test]
fn not_found_by_reach_not_by_expiry() {
    let newest = |newest: Option<Timestamp>| {
        move |case: &mut Case| {
            case.held = Held::Row {
                kept_from: Timestamp::MIN,
                newest,
            };
        }
    };
    let edge = NOW.minus(REACH);
    check(newest(None), (Standing::NotFound, COMPLETE));
    check(newest(Some(edge)), (Standing::NotFound, COMPLETE));
    check(newest(Some(micros(edge, 1))), (Standing::Known, COMPLETE));
    check(
        |case| case.held = Held::Absent,
        (Standing::NotFound, COMPLETE),
    );
    // A lifetime reaches everything.
    check(
        |case| {
            newest(Some(Timestamp(0)))(case);
            case.terms.reach = None;
        },
        (Standing::Known, COMPLETE),
    );
}

#[test]
fn outside_max_age_by_the_newest_event() {
    let aged = |age: i64| {
        move |case: &mut Case| {
            case.terms.max_age = Some(DAY);
            case.held = Held::Row {
                kept_from: Timestamp::MIN,
                newest: Some(Timestamp(NOW.0 - age)),
            };
        }
    };
    check(aged(DAY.0), (Standing::Known, COMPLETE));
    check(aged(DAY.0 + 1), (Standing::OutsideMaxAge, COMPLETE));
    // Nothing within reach is not found, however old.
    check(aged(REACH.0), (Standing::NotFound, COMPLETE));
}

#[test]
fn lag_is_never_negative_and_never_made_up() {
    let lag = |caught_up_at| {
        let mut case = case();
        marker(&mut case).caught_up_at = caught_up_at;
        let said = case.marker.as_ref();
        let at = At {
            as_of: NOW,
            now: NOW,
        };
        judge(&case.terms, said, at, case.held).lag()
    };
    assert_eq!(lag(micros(NOW, -3)), Some(Duration(3)));
    assert_eq!(lag(micros(NOW, 3)), Some(Duration::ZERO));
    assert_eq!(lag(Timestamp::MIN), None);
}

/// As of an instant among events that are held merged nobody is said not to be found.
#[test]
fn known_among_events_that_are_held_merged() {
    for (ago, max_age, expect) in [
        (1, None, Standing::Known),
        (400 * DAY.0, None, Standing::Known),
        (1, Some(2), Standing::Known),
        (3, Some(2), Standing::OutsideHistory),
    ] {
        let turn = |case: &mut Case| {
            case.terms.max_age = max_age.map(Duration);
            case.held = Held::Within {
                kept_from: Timestamp::MIN,
                since: Timestamp(NOW.0 - ago),
            };
        };
        check(turn, (expect, COMPLETE));
    }
}
