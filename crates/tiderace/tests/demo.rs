//! The demo from the outside: what it prints where there is no terminal, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The binary, where the example project is.
fn tiderace() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tiderace"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    command
}

/// Starts the demo of the example project, with other arguments too.
fn demo(arguments: &[&str]) -> Child {
    tiderace()
        .args(["demo", "--plain", "--rate", "200"])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

/// Reads up to a line with `wanted`, and returns what follows it there.
fn after(lines: &mut impl BufRead, wanted: &str) -> String {
    let found = lines.lines().find_map(|line| {
        let line = line.expect("the demo prints text");
        let (_, rest) = line.split_once(wanted)?;
        Some(rest.to_owned())
    });
    found.unwrap_or_else(|| panic!("the demo never prints {wanted:?}"))
}

/// Runs what the demo says to run; the first word is where the binary lies.
fn ask(command: &str) -> String {
    let answer = tiderace().args(command.split(' ').skip(1)).output();
    let answer = answer.expect("the binary starts");
    assert!(answer.status.success(), "{command}: {answer:?}");
    String::from_utf8(answer.stdout).expect("answers are text")
}

fn end(mut child: Child, mut rest: impl Read) {
    let mut text = String::new();
    rest.read_to_string(&mut text)
        .expect("the demo prints text");
    let status = child.wait().expect("the demo ends");
    assert!(status.success(), "{status}: {text}");
    for wanted in ["accepted", "next", "run --project features"] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
}

// One test, for two demos at once would want the same ports.
#[test]
fn the_demo_answers_and_ends_cleanly() {
    let mut child = demo(&["--seconds", "2"]);
    let lines = child.stdout.take().expect("it is piped");
    end(child, lines);

    let mut child = demo(&["--seconds", "300"]);
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
    let answer = ask(&after(&mut lines, "ask it: "));
    for wanted in ["tx_count_1d", "amount_ratio", "complete", "warming"] {
        assert!(answer.contains(wanted), "{wanted} is not in\n{answer}");
    }
    after(&mut lines, "freshness p50");
    let interrupt = ["-INT".to_owned(), child.id().to_string()];
    let told = Command::new("kill").args(interrupt).status();
    assert!(told.expect("kill is there").success());
    end(child, lines);
}
