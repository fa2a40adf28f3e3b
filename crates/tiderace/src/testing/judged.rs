//! What a test expects against what came, and what to say of the difference.

use super::world::{Evidence, Letter, World};
use super::{Arrival, Origin};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::time::Duration;
use tiderace_plan::model::{self, Ask, Expectation, FeatureRef, Given, Record, Test};
use tiderace_plan::{Code, Diagnostic, Place, Plan, SourceFile, finding};
use tiderace_serve::judge::{Verdict, judge};
use tiderace_serve::proto::{self, value::Kind};
use tiderace_serve::{
    Error, answer_json, completeness_name, render, status_name, value_json, value_text,
};
use tiderace_types::{Timestamp, Value, encode_key};

/// How many events are listed.
const LISTED: usize = 10;

/// What a test came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The test's name.
    pub name: String,
    /// The file that it is in.
    pub file: String,
    /// The line of its name.
    pub line: usize,
    /// What it asks: the view or the service.
    pub subject: String,
    /// What was not as expected.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub took: Duration,
    /// The features that it expects something of.
    pub asked: BTreeSet<(usize, usize)>,
}

/// One thing that was not as expected.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What, and where the expectation is written.
    pub finding: Diagnostic,
    /// The feature.
    pub feature: Option<String>,
    /// The value expected, where it is a value.
    pub expected: Option<Json>,
    /// The value that came.
    pub got: Option<Json>,
    /// What helps to see why.
    pub notes: Vec<String>,
}

/// Compares the answers of one test with what it expects.
pub struct Judge<'a> {
    files: &'a [SourceFile],
    plan: &'a Plan,
    test: &'a Test,
    arrivals: &'a [Arrival],
    failures: Vec<(Place, Failure)>,
}

/// What came of one column.
struct Got<'a> {
    value: &'a proto::Value,
    status: &'static str,
    completeness: String,
    message: Option<&'a str>,
}

impl<'a> Judge<'a> {
    /// `arrivals` are the records in the order in which they arrive.
    pub fn new(
        files: &'a [SourceFile],
        plan: &'a Plan,
        test: &'a Test,
        arrivals: &'a [Arrival],
    ) -> Judge<'a> {
        Judge {
            files,
            plan,
            test,
            arrivals,
            failures: Vec::new(),
        }
    }

    /// Compares an answer; `later` are the records that had not arrived when it was asked.
    pub fn answer(
        &mut self,
        ask: &Ask,
        answer: Result<proto::Row, Error>,
        world: &World,
        later: &[Arrival],
    ) {
        let row = match answer {
            Ok(row) => row,
            Err(error) => {
                let message = format!("the question is refused: {error}");
                self.fail(ask.place, message, None, vec![asked(ask)]);
                return;
            }
        };
        for expectation in &ask.expect {
            let place = expectation.column;
            let mut messages = row.messages.iter();
            let message = messages.find(|message| message.index as usize == place);
            let got = Got {
                value: &row.values[place],
                status: status_name(
                    proto::Status::try_from(row.statuses[place]).unwrap_or_default(),
                ),
                completeness: completeness_name(row.completeness[place]),
                message: message.map(|message| message.message.as_str()),
            };
            let wrong = differences(expectation, &got);
            if wrong.is_empty() {
                continue;
            }
            let mut notes = vec![asked(ask)];
            notes.extend(got.message.map(str::to_owned));
            notes.extend(self.counted(ask, expectation, world));
            notes.extend(self.to_come(ask, later));
            let message = format!("`{}` {}", expectation.name, wrong.join(", and "));
            let values = Some((expectation, got.value));
            self.fail(expectation.place, message, values, notes);
        }
    }

    /// Compares the refused records with those that are to be refused.
    pub fn letters(&mut self, letters: &[Letter]) {
        let mut rest: Vec<&Letter> = letters.iter().collect();
        for expected in &self.test.letters {
            let like = |letter: &&Letter| is_like(&expected.event, &letter.letter.payload);
            let same = |letter: &&Letter| like(letter) && letter.letter.reason == expected.reason;
            let found = rest.iter().position(same);
            let Some(found) = found.or_else(|| rest.iter().position(like)) else {
                let message = format!(
                    "no such record is refused, expected {}",
                    expected.reason.name()
                );
                let accepted = self.arrivals.iter();
                let accepted = accepted.filter(|held| is_like(&expected.event, &held.payload));
                let notes = accepted.map(|held| format!("accepted: {}", self.origin(&held.origin)));
                let notes: Vec<String> = notes.take(LISTED).collect();
                self.fail(expected.place, message, None, notes);
                continue;
            };
            let letter = rest.remove(found);
            let reason = letter.letter.reason;
            if reason != expected.reason {
                let message = format!(
                    "the record is refused as {}, expected {}",
                    reason.name(),
                    expected.reason.name()
                );
                let notes = vec![
                    letter.letter.detail.clone(),
                    self.origin(&self.arrivals[letter.number].origin),
                ];
                self.fail(expected.place, message, None, notes);
            }
        }
        for letter in rest {
            let origin = &self.arrivals[letter.number].origin;
            let reason = letter.letter.reason.name();
            let what = match &origin.row {
                Some((_, row)) => format!("record {row} of the file"),
                None => "the event".to_owned(),
            };
            let message = format!("{what} is refused as {reason}: {}", letter.letter.detail);
            let notes = vec![format!(
                "where that is meant, say so: `dead_letters: [{{ reason: {reason}, event: {{ … }} }}]`"
            )];
            self.fail(origin.place, message, None, notes);
        }
    }

    /// What the test came to.
    pub fn outcome(self, took: Duration) -> Outcome {
        let named = finding(self.files, self.test.place, Code::Test, String::new(), None);
        let mut failures = self.failures;
        failures.sort_by_key(|(place, _)| *place);
        let expected = self.test.asks.iter().flat_map(|ask| &ask.expect);
        let features = expected.filter_map(|expectation| expectation.feature);
        Outcome {
            name: self.test.name.clone(),
            file: named.file,
            line: named.line,
            subject: match &self.test.asked {
                model::Asked::View(name) | model::Asked::Service(name) => name.clone(),
            },
            failures: failures.into_iter().map(|(_, failure)| failure).collect(),
            took,
            asked: features.map(|of| (of.view, of.output)).collect(),
        }
    }

    fn fail(
        &mut self,
        place: Place,
        message: String,
        values: Option<(&Expectation, &proto::Value)>,
        notes: Vec<String>,
    ) {
        let failure = Failure {
            finding: finding(self.files, place, Code::Test, message, None),
            feature: values.map(|(expectation, _)| expectation.name.clone()),
            expected: values.and_then(|(expectation, _)| expectation.value.clone().map(value_json)),
            got: values.map(|(_, got)| answer_json(got)),
            notes,
        };
        self.failures.push((place, failure));
    }

    /// The events behind a value.
    fn counted(&self, ask: &Ask, expectation: &Expectation, world: &World) -> Vec<String> {
        let Some(FeatureRef { view, output }) = expectation.feature else {
            return Vec::new();
        };
        let definition = &self.plan.views[view];
        let output = &definition.spec.outputs[output];
        let keys = definition.entity.keys.iter().filter_map(|(name, _)| {
            let given = ask.entity.iter().find(|given| given.name == *name)?;
            Some(given.value.clone())
        });
        let Ok(entity) = encode_key(&keys.collect::<Vec<Value>>()) else {
            return Vec::new();
        };
        let as_of = ask.as_of.unwrap_or(ask.at);
        let bounds = output.window.bounds(as_of);
        let held = world.evidence(view, &entity);
        let counts = |event: &&Evidence| {
            let passes = output.filter.is_none_or(|bit| event.bits >> bit & 1 == 1);
            passes
                && match bounds {
                    Some(bounds) => bounds.after < event.time && event.time <= bounds.upto,
                    None => event.time <= as_of.minus(output.window.delay),
                }
        };
        let mut counted: Vec<&Evidence> = held.iter().filter(counts).collect();
        counted.sort_by_key(|event| (event.time, event.number));
        let window = match bounds {
            Some(bounds) if bounds.after == Timestamp::MIN => format!("up to {}", bounds.upto),
            Some(bounds) => format!("after {}, up to {}", bounds.after, bounds.upto),
            None => format!("of {}", output.window),
        };
        let mut notes = vec![format!(
            "{} of the entity's {} are in its window, {window}",
            counted.len(),
            events(held.len()),
        )];
        for event in counted.iter().take(LISTED) {
            let origin = self.origin(&self.arrivals[event.number].origin);
            notes.push(format!("  {}  {origin}", event.time));
        }
        if counted.len() > LISTED {
            notes.push(format!("  and {} more", counted.len() - LISTED));
        }
        notes
    }

    /// The events that happened in time and came too late for the question.
    fn to_come(&self, ask: &Ask, later: &[Arrival]) -> Option<String> {
        let as_of = ask.as_of.unwrap_or(ask.at);
        let missed = |event: &&Arrival| event.happened.is_some_and(|at| at <= as_of);
        let missed: Vec<&Arrival> = later.iter().filter(missed).collect();
        let first = missed.first()?;
        Some(format!(
            "{} had happened but arrived later: the first at {}, {}",
            events(missed.len()),
            first.at,
            self.origin(&first.origin)
        ))
    }

    fn origin(&self, origin: &Origin) -> String {
        match &origin.row {
            Some((path, row)) => format!("{path} record {row}"),
            None => {
                let code = Code::Test;
                let found = finding(self.files, origin.place, code, String::new(), None);
                format!("{}:{}", found.file, found.line)
            }
        }
    }
}

/// In what a column is not as expected; empty when it is.
fn differences(expectation: &Expectation, got: &Got<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    // That there is no value is never what a value expects, be it null.
    let withheld = matches!(
        got.status,
        "OUTSIDE_MAX_AGE" | "OUTSIDE_HISTORY" | "UNAVAILABLE" | "ERROR"
    );
    if let Some(value) = &expectation.value {
        let withheld = withheld && expectation.status.is_none();
        if withheld || !agrees(got.value, value, expectation.tolerance) {
            let within = expectation.tolerance;
            let within = within.map_or(String::new(), |far| format!(" to within {far}"));
            let said = match withheld {
                true => got.status.to_owned(),
                false => render::value(got.value),
            };
            wrong.push(format!(
                "is {said}, expected {}{within}",
                value_text(value.clone())
            ));
        }
    }
    if let Some(status) = expectation.status.filter(|status| *status != got.status) {
        wrong.push(format!("has the status {}, expected {status}", got.status));
    }
    if let Some(words) = &expectation.completeness
        && words.join("|") != got.completeness
    {
        wrong.push(format!(
            "is {}, expected {}",
            got.completeness,
            words.join("|")
        ));
    }
    wrong
}

/// Tells whether a value is the one that is expected. Maps are compared whatever their order, which
/// a test cannot write.
fn agrees(got: &proto::Value, expected: &Value, tolerance: Option<f64>) -> bool {
    if let (Some(Kind::MapValue(map)), Value::Map(entries)) = (&got.kind, expected) {
        return map.entries.len() == entries.len()
            && entries.iter().all(|(key, value)| {
                let half = |got: &Option<proto::Value>, expected, tolerance| {
                    got.as_ref()
                        .is_some_and(|got| agrees(got, expected, tolerance))
                };
                let mut held = map.entries.iter();
                held.any(|entry| {
                    half(&entry.key, key, None) && half(&entry.value, value, tolerance)
                })
            });
    }
    if let (Some(Kind::ListValue(list)), Value::List(values)) = (&got.kind, expected) {
        let mut pairs = list.values.iter().zip(values);
        return list.values.len() == values.len()
            && pairs.all(|(got, expected)| agrees(got, expected, tolerance));
    }
    if judge(got, None, expected, 0.0) == Verdict::Equal {
        return true;
    }
    let number = |json: Json| match json {
        Json::String(text) => text.parse().ok(),
        json => json.as_f64(),
    };
    let far = number(answer_json(got)).zip(number(value_json(expected.clone())));
    tolerance
        .zip(far)
        .is_some_and(|(tolerance, (got, expected)): (f64, (f64, f64))| {
            (got - expected).abs() <= tolerance
        })
}

/// Tells whether a record has what a test says of it.
fn is_like(event: &Record, payload: &[u8]) -> bool {
    match event {
        Record::Text(text) => payload == text.as_bytes(),
        Record::Object(columns) => {
            let Ok(Json::Object(held)) = serde_json::from_slice::<Json>(payload) else {
                return false;
            };
            columns
                .iter()
                .all(|(name, value)| held.get(name) == Some(value))
        }
    }
}

fn asked(ask: &Ask) -> String {
    let given = |given: &Given| format!("{}={}", given.name, given.json);
    let words: Vec<String> = ask.entity.iter().chain(&ask.request).map(given).collect();
    let as_of = ask.as_of.map_or(String::new(), |at| format!(" as of {at}"));
    format!("asked at {}{as_of} of {}", ask.at, words.join(" "))
}

fn events(count: usize) -> String {
    match count {
        1 => "1 event".to_owned(),
        count => format!("{count} events"),
    }
}
