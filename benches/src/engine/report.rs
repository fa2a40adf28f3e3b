//! The tables of `tiderace-bench engine`: medians over the rounds.

use super::definitions::Views;
use super::reading::Reading;
use super::stages::STAGES;
use super::{READ, Run};
use crate::table::{self, grouped, median};

/// What was measured.
pub struct Report<'a> {
    /// The contenders.
    pub views: &'a [Views],
    /// How many events each took in.
    pub events: f64,
    /// The runs of the floor: what one view needs, and what three need.
    pub floors: [Vec<Run>; 2],
    /// The runs of each contender.
    pub runs: &'a [Vec<Run>],
}

fn of(runs: &[Run], field: impl Fn(&Run) -> f64) -> f64 {
    median(runs.iter().map(field).collect())
}

impl Report<'_> {
    fn contenders(&self) -> impl Iterator<Item = (Views, &Vec<Run>)> {
        self.views.iter().copied().zip(self.runs)
    }

    /// The runs of the sum alone, which others are compared with.
    fn sum(&self) -> Option<&Vec<Run>> {
        let mut contenders = self.contenders();
        let found = contenders.find(|(views, _)| *views == Views::Sum);
        found.map(|(_, runs)| runs)
    }

    fn micros(&self, seconds: f64) -> String {
        format!("{:.3}", seconds * 1e6 / self.events)
    }

    /// What an event costs.
    pub fn costs(&self) {
        table::head(&[
            "",
            "events/CPU-s",
            "of the floor",
            "µs of CPU an event",
            "of them in the background",
            "compacting all of it",
            "times the sum",
            "seconds",
            "commits",
            "rows",
            "state: an event",
            "published: an event",
        ]);
        let names = ["floor: four fields", "floor: six fields"];
        for (name, runs) in names.iter().zip(&self.floors) {
            let processor = of(runs, |run| run.processor);
            let mut cells = vec![
                (*name).to_owned(),
                grouped(self.events / processor),
                "1.00".to_owned(),
                self.micros(processor),
            ];
            cells.resize(12, String::new());
            cells[7] = format!("{:.1}", of(runs, |run| run.seconds));
            table::row(&cells);
        }
        let sum = self.sum().map(|runs| of(runs, |run| run.processor));
        for (views, runs) in self.contenders() {
            let floor = of(&self.floors[usize::from(views.is_wide())], |run| {
                run.processor
            });
            let of = |field: fn(&Run) -> f64| of(runs, field);
            let processor = of(|run| run.processor);
            table::row(&[
                views.describe().to_owned(),
                grouped(self.events / processor),
                format!("{:.2}", floor / processor),
                self.micros(processor),
                self.micros(of(|run| (run.processor - run.thread).max(0.0))),
                self.micros(of(|run| run.compaction)),
                sum.map_or(String::new(), |sum| format!("{:.2}", processor / sum)),
                format!("{:.1}", of(|run| run.seconds)),
                grouped(of(|run| run.commits)),
                grouped(of(|run| run.rows)),
                format!("{:.1} B", of(|run| run.state) / self.events),
                format!("{:.1} B", of(|run| run.published) / self.events),
            ]);
        }
    }

    /// The thread's processor time, in parts as the wall clock saw them.
    pub fn stages(&self) {
        println!("\nWhere the thread's time goes, µs an event:\n");
        let names = STAGES.iter().map(|(_, name)| *name);
        let columns: Vec<&str> = std::iter::once("").chain(names).collect();
        table::head(&columns);
        for (views, runs) in self.contenders() {
            let cells = STAGES.iter().map(|(stage, _)| {
                let seconds = of(runs, |run| {
                    run.stages.of(*stage).as_secs_f64() * run.thread / run.seconds
                });
                self.micros(seconds)
            });
            let name = std::iter::once(views.describe().to_owned());
            table::row(&name.chain(cells).collect::<Vec<_>>());
        }
    }

    /// What reading a row costs.
    pub fn readings(&self) {
        println!("\nReading an online row of a customer:\n");
        table::head(&["", "row", "decode", "finish", "both", "times the sum"]);
        for (views, runs) in self.contenders() {
            for (place, (name, _)) in READ.iter().enumerate() {
                let of = |runs: &[Run], field: fn(&Reading) -> f64| {
                    of(runs, |run| field(&run.readings[place]))
                };
                let both = |runs: &[Run]| of(runs, |reading| reading.decode + reading.finish);
                let micros = |seconds: f64| format!("{:.2} µs", seconds * 1e6);
                let times = self.sum().map(|sum| both(runs) / both(sum));
                table::row(&[
                    format!("{}, {name}", views.describe()),
                    format!("{} B", grouped(of(runs, |reading| reading.bytes as f64))),
                    micros(of(runs, |reading| reading.decode)),
                    micros(of(runs, |reading| reading.finish)),
                    micros(both(runs)),
                    times.map_or(String::new(), |times| format!("{times:.2}")),
                ]);
            }
        }
    }
}
