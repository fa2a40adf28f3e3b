//! Bars on the terminal that show how far long work has come.

use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tiderace_offline::Progress;

/// A bar that is drawn until it is finished.
pub struct Bar {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Bar {
    /// Draws how far `progress` has come, in `what`.
    pub fn new(what: &str, progress: Arc<Progress>) -> Bar {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let bar = bar(what);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                bar.set_length(progress.total.load(Ordering::Relaxed));
                bar.set_position(progress.done.load(Ordering::Relaxed));
                std::thread::park_timeout(Duration::from_millis(200));
            }
            bar.finish_and_clear();
        });
        Bar { stop, thread }
    }

    /// Takes it away.
    pub fn finish(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        drop(self.thread.join());
    }
}

/// A bar of `what`, to be moved by whoever has it.
pub fn bar(what: &str) -> ProgressBar {
    let form = format!(
        "{{bar:30}} {{percent:>3}}%  {{human_pos}} {what}  {{per_sec}}  {{elapsed}} elapsed, {{eta}} left"
    );
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template(&form) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
