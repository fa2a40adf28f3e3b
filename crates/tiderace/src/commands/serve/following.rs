//! A process that runs what was applied: it begins with the last application, and takes up each that comes.
//!
//! Others are taken up as if the process were stopped and started: lanes finish, commit and publish, and begin
//! anew over the same state, where what both definitions have goes on. What listens goes on listening, so that
//! who asks meanwhile waits. What cannot be taken up is refused, before anything is given up for it where that
//! can be told, and what ran goes on.

use super::{Kept, Role, Running, ensure_topics};
use crate::deployed::{Answer, Applied, Refused, short};
use crate::live::{self, Live};
use crate::project::{Definitions, Home};
use crate::signals::Signals;
use anyhow::{Context, Result};
use std::time::Duration;
use tiderace_serve::Sockets;
use tiderace_types::Share;

/// How often it is looked whether something was applied, and whether a lane has died.
const LOOKING: Duration = Duration::from_millis(200);

/// Runs until it is told to stop, or a lane dies.
pub(super) async fn run(
    home: Home,
    definitions: Definitions,
    role: Role,
    share: Share,
) -> Result<()> {
    let mut kept = Kept {
        sockets: Sockets::kept(),
        ..Kept::default()
    };
    // Before anything is open: who is told to end while it starts, ends in good order once it has.
    let mut signals = Signals::take()?;
    let mut running = start(&definitions, role, share, &mut kept).await?;
    running.announce(&definitions.plan, share);
    let mut follower = Follower {
        home,
        role,
        share,
        looked_at: 0,
        complained: None,
        unsaid: None,
        definitions,
    };
    follower.announce();
    follower.answer(None);
    loop {
        match follower.wait(&running, &mut signals).await {
            Told::Stop => {
                tracing::info!("stopping: finishing what is under way");
                // Who connects from now on is refused, and not kept waiting.
                drop(kept);
                return running.stop().await;
            }
            Told::Applied(applied) => {
                running = follower.take_up(applied, running, &mut kept).await?;
            }
        }
    }
}

async fn start(
    definitions: &Definitions,
    role: Role,
    share: Share,
    kept: &mut Kept,
) -> Result<Running> {
    let (plan, layout, files) = (&definitions.plan, &definitions.layout, &definitions.files);
    Running::start_with(plan, layout, Some(files), (role, share), kept).await
}

/// What ends waiting.
enum Told {
    Stop,
    Applied(Applied),
}

/// A process beside what was applied.
struct Follower {
    home: Home,
    role: Role,
    share: Share,
    /// What runs.
    definitions: Definitions,
    /// The last application that was looked at.
    looked_at: u64,
    /// What was last said of applications that cannot be read.
    complained: Option<String>,
    /// What could not be said of what runs, and is tried again.
    unsaid: Option<Answer>,
}

impl Follower {
    /// Waits for SIGTERM, SIGINT, a lane's death, or another application.
    async fn wait(&mut self, running: &Running, signals: &mut Signals) -> Told {
        let mut look = tokio::time::interval(LOOKING);
        loop {
            tokio::select! {
                () = signals.told() => return Told::Stop,
                _ = look.tick() => {
                    if running.live.as_ref().is_some_and(Live::failed) {
                        return Told::Stop;
                    }
                    if let Some(applied) = self.look() {
                        return Told::Applied(applied);
                    }
                }
            }
        }
    }

    /// An application that was not looked at.
    fn look(&mut self) -> Option<Applied> {
        if let Some(answer) = self.unsaid.take() {
            self.say(answer);
        }
        match self.home.newest() {
            Ok(newest) => {
                self.complained = None;
                newest.filter(|newest| newest.number != self.looked_at)
            }
            Err(error) => {
                let error = format!("{error:#}");
                if self.complained.as_ref() != Some(&error) {
                    tracing::error!(error, "whether something was applied cannot be told");
                    self.complained = Some(error);
                }
                None
            }
        }
    }

    /// Runs other definitions in the place of those that run; goes on with these where that cannot be.
    ///
    /// # Errors
    /// When neither runs.
    async fn take_up(
        &mut self,
        applied: Applied,
        running: Running,
        kept: &mut Kept,
    ) -> Result<Running> {
        let runs = self.definitions.applied.as_ref();
        if runs.is_some_and(|runs| runs.bundle == applied.bundle) {
            self.definitions.applied = Some(applied);
            self.answer(None);
            return Ok(running);
        }
        let next = match self.prepare(applied.clone()).await {
            Ok(next) => next,
            Err(error) => {
                self.refuse(&applied, &error);
                return Ok(running);
            }
        };
        let name = short(&applied.bundle);
        tracing::info!(
            definitions = name,
            number = applied.number,
            "taking up what was applied"
        );
        running.stop_but(kept).await?;
        let running = match start(&next, self.role, self.share, kept).await {
            Ok(running) => {
                self.definitions = next;
                self.answer(None);
                running
            }
            Err(error) => {
                let running = start(&self.definitions, self.role, self.share, kept).await;
                self.refuse(&applied, &error);
                running.context("go on with the definitions before")?
            }
        };
        running.announce(&self.definitions.plan, self.share);
        self.announce();
        Ok(running)
    }

    /// Reads and checks definitions, and looks whether what they need is there.
    async fn prepare(&self, applied: Applied) -> Result<Definitions> {
        let next = self.home.applied(applied)?;
        let next = Definitions {
            layout: next.layout.of(self.share),
            ..next
        };
        if self.role == Role::Server {
            return Ok(next);
        }
        let (plan, layout) = (std::sync::Arc::clone(&next.plan), next.layout.clone());
        let rehearsed = tokio::task::spawn_blocking(move || {
            live::rehearse(&plan, &layout)?;
            ensure_topics(&plan)
        });
        rehearsed.await??;
        Ok(next)
    }

    /// Says why an application is not run, and takes it back: all that share the state folder go by that.
    fn refuse(&mut self, applied: &Applied, error: &anyhow::Error) {
        let (number, why) = (applied.number, format!("{error:#}"));
        let name = short(&applied.bundle);
        tracing::error!(
            definitions = name,
            number,
            why,
            "what was applied cannot be run: what ran goes on"
        );
        self.looked_at = number;
        let deployed = self.home.deployed().filter(|_| self.role != Role::Server);
        let Some(deployed) = deployed else {
            return;
        };
        let taken_back = deployed.take_back(number);
        let refused = Refused {
            number,
            bundle: applied.bundle.clone(),
            why,
        };
        match taken_back {
            // What runs is the last again, or something else was applied meanwhile.
            Ok(newest) => {
                let runs = self.definitions.applied.as_ref().map(|runs| runs.number);
                let newest = newest.map(|newest| newest.number);
                if runs == newest {
                    self.looked_at = runs.unwrap_or(number);
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "what cannot be run cannot be taken back");
            }
        }
        self.say(self.answer_of(number, Some(refused)));
    }

    /// Says that what was applied runs.
    fn answer(&mut self, refused: Option<Refused>) {
        let runs = self.definitions.applied.as_ref();
        self.looked_at = runs.map_or(0, |runs| runs.number);
        self.say(self.answer_of(self.looked_at, refused));
    }

    fn answer_of(&self, number: u64, refused: Option<Refused>) -> Answer {
        let runs = self.definitions.applied.as_ref();
        Answer::new(number, runs.map(|runs| runs.bundle.clone()), refused)
    }

    fn say(&mut self, answer: Answer) {
        let deployed = self.home.deployed().filter(|_| self.role != Role::Server);
        let said = deployed.map_or(Ok(()), |deployed| {
            deployed.put_answer(self.share.index, &answer)
        });
        if let Err(error) = said {
            let error = format!("{error:#}");
            tracing::error!(error, "what runs cannot be said; trying again");
            self.unsaid = Some(answer);
        }
    }

    /// Says in the log what runs, and whether the project's folder has something else.
    fn announce(&self) {
        let Some(applied) = &self.definitions.applied else {
            return;
        };
        let name = short(&applied.bundle);
        tracing::info!(
            definitions = name,
            number = applied.number,
            "what runs is what was applied last"
        );
        if !self.home.is_in_folder(applied) {
            tracing::info!(
                "the definitions in the project's folder are others: `tiderace apply` makes them run"
            );
        }
    }
}
