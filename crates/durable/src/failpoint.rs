//! Named places where a test makes this process fail: before and after every step that makes
//! something durable.
//!
//! They are compiled into every build, so that what is proved is what runs; a place costs one
//! relaxed load while nothing is armed. Only the environment variable [`VARIABLE`], read once
//! when the process starts ([`arm`]), arms them, and that is said loudly in the log.
//!
//! ```text
//! TIDERACE_FAILPOINTS='state.commit.before=crash@3;log.sync.after=error;online.rows.before=delay'
//! ```
//! `NAME=ACTION[@N]`: the action is taken at the N-th time that the place is passed (by default
//! the first), once; `delay` every time from then on.
//!
//! **Lacks on purpose.** Any way to arm a place while the process runs, and any place in the
//! pure floors: what they decide is a value, and needs no fault to be tried.

mod step;
pub use step::{Side, Step};

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The environment variable that arms places.
pub const VARIABLE: &str = "TIDERACE_FAILPOINTS";

/// How long a delayed step waits.
const DELAY: Duration = Duration::from_millis(20);

static ARMED: AtomicBool = AtomicBool::new(false);
static PLACES: OnceLock<Vec<Place>> = OnceLock::new();

/// What happens at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// The step fails, or is said to have failed.
    Error,
    /// The process aborts: no destructor runs, nothing is flushed.
    Crash,
    /// The step takes longer.
    Delay,
}

/// One armed place.
#[derive(Debug)]
struct Place {
    step: Step,
    side: Side,
    action: Action,
    /// At which passing the action is taken, from 1.
    at: u64,
    passed: AtomicU64,
}

/// Every name that can be armed, in the order of the steps.
#[must_use]
pub fn names() -> Vec<String> {
    let sides = |step: &Step| [Side::Before, Side::After].map(|side| name(*step, side));
    Step::ALL.iter().flat_map(sides).collect()
}

/// Arms what the environment says. To be called once, when the process starts and logging works.
///
/// # Errors
/// For a name or an action that there is not; says which there are.
pub fn arm() -> Result<(), String> {
    let Ok(said) = std::env::var(VARIABLE) else {
        return Ok(());
    };
    let places = parse(&said)?;
    if places.is_empty() {
        return Ok(());
    }
    tracing::warn!(
        armed = said,
        "FAILPOINTS ARE ARMED: this process is going to fail on purpose; unset {VARIABLE} unless this is a test"
    );
    if PLACES.set(places).is_ok() {
        ARMED.store(true, Ordering::Release);
    }
    Ok(())
}

/// Passes a place: nothing, unless it is armed.
///
/// # Errors
/// The injected one. Before a step it has not been done; after it, it has.
#[inline]
pub fn pass(step: Step, side: Side) -> io::Result<()> {
    match ARMED.load(Ordering::Relaxed) {
        false => Ok(()),
        true => fail(step, side),
    }
}

/// Does a step between its two places; `translate` makes an injected error one of the caller's.
///
/// # Errors
/// Those of the step, and the injected one.
pub fn around<T, E>(
    step: Step,
    translate: impl Fn(io::Error) -> E,
    run: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    pass(step, Side::Before).map_err(&translate)?;
    let done = run()?;
    pass(step, Side::After).map_err(&translate)?;
    Ok(done)
}

#[cold]
fn fail(step: Step, side: Side) -> io::Result<()> {
    let armed = PLACES.get().into_iter().flatten();
    for place in armed.filter(|place| place.step == step && place.side == side) {
        let passed = place.passed.fetch_add(1, Ordering::Relaxed) + 1;
        let name = name(step, side);
        match place.action {
            Action::Error if passed == place.at => {
                tracing::warn!("failpoint {name}: error");
                return Err(io::Error::other(format!("failpoint {name}")));
            }
            Action::Crash if passed == place.at => {
                tracing::error!("failpoint {name}: crash");
                std::process::abort();
            }
            Action::Delay if passed >= place.at => {
                if passed == place.at {
                    tracing::warn!("failpoint {name}: delay");
                }
                std::thread::sleep(DELAY);
            }
            Action::Error | Action::Crash | Action::Delay => {}
        }
    }
    Ok(())
}

fn name(step: Step, side: Side) -> String {
    let side = match side {
        Side::Before => "before",
        Side::After => "after",
    };
    format!("{}.{side}", step.name())
}

fn parse(text: &str) -> Result<Vec<Place>, String> {
    let entries = text.split(';').map(str::trim);
    entries
        .filter(|entry| !entry.is_empty())
        .map(place)
        .collect()
}

fn place(entry: &str) -> Result<Place, String> {
    let wrong = |why: &str| format!("{VARIABLE}: {entry:?}: {why}");
    let (named, said) = entry
        .split_once('=')
        .ok_or_else(|| wrong("expected NAME=ACTION[@N]"))?;
    let (action, at) = said.split_once('@').unwrap_or((said, "1"));
    let sides = [Side::Before, Side::After];
    let all = Step::ALL
        .iter()
        .flat_map(|step| sides.map(|side| (*step, side)));
    let found = all
        .into_iter()
        .find(|(step, side)| name(*step, *side) == named);
    let (step, side) = found.ok_or_else(|| {
        let names = names().join(", ");
        wrong(&format!("no such place; there are: {names}"))
    })?;
    Ok(Place {
        step,
        side,
        action: match action {
            "error" => Action::Error,
            "crash" => Action::Crash,
            "delay" => Action::Delay,
            _ => return Err(wrong("expected the action `error`, `crash` or `delay`")),
        },
        at: at
            .parse()
            .ok()
            .filter(|at| *at > 0)
            .ok_or_else(|| wrong("expected a number from 1 after `@`"))?,
        passed: AtomicU64::new(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_read_back() {
        let names = names();
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), 2 * Step::ALL.len());
        for known in &names {
            let read = place(&format!("{known}=crash@7")).expect("a place");
            assert_eq!(name(read.step, read.side), *known);
            assert_eq!((read.action, read.at), (Action::Crash, 7));
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (text, word) in [
            ("state.commit.before", "NAME=ACTION"),
            ("state.comit.before=error", "state.commit.before"),
            ("state.commit.before=explode", "`crash`"),
            ("state.commit.before=error@0", "from 1"),
        ] {
            let said = parse(text).expect_err(text);
            assert!(said.contains(word), "{said}");
        }
        assert_eq!(parse(" ; ").expect("nothing").len(), 0);
    }

    #[test]
    fn what_is_not_armed_does_nothing() {
        for step in Step::ALL {
            let mut done = 0;
            let run = || -> io::Result<()> {
                done += 1;
                Ok(())
            };
            around(step, |error| error, run).expect("nothing is armed");
            assert_eq!(done, 1);
        }
    }
}
