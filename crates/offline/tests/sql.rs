//! Runs of queries over real files: what is answered, what of it is new, what is refused.

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;
use tiderace_offline::Error;
use tiderace_offline::sql::{self, Asked, Folder, Outcome, Ran};
use tiderace_plan::{Plan, SourceFile, View, load, render_text};
use tiderace_types::Timestamp;

const DEFINITIONS: &str = r#"
project: shop
---
kind: source
name: payments
archive: { parquet: archive }
columns: { id: int64, at: timestamp, customer: int64, amount: float64, kind: { type: string, path: what.kind } }
event_time: at
event_id: id
---
kind: entity
name: customer
keys: { customer: int64 }
---
kind: feature_view
name: spend
entity: customer
keys: { customer: who }
sql:
  tables:
    payments: { archive: payments }
    people: { parquet: people }
    countries: { csv: countries.csv, columns: { code: string } }
  query: |
    SELECT p.customer AS who, c.name AS country, sum(p.amount) AS spent, count(*) AS paid
    FROM payments p JOIN people q ON q.customer = p.customer JOIN countries c ON c.code = q.country
    GROUP BY 1, 2
  MORE
features:
  - { name: country, type: string }
  - { name: spent, type: float64 }
  - { name: paid, type: int64 }
"#;

struct Scene {
    folder: TempDir,
    plan: Plan,
}

/// A customer's key, country and amounts.
type Answer = BTreeMap<i64, (String, f64, i64)>;

impl Scene {
    fn new(definitions: &str) -> Scene {
        let files = [SourceFile {
            path: "tiderace.yaml".to_owned(),
            text: definitions.to_owned(),
        }];
        let (loaded, found) = load(&files, &|_| None);
        let loaded = loaded.unwrap_or_else(|| panic!("{}", render_text(&found, false)));
        Scene {
            folder: tempfile::tempdir().expect("a folder"),
            plan: loaded.plan,
        }
    }

    fn asking(more: &str) -> Scene {
        let scene = Scene::new(&DEFINITIONS.replace("  MORE\n", more));
        scene.people("people/a.parquet", &[(1, "01"), (2, "7"), (3, "01")]);
        scene.text("countries.csv", "code,name\n01,Chile\n7,Peru\n");
        scene
    }

    fn view(&self) -> &View {
        let mut views = self.plan.views.iter();
        views
            .find(|view| view.source.query().is_some())
            .expect("a view")
    }

    fn answers(&self) -> Folder {
        Folder::new(
            self.folder
                .path()
                .join("data/state/sql")
                .join(&self.view().name),
        )
    }

    fn text(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("written");
    }

    fn write(&self, name: &str, columns: Vec<(&str, ArrayRef)>) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let batch = RecordBatch::try_from_iter(columns).expect("columns");
        let file = File::create(&path).expect("created");
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
    }

    fn people(&self, name: &str, all: &[(i64, &str)]) {
        let customers = Int64Array::from_iter_values(all.iter().map(|(customer, _)| *customer));
        let countries = StringArray::from_iter_values(all.iter().map(|(_, country)| *country));
        self.write(
            name,
            vec![
                ("customer", Arc::new(customers) as ArrayRef),
                ("country", Arc::new(countries)),
            ],
        );
    }

    /// Puts payments of a day of April 2018 in the archive.
    fn pay(&self, day: i64, all: &[(i64, f64)]) {
        let at = (0..).map(|second: i64| (1_522_540_800 + (day - 1) * 86_400 + second) * 1_000_000);
        let ids = Int64Array::from_iter_values((0..all.len() as i64).map(|n| day * 1000 + n));
        let at = TimestampMicrosecondArray::from_iter_values(at.take(all.len()));
        let customers = Int64Array::from_iter_values(all.iter().map(|(customer, _)| *customer));
        let amounts = Float64Array::from_iter_values(all.iter().map(|(_, amount)| *amount));
        let kinds = StringArray::from_iter_values(all.iter().map(|_| "card"));
        self.write(
            &format!("archive/date=2018-04-{day:02}/a.parquet"),
            vec![
                ("id", Arc::new(ids) as ArrayRef),
                ("at", Arc::new(at.with_timezone("UTC"))),
                ("customer", Arc::new(customers)),
                ("amount", Arc::new(amounts)),
                ("kind", Arc::new(kinds)),
            ],
        );
    }

    fn run(&self, before: Option<&str>, at: i64) -> Result<Ran, Error> {
        self.run_until(before, at, AtomicBool::new(false))
    }

    fn run_until(&self, before: Option<&str>, at: i64, stop: AtomicBool) -> Result<Ran, Error> {
        let view = self.view();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(sql::run(&Asked {
            view,
            query: view.source.query().expect("a query"),
            project: self.folder.path(),
            environment: &[],
            folder: &self.answers(),
            before,
            at: Timestamp(at),
            stop: Arc::new(stop),
        }))
    }

    fn fails(&self, before: Option<&str>, at: i64) -> String {
        let error = self.run(before, at).expect_err("a failure");
        error.to_string()
    }

    /// The one file of an answer, and its rows.
    fn answer(&self) -> (String, Answer) {
        let path = self.answers().answer();
        let files: Vec<String> = fs::read_dir(&path)
            .expect("a folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        let [file] = files.as_slice() else {
            panic!("{files:?}");
        };
        (file.clone(), rows(&path.join(file)))
    }

    fn changes(&self, file: &str) -> Answer {
        rows(&self.answers().changes().join(file))
    }

    fn checked(&self) -> Vec<String> {
        let view = self.view();
        let keys: Vec<usize> = view.keys.iter().map(|key| view.source.used[*key]).collect();
        let query = view.source.query().expect("a query");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let found = sql::check(&view.source, query, &keys, self.folder.path());
        let found = match runtime.block_on(found) {
            Ok(found) => found,
            Err(error) => return vec![error.to_string()],
        };
        let told = |problem: sql::Problem| {
            let place = problem.error.span.map(|span| query.text[span].to_owned());
            let help = problem.error.help.unwrap_or_default();
            format!(
                "{}: {} ({help})",
                place.unwrap_or_default(),
                problem.error.message
            )
        };
        found.into_iter().map(told).collect()
    }
}

fn batches(path: &Path) -> Vec<RecordBatch> {
    let file = File::open(path).expect("opened");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
    let reader = reader.build().expect("a reader");
    reader.map(|batch| batch.expect("rows")).collect()
}

fn rows(path: &Path) -> Answer {
    let mut all = Answer::new();
    for batch in batches(path) {
        let column = |name: &str| batch.column_by_name(name).expect(name);
        for row in 0..batch.num_rows() {
            let who = column("who").as_primitive::<Int64Type>().value(row);
            let country = column("country").as_string::<i32>().value(row).to_owned();
            let spent = column("spent");
            let spent = spent
                .as_primitive::<arrow::datatypes::Float64Type>()
                .value(row);
            let paid = column("paid").as_primitive::<Int64Type>().value(row);
            all.insert(who, (country, spent, paid));
        }
    }
    all
}

fn since(path: &Path) -> BTreeMap<i64, i64> {
    let mut all = BTreeMap::new();
    for batch in batches(path) {
        let who = batch
            .column_by_name("who")
            .expect("who")
            .as_primitive::<Int64Type>();
        let at = batch.column_by_name("answered_at").expect("when");
        let at = at.as_primitive::<TimestampMicrosecondType>();
        all.extend(
            who.values()
                .iter()
                .copied()
                .zip(at.values().iter().copied()),
        );
    }
    all
}

fn expected(all: &[(i64, &str, f64, i64)]) -> Answer {
    let rows = all.iter();
    rows.map(|(who, country, spent, paid)| (*who, ((*country).to_owned(), *spent, *paid)))
        .collect()
}

#[test]
fn an_answer_is_whole_and_what_is_new_of_it_is_told() {
    let scene = Scene::asking("");
    // Nothing was archived yet.
    let ran = scene.run(None, 100).expect("run");
    assert_eq!((ran.outcome, ran.rows), (Outcome::Answered, 0));
    assert_eq!(scene.answer().1, Answer::new());

    scene.pay(1, &[(1, 2.5), (2, 1.0), (1, 0.25), (9, 5.0)]);
    let (first, _) = scene.answer();
    let ran = scene.run(Some(&first), 200).expect("run");
    assert_eq!(
        (ran.outcome, ran.rows, ran.changed),
        (Outcome::Answered, 2, 2)
    );
    let (second, answer) = scene.answer();
    assert_eq!(second, "200.parquet");
    assert_eq!(
        answer,
        expected(&[(1, "Chile", 2.75, 2), (2, "Peru", 1.0, 1)])
    );

    // As before: nothing is run, and nothing is new.
    let ran = scene.run(Some(&second), 300).expect("run");
    assert_eq!(ran.outcome, Outcome::Skipped);
    // But whoever does not have that answer is given one.
    let ran = scene.run(None, 300).expect("run");
    assert_eq!((ran.outcome, ran.has_changes), (Outcome::Answered, false));
    let (third, answer_again) = scene.answer();
    assert_eq!(answer_again, answer);

    // Other files, the same answer.
    scene.text("countries.csv", "code,name\n01,Chile\n7,Peru\n8,Haiti\n");
    let ran = scene.run(Some(&third), 400).expect("run");
    assert_eq!((ran.outcome, ran.has_changes), (Outcome::Same, false));
    assert_eq!(scene.answer().0, third);
    assert_eq!(
        scene.run(Some(&third), 450).expect("run").outcome,
        Outcome::Skipped
    );

    // One is new, one is other, one has left, one is as before.
    scene.pay(2, &[(3, 4.0), (2, 4.0)]);
    scene.people("people/a.parquet", &[(1, "01"), (2, "7"), (3, "8")]);
    let ran = scene.run(Some(&third), 500).expect("run");
    assert_eq!((ran.rows, ran.changed, ran.left), (3, 2, 0));
    assert!(ran.has_changes);
    let (fourth, answer) = scene.answer();
    let whole = [
        (1, "Chile", 2.75, 2),
        (2, "Peru", 5.0, 2),
        (3, "Haiti", 4.0, 1),
    ];
    assert_eq!(answer, expected(&whole));
    assert_eq!(scene.changes(&fourth), expected(&whole[1..]));
    let times = since(&scene.answers().answer().join(&fourth));
    assert_eq!(times, [(1, 300), (2, 500), (3, 500)].into());

    // An instant that is not later than the last one: they go on all the same.
    scene.people("people/a.parquet", &[(2, "7"), (3, "8")]);
    let ran = scene.run(Some(&fourth), 17).expect("run");
    assert_eq!((ran.rows, ran.changed, ran.left), (2, 0, 1));
    assert_eq!(scene.answer().0, "501.parquet");
    assert_eq!(scene.changes("501.parquet"), Answer::new());
}

#[test]
fn a_run_that_fails_leaves_the_answer() {
    let scene = Scene::asking("  memory: 16MiB\n");
    scene.pay(1, &[(1, 2.5), (2, 1.0)]);
    scene.run(None, 100).expect("run");
    let held = scene.answer();
    let before = Some(held.0.as_str());
    let fails = |parts: &[&str]| {
        let said = scene.fails(before, 200);
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(scene.answer(), held);
    };
    // A file that is none, one that lacks a column, one that is gone.
    scene.text("people/b.parquet", "no Parquet");
    fails(&["table `people`", "b.parquet"]);
    fs::remove_file(scene.folder.path().join("people/b.parquet")).expect("removed");
    scene.text("countries.csv", "code,named\n01,Chile\n");
    fails(&["unknown column `c.name`"]);
    scene.text("countries.csv", "kode,name\n01,Chile\n");
    fails(&["countries.csv", "there is no column `code`"]);
    fs::remove_file(scene.folder.path().join("countries.csv")).expect("removed");
    fails(&["table `countries`", "No such file"]);
    // An entity with two rows.
    scene.text("countries.csv", "code,name\n01,Chile\n01,Chili\n7,Peru\n");
    fails(&["more than one row for who = 1"]);
    scene.text("countries.csv", "code,name\n01,Chile\n7,Perú\n");
    let ran = scene.run(before, 300).expect("run");
    assert_eq!((ran.rows, ran.changed), (2, 1));
}

#[test]
fn bounds_are_kept() {
    let definitions = DEFINITIONS.replace("  MORE\n", "  memory: 16MiB\n  timeout: TIME\n");
    let many: Vec<(i64, f64)> = (0..60_000).map(|n| (n % 20_000, 1.0)).collect();
    let query =
        "SELECT p.customer AS who, 'x' AS country, sum(p.amount) AS spent, count(*) AS paid";
    let asking_for = |time: &str, text: &str| {
        let start = definitions.find("    SELECT").expect("a query");
        let end = definitions.find("  memory").expect("its end");
        let tables = definitions.replace("    people: { parquet: people }\n", "");
        let tables = tables.replace(
            "    countries: { csv: countries.csv, columns: { code: string } }\n",
            "",
        );
        let shift = definitions.len() - tables.len();
        let text = format!(
            "{}    {text}\n{}",
            &tables[..start - shift],
            &tables[end - shift..]
        );
        let scene = Scene::new(&text.replace("TIME", time));
        scene.pay(1, &many);
        scene
    };
    let asking = |text: &str| asking_for("10m", text);
    // Sorted on disk, where it does not fit.
    let scene = asking(&format!("{query} FROM payments p GROUP BY 1"));
    assert_eq!(scene.run(None, 100).expect("run").rows, 20_000);
    // A join of which no side fits in memory is sorted.
    let wide = "SELECT who, 'x' AS country, max(spent) AS spent, max(paid) AS paid FROM (\
         SELECT a.customer AS who, a.amount AS spent, b.id AS paid, \
         repeat(cast(a.id as string), 200) AS wide FROM payments a JOIN \
         (SELECT id, repeat(cast(id as string), 400) AS wide FROM payments) b ON a.id = b.id \
         WHERE length(b.wide) > 0) GROUP BY 1";
    let scene = asking(wide);
    assert_eq!(scene.run(None, 100).expect("run").rows, 20_000);
    // What cannot be put aside.
    let scene = asking(
        "SELECT 1 AS who, 'x' AS country, 1.0 AS spent, cardinality(array_agg(repeat(cast(id as string), 900))) AS paid \
         FROM payments",
    );
    let said = scene.fails(None, 100);
    assert!(
        said.contains("does not fit in its memory of 16MiB"),
        "{said}"
    );
    // What takes too long: rows without end, pairs that all match and none counts, and none that matches.
    let slow = "length(repeat(cast(p.id + q.id AS string), 50)) < 0";
    for from in [
        "payments p, payments q, payments r".to_owned(),
        format!("payments p JOIN payments q ON p.kind = q.kind AND {slow}"),
        format!("payments p JOIN payments q ON {slow}"),
    ] {
        let scene = asking_for("500ms", &format!("{query} FROM {from} GROUP BY 1"));
        let said = scene.fails(None, 100);
        assert!(
            said.contains("was not answered within 500ms"),
            "{from}: {said}"
        );
        assert!(scene.answers().newest_is_none());
    }
    let scene = asking(&format!(
        "{query} FROM payments p, payments q, payments r GROUP BY 1"
    ));
    // What is told to end.
    let ran = scene.run_until(None, 100, AtomicBool::new(true));
    let ran = ran.expect("run");
    assert_eq!(ran.outcome, Outcome::Stopped);
    assert!(scene.answers().newest_is_none());
}

/// Whether there is no answer.
trait Empty {
    fn newest_is_none(&self) -> bool;
}

impl Empty for Folder {
    fn newest_is_none(&self) -> bool {
        fs::read_dir(self.answer())
            .expect("a folder")
            .next()
            .is_none()
    }
}

#[test]
fn days_that_cannot_matter_are_not_read() {
    for (column, of) in [
        ("date", "p.date >= DATE '2018-04-02'"),
        ("at", "p.at >= TIMESTAMP '2018-04-02T00:00:00Z'"),
        ("now", "p.at >= now() - INTERVAL '1 day'"),
    ] {
        let text = DEFINITIONS.replace("    GROUP BY", &format!("    WHERE {of}\n    GROUP BY"));
        let scene = Scene::new(&text.replace("  MORE\n", ""));
        scene.people("people/a.parquet", &[(1, "01"), (2, "01")]);
        scene.text("countries.csv", "code,name\n01,Chile\n");
        scene.pay(1, &[(1, 1.0); 500]);
        scene.pay(2, &[(1, 2.0), (2, 3.0)]);
        // Its end is whole, so that it opens, and nothing before that is.
        let path = scene
            .folder
            .path()
            .join("archive/date=2018-04-01/a.parquet");
        let mut bytes = fs::read(&path).expect("read");
        bytes[4..1000].iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs::write(&path, bytes).expect("written");
        // The third of April.
        let ran = scene.run(None, 1_522_713_500_000_000).expect(column);
        assert_eq!(ran.rows, 2, "{column}");
        let whole = [(1, "Chile", 2.0, 1), (2, "Chile", 3.0, 1)];
        assert_eq!(scene.answer().1, expected(&whole), "{column}");
        // A query that asks for the instant is run again, though its tables are as they were.
        let (file, _) = scene.answer();
        let again = scene.run(Some(&file), 1_522_713_500_000_001).expect(column);
        let expect = match column {
            "now" => Outcome::Same,
            _ => Outcome::Skipped,
        };
        assert_eq!(again.outcome, expect, "{column}");
    }
}

#[test]
fn nulls_are_left_out_of_keys_and_kept_in_values() {
    let text = r#"
project: shop
---
kind: entity
name: customer
keys: { customer: int64 }
---
kind: feature_view
name: ages
entity: customer
sql:
  event_time: seen
  tables: { people: { parquet: people } }
  query: |
    SELECT CASE WHEN customer < 3 THEN customer END AS customer, country,
           to_timestamp_micros(customer) AS seen, now() AS run, current_date AS today
    FROM people
max_age: 1d
features:
  - { name: country, type: string }
  - { name: run, type: timestamp }
  - { name: today, type: timestamp }
"#;
    let scene = Scene::new(text);
    scene.people(
        "people/a.parquet",
        &[(1, "a"), (2, "b"), (3, "c"), (4, "d")],
    );
    assert_eq!(scene.checked(), Vec::<String>::new());
    let ran = scene.run(None, 86_400_000_007).expect("run");
    assert_eq!((ran.rows, ran.null_key), (2, 2));
    let path = scene.answers().answer().join("86400000007.parquet");
    let all = batches(&path);
    let column = |name: &str| {
        let column = all[0].column_by_name(name).expect(name);
        column
            .as_primitive::<TimestampMicrosecondType>()
            .values()
            .to_vec()
    };
    assert_eq!(column("seen"), [1, 2]);
    assert_eq!(column("run"), [86_400_000_007; 2]);
    assert_eq!(column("today"), [86_400_000_000; 2]);
    assert!(all[0].column_by_name("answered_at").is_none());
}

#[test]
fn what_is_wrong_with_a_query_is_found_before_it_is_run() {
    let query_of = |select: &str, rest: &str| {
        let text = DEFINITIONS.replace("  MORE\n", "");
        let text = text.replace("sum(p.amount) AS spent", select);
        text.replace("    GROUP BY", &format!("    {rest}\n    GROUP BY"))
    };
    let check = |select: &str, rest: &str, expect: &str| {
        let scene = Scene::new(&query_of(select, rest));
        scene.people("people/a.parquet", &[(1, "01")]);
        scene.text("countries.csv", "code,name\n01,Chile\n");
        let found = scene.checked().join("\n");
        assert!(found.contains(expect), "{select} {rest}: {found}");
        assert_eq!(found.is_empty(), expect.is_empty(), "{found}");
    };
    check("sum(p.amount) AS spent", "", "");
    check(
        "sum(p.amuont) AS spent",
        "",
        "p.amuont: unknown column `p.amuont` (did you mean `amount`?)",
    );
    check(
        "sum(p.amount) AS spend",
        "",
        "the query answers no column `spent`; did you mean `spend`?",
    );
    check(
        "sum(p.amount) AS spent, 1 AS spent",
        "",
        "have the same name",
    );
    check(
        "max(q.country) AS spent",
        "",
        "answers column `spent` as string, and it is declared float64",
    );
    check("summ(p.amount) AS spent", "", "summ: ");
    check(
        "sum(p.amount) AS spent",
        "WHERE q.country > 3 + INTERVAL '1 day'",
        "cannot",
    );
    check(
        "sum(p.amount) AS spent",
        "WHERE p.amount > random()",
        "random: `random()` is different each time",
    );
    check(
        "sum(p.amount) AS spent",
        "WHERE p.kind = 'card' AND p.date > '2018-04-01'",
        "",
    );
    // A file that is not there yet leaves the query for its first run.
    let scene = Scene::new(&query_of("sum(nothing) AS spent", ""));
    assert_eq!(scene.checked(), Vec::<String>::new());
    // One that is, and is none.
    fs::create_dir_all(scene.folder.path().join("people")).expect("made");
    scene.text("people/a.parquet", "no Parquet");
    scene.text("countries.csv", "code,name\n");
    let found = scene.checked().join("\n");
    assert!(found.starts_with("table `people`: "), "{found}");
}
