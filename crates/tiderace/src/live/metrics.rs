//! The ledger in the text form that Prometheus reads. Names and labels are stable.

use super::ledger::{ArchiveLedger, Counts, FeedLedger, SourceLedger, TableLedger};
use tiderace_serve::Page;
use tiderace_source::Lag;
use tiderace_types::{Outcome, READ, Reason, Timestamp};

impl Counts {
    /// Writes every counter.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut page = Page::default();
        self.sources(&mut page);
        self.views(&mut page);
        self.feeds(&mut page);
        self.archives(&mut page);
        self.tables(&mut page);
        let name = "tiderace_rows_published_total";
        page.family(name, "counter", "Rows put into the online store.");
        page.line(name, &[], self.published);
        let name = "tiderace_publish_delay_seconds";
        page.family(
            name,
            "gauge",
            "Quantiles of how long changes took to be published, of the newest thousand publications.",
        );
        for quantile in ["0.5", "0.99"] {
            let share = quantile.parse().unwrap_or_default();
            if let Some(micros) = self.publish_delay(share) {
                let seconds = micros as f64 / 1e6;
                page.line(name, &[("quantile", quantile)], seconds);
            }
        }
        let name = "tiderace_commits_total";
        page.family(name, "counter", "Commits to state.");
        page.line(name, &[], self.commits);
        let name = "tiderace_republications_total";
        page.family(name, "counter", "Times that every row was published again.");
        page.line(name, &[], self.republications);
        let name = "tiderace_blocks_swept_total";
        page.family(
            name,
            "counter",
            "Stored blocks of rows that nothing could see any more.",
        );
        page.line(name, &[], self.blocks_swept);
        let name = "tiderace_bytes_swept_total";
        page.family(name, "counter", "Their bytes, before compression.");
        page.line(name, &[], self.bytes_swept);
        let name = "tiderace_rows_owed";
        page.family(name, "gauge", "Rows that the online store is owed.");
        for (lane, rows) in &self.owing {
            page.line(name, &[("shards", lane)], *rows as u64);
        }
        let name = "tiderace_rows_held";
        page.family(name, "gauge", "Rows held in memory.");
        for (lane, rows) in &self.held {
            page.line(name, &[("shards", lane)], *rows as u64);
        }
        page.into_text()
    }

    fn sources(&self, page: &mut Page) {
        let name = "tiderace_records_total";
        page.family(
            name,
            "counter",
            "Records of a source since the beginning, by what became of them; read is the sum of all others.",
        );
        for (source, ledger) in &self.sources {
            let outcomes = Outcome::all().map(Outcome::name);
            for outcome in [READ].into_iter().chain(outcomes) {
                let count = ledger.count(outcome);
                page.line(name, &[("source", source), ("outcome", outcome)], count);
            }
        }
        /// What a source has at the moment, if it has it.
        type Number = fn(&SourceLedger) -> Option<u64>;
        let numbers: [(&str, &str, &str, Number); 5] = [
            (
                "tiderace_losses_total",
                "counter",
                "Times that a source's topic did not have what should have come next.",
                |ledger| Some(ledger.losses),
            ),
            (
                "tiderace_lost_records_total",
                "counter",
                "Records that are known to be missing from a source's topic.",
                |ledger| Some(ledger.lost),
            ),
            (
                "tiderace_stream_clock_seconds",
                "gauge",
                "The largest event time that a source's partitions have come to, since 1970.",
                |ledger| seconds(*ledger.clocks.values().max()?),
            ),
            (
                "tiderace_source_stopped",
                "gauge",
                "1 where a source is read no further and somebody has to look.",
                |ledger| Some(ledger.stopped.into()),
            ),
            (
                "tiderace_kept_failing_total",
                "counter",
                "Events that failed a check whose `otherwise` is keep.",
                |ledger| Some(ledger.kept_failing),
            ),
        ];
        for (name, kind, help, number) in numbers {
            page.family(name, kind, help);
            for (source, ledger) in &self.sources {
                if let Some(number) = number(ledger) {
                    page.line(name, &[("source", source)], number);
                }
            }
        }
        /// A number of a lag.
        type Records = fn(Lag) -> u64;
        let numbers: [(&str, &str, Records); 2] = [
            (
                "tiderace_source_lag_records",
                "Records of a topic that were not read yet, of all partitions together.",
                |lag| lag.records,
            ),
            (
                "tiderace_source_lag_records_max",
                "Records that were not read yet of the partition of a topic that has most.",
                |lag| lag.greatest,
            ),
        ];
        for (name, help, number) in numbers {
            page.family(name, "gauge", help);
            for (source, ledger) in &self.sources {
                for (topic, lag) in ledger.known_lags() {
                    let labels = [("source", source.as_str()), ("topic", topic)];
                    page.line(name, &labels, number(lag));
                }
            }
        }
        let name = "tiderace_partition_clock_seconds";
        page.family(
            name,
            "gauge",
            "The largest event time that each partition of a source has come to, since 1970.",
        );
        for (source, ledger) in &self.sources {
            for (partition, clock) in &ledger.clocks {
                let partition = partition.to_string();
                let labels = [("source", source.as_str()), ("partition", &partition)];
                if let Some(seconds) = seconds(*clock) {
                    page.line(name, &labels, seconds);
                }
            }
        }
    }

    fn feeds(&self, page: &mut Page) {
        type Number = fn(&FeedLedger) -> u64;
        let numbers: [(&str, &str, &str, Number); 5] = [
            (
                "tiderace_output_records_total",
                "counter",
                "Records of a view's values that its topic keeps.",
                |feed| feed.sent,
            ),
            (
                "tiderace_output_failures_total",
                "counter",
                "Records of a view's values that could not be written and were tried again.",
                |feed| feed.failed,
            ),
            (
                "tiderace_output_too_large_total",
                "counter",
                "Records of a view's values that are larger than the topic takes, and were left out.",
                |feed| feed.too_large,
            ),
            (
                "tiderace_output_owed",
                "gauge",
                "Entities whose values a topic is owed.",
                |feed| {
                    let standing = feed.standing.values();
                    standing.map(|standing| standing.owed as u64).sum()
                },
            ),
            (
                "tiderace_output_lag_seconds",
                "gauge",
                "How long the values have waited that a topic was to get first.",
                |feed| {
                    let lag = feed.standing.values().map(|standing| standing.lag.0).max();
                    lag.unwrap_or_default().unsigned_abs() / 1_000_000
                },
            ),
        ];
        for (name, kind, help, number) in numbers {
            page.family(name, kind, help);
            for (view, feed) in &self.feeds {
                page.line(name, &[("view", view)], number(feed));
            }
        }
    }

    fn archives(&self, page: &mut Page) {
        type Number = fn(&ArchiveLedger) -> Option<u64>;
        let numbers: [(&str, &str, &str, Number); 8] = [
            (
                "tiderace_archive_rows_total",
                "counter",
                "Events of a source that were archived since the process began.",
                |archive| Some(archive.rows),
            ),
            (
                "tiderace_archive_duplicates_total",
                "counter",
                "Copies of events that were archived before.",
                |archive| Some(archive.duplicates),
            ),
            (
                "tiderace_archive_failures_total",
                "counter",
                "Flushes to the archive that failed and were tried again.",
                |archive| Some(archive.failures),
            ),
            (
                "tiderace_archive_merged_files_total",
                "counter",
                "Files of the archive that were merged into others.",
                |archive| Some(archive.merged),
            ),
            (
                "tiderace_archive_files",
                "gauge",
                "Files that a source's archive holds.",
                |archive| Some(archive.files),
            ),
            (
                "tiderace_archive_bytes",
                "gauge",
                "Bytes of the files that a source's archive holds.",
                |archive| Some(archive.bytes),
            ),
            (
                "tiderace_archive_lag_seconds",
                "gauge",
                "How long the oldest accepted event waits that is not archived.",
                |archive| {
                    let since = archive.waits_since;
                    Some(since.map_or(0, |since| since.elapsed().as_secs()))
                },
            ),
            (
                "tiderace_archive_flushed_seconds",
                "gauge",
                "When the last flush to the archive was done, since 1970.",
                |archive| seconds(archive.flushed_at?),
            ),
        ];
        for (name, kind, help, number) in numbers {
            page.family(name, kind, help);
            for (source, archive) in &self.archives {
                if let Some(number) = number(archive) {
                    page.line(name, &[("source", source)], number);
                }
            }
        }
    }

    fn tables(&self, page: &mut Page) {
        /// What a table has at the moment, if it has it.
        type Number = fn(&TableLedger) -> Option<u64>;
        let numbers: [(&str, &str, &str, Number); 6] = [
            (
                "tiderace_syncs_total",
                "counter",
                "Syncs of a batch view with its table that were whole.",
                |table| Some(table.syncs),
            ),
            (
                "tiderace_sync_failures_total",
                "counter",
                "Syncs that failed: the view kept its values.",
                |table| Some(table.failures),
            ),
            (
                "tiderace_synced_rows_total",
                "counter",
                "Rows of the table that whole syncs brought in.",
                |table| Some(table.rows),
            ),
            (
                "tiderace_synced_refused_total",
                "counter",
                "Rows of the table that were refused.",
                |table| Some(table.refused),
            ),
            (
                "tiderace_synced_deletes_total",
                "counter",
                "Rows that deleted their entity, and entities that left the table.",
                |table| Some(table.deleted),
            ),
            (
                "tiderace_synced_seconds",
                "gauge",
                "When the last whole sync began, since 1970.",
                |table| seconds(table.synced_at?),
            ),
        ];
        for (name, kind, help, number) in numbers {
            page.family(name, kind, help);
            for (view, table) in &self.tables {
                if let Some(number) = number(table) {
                    page.line(name, &[("view", view)], number);
                }
            }
        }
    }

    fn views(&self, page: &mut Page) {
        let name = "tiderace_events_total";
        page.family(
            name,
            "counter",
            "Accepted events of a view, by what became of them.",
        );
        for (view, ledger) in &self.views {
            for (outcome, count) in [
                ("applied", ledger.applied),
                ("duplicate", ledger.duplicate),
                ("filtered", ledger.filtered),
                ("null_key", ledger.null_key),
            ] {
                page.line(name, &[("view", view), ("outcome", outcome)], count);
            }
        }
        let name = "tiderace_retractions_total";
        page.family(
            name,
            "counter",
            "Retractions of events that had not come, and events that came after one of them.",
        );
        for (view, ledger) in &self.views {
            for (outcome, count) in [
                ("unmatched_retraction", ledger.unmatched_retraction),
                ("settled", ledger.settled),
            ] {
                page.line(name, &[("view", view), ("outcome", outcome)], count);
            }
        }
        let name = "tiderace_refused_total";
        page.family(name, "counter", "Accepted events that a view refused.");
        for (view, ledger) in &self.views {
            for (reason, count) in [
                (Reason::Conflict, ledger.conflict),
                (Reason::TooLateIdle, ledger.too_late_idle),
                (Reason::ExpressionFailed, ledger.failed),
            ] {
                page.line(name, &[("view", view), ("reason", reason.name())], count);
            }
        }
    }
}

/// An instant in whole seconds; `None` before 1970.
fn seconds(clock: Timestamp) -> Option<u64> {
    u64::try_from(clock.0).ok().map(|micros| micros / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::ledger::{ArchiveLedger, Seen};
    use crate::live::{FeedLedger, SourceLedger, ViewLedger};
    use std::time::Instant;
    use tiderace_engine::FeedStanding;
    use tiderace_types::Duration;

    #[test]
    fn every_counter_is_a_line() {
        let mut counts = Counts::default();
        let at = Instant::now();
        let (records, greatest) = (9, 7);
        let lag = Lag { records, greatest };
        let seen = Seen { lag, at };
        // What cannot be seen any more is not told.
        let long_ago = Seen {
            at: at
                .checked_sub(std::time::Duration::from_secs(31))
                .expect("an instant"),
            ..seen
        };
        let outcomes = [(READ, 3), ("applied", 2), ("malformed", 1)];
        let source = SourceLedger {
            outcomes: outcomes
                .map(|(name, count)| (name.to_owned(), count))
                .into(),
            clocks: [(0, Timestamp(1_999_999)), (7, Timestamp(3_000_000))].into(),
            lags: [("payments".to_owned(), seen), ("gone".to_owned(), long_ago)].into(),
            ..SourceLedger::default()
        };
        counts.sources.insert("payments".into(), source);
        counts.views.insert("spend".into(), ViewLedger::default());
        counts.owing.insert("0-255".into(), 7);
        let feed = FeedLedger {
            sent: 5,
            standing: [("0-127", 2), ("128-255", 1)]
                .map(|(lane, owed)| {
                    let lag = Duration::from_secs(owed as i64);
                    (lane.to_owned(), FeedStanding { owed, lag })
                })
                .into(),
            ..FeedLedger::default()
        };
        counts.feeds.insert("spend".into(), feed);
        let archive = ArchiveLedger {
            rows: 4,
            flushed_at: Some(Timestamp(5_000_000)),
            ..ArchiveLedger::default()
        };
        counts.archives.insert("payments".into(), archive);
        let text = counts.metrics();
        for line in [
            "tiderace_records_total{source=\"payments\",outcome=\"read\"} 3",
            "tiderace_records_total{source=\"payments\",outcome=\"malformed\"} 1",
            "tiderace_records_total{source=\"payments\",outcome=\"too_late\"} 0",
            "tiderace_refused_total{view=\"spend\",reason=\"conflict\"} 0",
            "tiderace_rows_owed{shards=\"0-255\"} 7",
            "tiderace_source_lag_records{source=\"payments\",topic=\"payments\"} 9",
            "tiderace_source_lag_records_max{source=\"payments\",topic=\"payments\"} 7",
            "tiderace_stream_clock_seconds{source=\"payments\"} 3",
            "tiderace_partition_clock_seconds{source=\"payments\",partition=\"0\"} 1",
            "tiderace_partition_clock_seconds{source=\"payments\",partition=\"7\"} 3",
            "tiderace_output_records_total{view=\"spend\"} 5",
            "tiderace_output_owed{view=\"spend\"} 3",
            "tiderace_output_lag_seconds{view=\"spend\"} 2",
            "tiderace_archive_rows_total{source=\"payments\"} 4",
            "tiderace_archive_lag_seconds{source=\"payments\"} 0",
            "tiderace_archive_flushed_seconds{source=\"payments\"} 5",
            "tiderace_commits_total 0",
            "tiderace_blocks_swept_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("gone"), "{text}");
    }
}
