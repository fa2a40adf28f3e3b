//! Training sets against a recount, and against what others have published.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tiderace_testkit::bin;
use tiderace_testkit::generate::{Dice, Payments, Town};
use tiderace_testkit::naive;
use tiderace_tests::ask::Question;
use tiderace_tests::input::{self, Payment};
use tiderace_tests::oracle::{Oracle, SERVICES};
use tiderace_tests::project::{PAST, Project, Settings};
use tiderace_tests::table;
use tiderace_types::{Duration, Timestamp, Value};

/// A project whose source has a table that others wrote, in Hive's layout.
struct Past {
    project: Project,
    folder: TempDir,
    payments: Vec<Payment>,
}

impl Past {
    fn new() -> Past {
        Past::since("complete_since: beginning")
    }

    /// Whose source says since when it is whole.
    fn since(said: &str) -> Past {
        let town = Town {
            seed: 7,
            customers: 60,
            terminals: 30,
            // About sixty days.
            per_second: 9_000.0 / (60.0 * 86_400.0),
            ..Town::default()
        };
        let payments: Vec<Payment> = Payments::new(town)
            .take(9_000)
            .map(|payment| input::made_up(&payment))
            .collect();
        let past = Past::with(said, payments);
        past.write_table();
        past
    }

    fn of(payments: Vec<Payment>) -> Past {
        Past::with("complete_since: beginning", payments)
    }

    fn with(since: &str, payments: Vec<Payment>) -> Past {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = folder.path().join("past");
        let source = format!(
            "{PAST}archive: {{ parquet: \"{}\", write: false }}\n",
            archive.display()
        );
        let settings = Settings {
            source: source.replace("complete_since: beginning", since),
            ..Settings::default()
        };
        Past {
            project: Project::new(&settings).expect("project"),
            folder,
            payments,
        }
    }

    fn table(&self) -> PathBuf {
        self.folder.path().join("past")
    }

    /// Writes the payments by day, some of them twice.
    fn write_table(&self) {
        const DAY: i64 = 86_400_000_000;
        let day = |payment: &Payment| payment.time.0.div_euclid(DAY);
        let mut payments = self.payments.clone();
        payments.sort_by_key(day);
        for of_day in payments.chunk_by(|a, b| day(a) == day(b)) {
            let folder = self.table().join(format!("day={}", day(&of_day[0])));
            table::write(&folder.join("a.parquet"), of_day, 100).expect("write");
            table::write(
                &folder.join("again.parquet"),
                &of_day[..of_day.len() / 3],
                50,
            )
            .expect("write");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn history(
        &self,
        service: &str,
        spine: &Path,
        out: &Path,
        more: &[&str],
    ) -> anyhow::Result<String> {
        let text = |path: &Path| path.to_str().expect("a name that is text").to_owned();
        let (spine, out) = (text(spine), text(out));
        let mut arguments = vec![
            "history",
            "--project",
            self.project.argument(),
            "--service",
            service,
            "--spine",
            &spine,
            "--out",
            &out,
        ];
        arguments.extend(more);
        bin::output(&arguments)
    }

    /// Rows that want features: at payments' own instants, and at others.
    fn spine(&self, rows: usize) -> Vec<Payment> {
        let mut dice = Dice::new(5);
        let payments = &self.payments;
        let row = |place: usize| {
            let mut payment = payments[dice.index(payments.len())];
            match place % 4 {
                0 => {
                    payment.time = payment
                        .time
                        .plus(Duration(dice.below(40 * 86_400_000_000).cast_signed()))
                }
                1 => payment.time = payment.time.minus(Duration(1)),
                _ => {}
            }
            if place.is_multiple_of(50) {
                payment.customer = 1 << 40;
            }
            payment
        };
        (0..rows).map(row).collect()
    }
}

/// What is wrong with a training set, if anything.
fn fault(oracle: &Oracle, service: &'static str, spine: &[Payment], out: &Path) -> Option<String> {
    let batches = table::read(out).expect("read");
    assert_eq!(
        table::ints(&batches, "tx_id"),
        spine.iter().map(|payment| payment.id).collect::<Vec<_>>(),
        "the order of the spine"
    );
    let mut names: Vec<(String, Vec<Value>)> = Vec::new();
    for (row, payment) in spine.iter().enumerate() {
        let entity = match service {
            "risk" => payment.terminal,
            _ => payment.customer,
        };
        let mut question = Question::at(service, entity, payment.time);
        question.amount = (service == "habits").then_some(payment.amount);
        let expected = oracle.expected(&question);
        if names.is_empty() {
            names = expected
                .iter()
                .map(|(name, _)| (name.clone(), table::values(&batches, name)))
                .collect();
        }
        for ((name, column), (_, expected)) in names.iter().zip(&expected) {
            if !naive::agree(&column[row], expected) {
                return Some(format!(
                    "{question:?}: {name} is {}, not {expected}",
                    column[row]
                ));
            }
        }
    }
    None
}

#[test]
fn every_value_is_what_a_recount_says() {
    let past = Past::new();
    let oracle = Oracle::new(past.payments.iter().copied());
    let spine = past.spine(3_000);
    let file = past.path("spine.parquet");
    table::write(&file, &spine, 700).expect("write");
    for service in SERVICES {
        let out = past.path(&format!("{service}.parquet"));
        let said = past.history(service, &file, &out, &[]).expect("history");
        assert_eq!(fault(&oracle, service, &spine, &out), None);
        assert!(said.contains("copies of events"), "{said}");
    }
    // The file shows that a fault would be seen: one payment less, and it does not agree.
    let fewer = Oracle::new(
        past.payments
            .iter()
            .copied()
            .filter(|payment| payment.id != spine[2].id),
    );
    assert_ne!(
        fault(&fewer, "spend", &spine, &past.path("spend.parquet")),
        None
    );
}

#[test]
fn what_reaches_back_before_the_past_says_so() {
    for (since, begins) in [
        ("", None),
        (
            "complete_since: 2018-04-20T00:00:00Z",
            Some(Timestamp(1_524_182_400_000_000)),
        ),
        ("complete_since: beginning", Some(Timestamp::MIN)),
    ] {
        let past = Past::since(since);
        let spine = past.spine(2_000);
        let (file, out) = (past.path("spine.parquet"), past.path("out.parquet"));
        table::write(&file, &spine, 700).expect("write");
        let said = past.history("spend", &file, &out, &["--completeness"]);
        let said = said.expect("history");
        let earliest = past.payments.iter().map(|payment| payment.time).min();
        let begins = begins.or(earliest).expect("payments");
        let batches = table::read(&out).expect("read");
        for days in [1, 7, 30] {
            let name = format!("tx_count_{days}d");
            let told = table::values(&batches, &format!("{name}__completeness"));
            let warms = |row: &Payment| row.time.minus(Duration::from_secs(days * 86_400)) < begins;
            let expected = spine.iter().map(|row| match warms(row) {
                true => Value::String("WARMING".into()),
                false => Value::String("COMPLETE".into()),
            });
            assert_eq!(told, expected.collect::<Vec<_>>(), "{since}: {name}");
            let count = spine.iter().filter(|row| warms(row)).count();
            let line = format!("{count} answers of {name} are WARMING");
            assert_eq!(said.contains(&line), count > 0, "{said}");
        }
        let advised = said.contains(&format!("begins at {begins}, its earliest event"));
        assert_eq!(advised, since.is_empty(), "{said}");
    }
}

#[test]
fn what_is_past_a_cap_says_so() {
    const CAP: usize = 16;
    let past = Past::new();
    let definitions = past.project.folder().join("definitions.yaml");
    let text = std::fs::read_to_string(&definitions).expect("definitions");
    let text = text
        .replace(
            "aggregate: count_distinct, of: terminal_id",
            &format!("aggregate: count_distinct, of: terminal_id, cap: {CAP}"),
        )
        .replace(
            "on_demand:\n",
            "on_demand:\n  - { name: twice, expr: \"terminals_30d * 2\" }\n",
        );
    std::fs::write(&definitions, text).expect("written");
    let spine = past.spine(2_000);
    let (file, out) = (past.path("spine.parquet"), past.path("out.parquet"));
    table::write(&file, &spine, 700).expect("write");
    let is_past = |row: &Payment| {
        let from = row.time.minus(Duration::from_secs(30 * 86_400));
        let own = past.payments.iter().filter(|payment| {
            let counts = payment.customer == row.customer && payment.amount >= 1.0;
            counts && payment.time > from && payment.time <= row.time
        });
        let terminals: BTreeSet<i64> = own.map(|payment| payment.terminal).collect();
        terminals.len() > CAP
    };
    let expected: Vec<Value> = spine
        .iter()
        .map(|row| match is_past(row) {
            true => Value::String("APPROXIMATE".into()),
            false => Value::String("COMPLETE".into()),
        })
        .collect();
    let approximate = spine.iter().filter(|row| is_past(row)).count();
    assert!(
        approximate > 0 && approximate < spine.len(),
        "{approximate}"
    );
    // In memory, and part by part.
    for more in [&[][..], &["--memory", "1MiB"]] {
        let options = [&["--completeness"], more].concat();
        past.history("habits", &file, &out, &options)
            .expect("history");
        let batches = table::read(&out).expect("read");
        for name in ["terminals_30d", "twice"] {
            let told = table::values(&batches, &format!("{name}__completeness"));
            assert_eq!(told, expected, "{name} {more:?}");
        }
        let exact = table::values(&batches, "amount_min_7d__completeness");
        assert!(
            exact
                .iter()
                .all(|told| *told == Value::String("COMPLETE".into()))
        );
    }
}

#[test]
fn memory_threads_and_shares_change_nothing() {
    let past = Past::new();
    let spine = past.spine(40_000);
    let file = past.path("spine.parquet");
    table::write(&file, &spine, 9_000).expect("write");
    let whole = past.path("whole.parquet");
    past.history("habits", &file, &whole, &["--threads", "1"])
        .expect("history");
    let whole = rows(&table::read(&whole).expect("read"));
    assert_eq!(whole.len(), spine.len());
    let small = past.path("small.parquet");
    past.history(
        "habits",
        &file,
        &small,
        &["--threads", "3", "--memory", "2MiB"],
    )
    .expect("history");
    assert!(
        rows(&table::read(&small).expect("read")) == whole,
        "with little memory"
    );
    let mut shared = Vec::new();
    for part in ["0/3", "1/3", "2/3"] {
        past.history("habits", &file, &past.path("shares"), &["--part", part])
            .expect("history");
    }
    for part in 0..3 {
        let file = past
            .path("shares")
            .join(format!("part-{part}-of-3.parquet"));
        shared.extend(rows(&table::read(&file).expect("read")));
    }
    assert!(shared == whole, "in three shares");
}

/// Every row as text: a word for each value.
fn rows(batches: &[arrow::array::RecordBatch]) -> Vec<String> {
    let schema = batches[0].schema();
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let columns: Vec<Vec<Value>> = names
        .iter()
        .map(|name| table::values(batches, name))
        .collect();
    let rows = 0..columns[0].len();
    rows.map(|row| {
        let values = columns.iter().map(|column| column[row].to_string());
        values.collect::<Vec<_>>().join(" ")
    })
    .collect()
}

#[test]
fn the_rows_own_event_is_left_out() {
    let past = Past::new();
    let spine: Vec<Payment> = past.payments.iter().step_by(7).copied().collect();
    let file = past.path("spine.parquet");
    table::write(&file, &spine, 1_000).expect("write");
    for service in ["spend", "habits"] {
        let out = past.path(&format!("{service}.parquet"));
        past.history(service, &file, &out, &["--exclude", "tx_id"])
            .expect("history");
        for row in spine.iter().enumerate().step_by(40).map(|(row, _)| row) {
            let own = spine[row];
            let others = past
                .payments
                .iter()
                .copied()
                .filter(|payment| payment.id != own.id);
            let oracle = Oracle::new(others);
            let one = past.path("one.parquet");
            let batches = table::read(&out).expect("read");
            let batch =
                arrow::compute::concat_batches(&batches[0].schema(), &batches).expect("one");
            table::write_batch(&one, &batch.slice(row, 1), 1).expect("write");
            assert_eq!(fault(&oracle, service, &[own], &one), None);
        }
    }
}

#[test]
fn csv_in_and_out() {
    let past = Past::new();
    let oracle = Oracle::new(past.payments.iter().copied());
    let payment = past.payments[500];
    let spine = past.path("spine.csv");
    let text = format!(
        "label,customer_id,amount,seen_at\nyes,{},2.5,{}\n,{},2.5,{}\n",
        payment.customer, payment.time, payment.customer, payment.time
    );
    std::fs::write(&spine, text).expect("write");
    let out = past.path("training.csv");
    past.history("habits", &spine, &out, &["--timestamp", "seen_at"])
        .expect("history");
    let said = std::fs::read_to_string(&out).expect("read");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(
        lines[0].starts_with("label,customer_id,amount,seen_at,amount_sum_1h,"),
        "{said}"
    );
    let mut question = Question::at("habits", payment.customer, payment.time);
    question.amount = Some(2.5);
    let expected = oracle.expected(&question);
    let (_, sum) = expected
        .iter()
        .find(|(name, _)| name == "amount_sum_1h")
        .expect("it is there");
    let Value::Float(sum) = sum else {
        panic!("{sum}")
    };
    let found: f64 = lines[1]
        .split(',')
        .nth(4)
        .expect("a column")
        .parse()
        .expect("a number");
    assert!((found - sum).abs() <= 1e-9 * sum, "{found}, not {sum}");
}

#[test]
fn published_features_are_what_it_says() {
    let Some(data) = input::published() else {
        return;
    };
    let payments = data.join("card_payments.parquet");
    let published = input::read_published(&data.join("card_payments_expected_week.parquet"))
        .expect("published");
    let all = input::read_payments(&payments).expect("payments");
    let by_id: std::collections::BTreeMap<i64, &Payment> =
        all.iter().map(|payment| (payment.id, payment)).collect();
    let spine: Vec<Payment> = published.iter().map(|row| *by_id[&row.id]).collect();
    let past = Past::of(Vec::new());
    std::fs::create_dir_all(past.table()).expect("a folder");
    std::fs::copy(&payments, past.table().join("all.parquet")).expect("copy");
    let file = past.path("week.parquet");
    table::write(&file, &spine, 20_000).expect("write");
    let out = past.path("training.parquet");
    past.history("spend", &file, &out, &[]).expect("history");
    let batches = table::read(&out).expect("read");
    let sizes = ["1d", "7d", "30d"];
    let counts = sizes.map(|size| table::values(&batches, &format!("tx_count_{size}")));
    let averages = sizes.map(|size| table::values(&batches, &format!("amount_avg_{size}")));
    let later_twin = |payment: &Payment| {
        let twins = spine.iter().filter(|other| {
            (other.customer, other.time) == (payment.customer, payment.time)
                && other.id > payment.id
        });
        twins.count() > 0
    };
    let mut unlike = 0;
    for (row, published) in published.iter().enumerate() {
        let same = (0..3).all(|size| {
            let average = match &averages[size][row] {
                Value::Float(average) => *average,
                _ => f64::NAN,
            };
            counts[size][row] == Value::Int(published.counts[size])
                && (average - published.averages[size]).abs() <= 1e-9 * average.abs()
        });
        if !same {
            // Published rows were made one by one: the first of two in a second misses the second.
            assert!(later_twin(&spine[row]), "payment {}", published.id);
            unlike += 1;
        }
    }
    assert!(
        unlike < 30,
        "{unlike} of {} rows are unlike the published ones",
        published.len()
    );
}

#[test]
fn mistakes_are_named() {
    let past = Past::new();
    let file = past.path("spine.parquet");
    table::write(&file, &past.payments[..100], 100).expect("write");
    let out = past.path("out.parquet");
    let said = |error: anyhow::Error| format!("{error:#}");
    let fails = |service: &str, spine: &Path, more: &[&str]| {
        let failed = past.history(service, spine, &out, more);
        let text = said(failed.expect_err("it is a mistake"));
        assert!(!out.exists(), "nothing is written");
        text
    };
    let text = fails("spent", &file, &[]);
    assert!(
        text.contains("unknown feature service `spent`; the project has: habits, risk, spend"),
        "{text}"
    );
    let text = fails("spend", &past.path("none.parquet"), &[]);
    assert!(
        text.contains("none.parquet: no such file or folder"),
        "{text}"
    );
    let text = fails("spend", &file, &["--timestamp", "when"]);
    assert!(text.contains("there is no column `when`"), "{text}");
    let text = fails("spend", &file, &["--table", "card_payments=/nowhere"]);
    assert!(text.contains("/nowhere: no such file or folder"), "{text}");

    // A table without a column, and one with another type.
    let batch = table::batch(&past.payments[..100]).expect("batch");
    let without = batch.project(&[0, 1, 3, 4, 5]).expect("project");
    let lacking = past.path("lacking/x.parquet");
    table::write_batch(&lacking, &without, 50).expect("write");
    let named = format!("card_payments={}", past.path("lacking").display());
    let text = fails("spend", &file, &["--table", &named]);
    assert!(text.contains("lacking/x.parquet"), "{text}");
    assert!(
        text.contains("there is no column `customer_id` (int64); it has tx_id, tx_time"),
        "{text}"
    );
    let text_column: arrow::array::StringArray = (0..100).map(|_| Some("x")).collect();
    let mut columns: Vec<(&str, arrow::array::ArrayRef)> = Vec::new();
    let schema = batch.schema();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        columns.push(match field.name().as_str() {
            "amount" => ("amount", std::sync::Arc::new(text_column.clone())),
            name => (name, column.clone()),
        });
    }
    let other = arrow::array::RecordBatch::try_from_iter(columns).expect("batch");
    table::write_batch(&past.path("other/x.parquet"), &other, 50).expect("write");
    let named = format!("card_payments={}", past.path("other").display());
    let text = fails("spend", &file, &["--table", &named]);
    assert!(
        text.contains("column `amount` is Utf8, expected float64"),
        "{text}"
    );

    // A file that is damaged inside.
    let damaged = past.path("damaged/x.parquet");
    table::write(&damaged, &past.payments, 1_000).expect("write");
    let mut bytes = std::fs::read(&damaged).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2_000].fill(0xa5);
    std::fs::write(&damaged, &bytes).expect("write");
    let named = format!("card_payments={}", past.path("damaged").display());
    let text = fails("spend", &file, &["--table", &named]);
    assert!(text.contains("damaged/x.parquet, row group "), "{text}");
}

#[test]
fn nothing_of_the_future_is_in_it() {
    let past = Past::of(Vec::new());
    let at = |seconds: i64| Timestamp(1_522_540_800_000_000 + seconds * 1_000_000);
    let payment = |id: i64, seconds: i64| Payment {
        id,
        time: at(seconds),
        customer: 1,
        terminal: 1,
        amount: 1.0,
        is_fraud: 1,
    };
    let past = Past {
        payments: vec![payment(1, 0), payment(2, 10), payment(3, 20)],
        ..past
    };
    past.write_table();
    let spine = [payment(7, 9), payment(8, 10), payment(9, -1)];
    let file = past.path("spine.parquet");
    table::write(&file, &spine, 10).expect("write");
    let out = past.path("out.parquet");
    past.history("spend", &file, &out, &[]).expect("history");
    let counts = table::ints(&table::read(&out).expect("read"), "tx_count_1d");
    assert_eq!(counts, [1, 2, 0]);
}
