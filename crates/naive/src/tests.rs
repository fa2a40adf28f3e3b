use super::*;
use tiderace_aggregate::{Calendar, Function, Part, Period, Span, Unit, Window, Zone};
use tiderace_types::{DataType, Duration};

const SECOND: i64 = 1_000_000;

/// `(second, id, [inputs])`
fn events(rows: &[(i64, i64, [Value; 2])]) -> Vec<Event> {
    let event = |(second, id, inputs): &(i64, i64, [Value; 2])| Event {
        time: Timestamp(second * SECOND),
        id: Value::Int(*id),
        inputs: inputs.to_vec(),
        bits: u64::from(id % 2 == 1),
        retracts: false,
    };
    rows.iter().map(event).collect()
}

fn output(function: Function) -> Output {
    Output {
        name: "tested".into(),
        function,
        input: Some(0),
        by: None,
        filter: None,
        window: Window {
            span: Span::Sliding(Duration::from_secs(10)),
            delay: Duration::ZERO,
        },
        data_type: DataType::Int64,
        default: None,
    }
}

fn check(output: &Output, rows: &[(i64, i64, [Value; 2])], at: i64, expect: Value) {
    let forward = events(rows);
    let found = answer(output, &forward, Timestamp(at * SECOND)).expect("fits");
    assert!(
        agree(&found, &expect),
        "{:?}: {found}, not {expect}",
        output.function
    );
}

fn int(n: i64) -> Value {
    Value::Int(n)
}

#[test]
fn edges_are_open_left_and_closed_right() {
    let rows = [
        (0, 1, [int(1), Value::Null]),
        (1, 2, [int(10), Value::Null]),
        (10, 3, [int(100), Value::Null]),
        (11, 4, [int(1000), Value::Null]),
    ];
    let sum = output(Function::Sum);
    check(&sum, &rows, 10, int(110));
    check(&sum, &rows, 11, int(1100));
    check(&sum, &rows, 9, int(11));
    check(&sum, &rows, -1, Value::Null);
    let mut delayed = sum.clone();
    delayed.window.delay = Duration::from_secs(1);
    check(&delayed, &rows, 11, int(110));
    let mut lifetime = delayed.clone();
    lifetime.window.span = Span::Lifetime;
    check(&lifetime, &rows, 12, int(1111));
    let mut odd = lifetime;
    odd.filter = Some(0);
    check(&odd, &rows, 12, int(101));
}

#[test]
fn every_kind_of_window_is_told_apart() {
    let one = |second: i64| (second, second, [int(1), Value::Null]);
    let rows = [0, 1, 59, 60, 61, 95, 119, 120].map(one);
    let seconds = Duration::from_secs;
    let minute = Unit::Fixed(seconds(60));
    let session = |most| Span::Session {
        gap: seconds(34),
        max_length: seconds(most),
    };
    let tumbling = |part| Span::Tumbling { unit: minute, part };
    let hopping = Span::Hopping {
        size: seconds(10),
        hop: seconds(60),
    };
    for (span, at, expect) in [
        (hopping, 129, 4),
        (hopping, 130, 0),
        (tumbling(Part::Current), 119, 4),
        (tumbling(Part::Current), 120, 1),
        (tumbling(Part::Last), 119, 3),
        (tumbling(Part::Last), 120, 4),
        (session(1000), 120, 6),
        (session(61), 120, 6),
        (session(60), 120, 5),
        (session(25), 120, 3),
        (session(25), 154, 3),
        (session(25), 155, 0),
        (Span::LastN(3), 119, 3),
        (Span::LastN(9), 119, 7),
        (Span::Lifetime, 119, 7),
    ] {
        let mut count = output(Function::Count);
        count.window.span = span;
        check(&count, &rows, at, int(expect));
    }
    let mut odd = output(Function::Sum);
    odd.window.span = Span::LastN(2);
    odd.filter = Some(0);
    let numbered = [1, 2, 3, 4, 5, 6].map(|n| (n, n, [int(n), Value::Null]));
    check(&odd, &numbered, 6, int(8));
    let hour = Calendar::new(1, Period::Hour, Zone::UTC).expect("one hour");
    let mut count = output(Function::Count);
    count.window.span = Span::Tumbling {
        unit: Unit::Calendar(hour),
        part: Part::Current,
    };
    check(&count, &rows, 3599, int(8));
    check(&count, &rows, 3600, int(0));
}

#[test]
fn nulls_copies_and_defaults() {
    let rows = [
        (1, 1, [int(5), Value::Null]),
        (1, 1, [int(7), Value::Null]),
        (2, 1, [int(7), Value::Null]),
        (3, 2, [Value::Null, Value::Null]),
    ];
    check(&output(Function::Count), &rows, 3, int(2));
    let mut all = output(Function::Count);
    all.input = None;
    check(&all, &rows, 3, int(3));
    check(&output(Function::Sum), &rows, 3, int(12));
    check(&output(Function::Avg), &rows, 3, Value::Float(6.0));
    check(&output(Function::First), &rows, 3, int(5));
    check(&output(Function::Last), &rows, 3, int(7));
    check(
        &output(Function::CountDistinct { cap: 256 }),
        &rows,
        3,
        int(2),
    );
    check(
        &output(Function::CountDistinct { cap: 256 }),
        &rows,
        0,
        int(0),
    );
    let mut min = output(Function::Min);
    check(&min, &rows, 0, Value::Null);
    min.default = Some(int(-1));
    check(&min, &rows, 0, int(-1));
}

#[test]
fn the_heaviest_come_first_then_the_lesser_key() {
    let named = |name: &str, weight: Value| [Value::string(name), weight];
    let rows = [
        (1, 1, named("b", int(2))),
        (2, 2, named("a", int(2))),
        (3, 3, named("c", int(1))),
        (4, 4, named("c", int(4))),
        (5, 5, named("d", Value::Null)),
        (6, 6, [Value::Null, int(100)]),
    ];
    let entry = |name: &str, weight| (Value::string(name), int(weight));
    let by_count = output(Function::TopN { n: 2, cap: 256 });
    let expect = Value::Map(vec![entry("c", 2), entry("a", 1)]);
    check(&by_count, &rows, 6, expect);
    let mut by_sum = output(Function::TopN { n: 9, cap: 256 });
    by_sum.by = Some(1);
    let expect = Value::Map(vec![entry("c", 5), entry("a", 2), entry("b", 2)]);
    check(&by_sum, &rows, 6, expect);
    check(&by_sum, &rows, 0, Value::Null);
}

#[test]
fn numbers_are_exact() {
    let one = |value: Value| [value, Value::Null];
    let floats = [
        (1, 1, one(Value::Float(1e100))),
        (2, 2, one(Value::Float(1.0))),
        (3, 3, one(Value::Float(-1e100))),
    ];
    check(&output(Function::Sum), &floats, 3, Value::Float(1.0));
    let decimals = [
        (1, 1, one(Value::Decimal(-5716, 2))),
        (2, 2, one(Value::Decimal(-1, 2))),
        (3, 3, one(Value::Decimal(0, 2))),
    ];
    check(
        &output(Function::Sum),
        &decimals,
        3,
        Value::Decimal(-5717, 2),
    );
    // −57.17 / 3 = −19.0566666…
    check(
        &output(Function::Avg),
        &decimals,
        3,
        Value::Decimal(-19_056_667, 6),
    );
    let large = [(1, 1, one(int(i64::MAX))), (2, 2, one(int(1)))];
    let sum = answer(
        &output(Function::Sum),
        &events(&large),
        Timestamp(2 * SECOND),
    );
    assert_eq!(sum, Err(Overflow));
}
