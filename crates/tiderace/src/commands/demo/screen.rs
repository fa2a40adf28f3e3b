//! The terminal: whole frames on its second screen, given back as it was, whatever happens.

use super::line::Line;
use std::io::{IsTerminal, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the terminal shows frames. Static, for a panic's hook knows nothing else.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The second screen, no cursor; and back.
const TAKE: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const GIVE_BACK: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";

/// The terminal while it shows frames. Dropped, or at a panic, it is as it was.
pub struct Screen {
    colored: bool,
    size: (usize, usize),
}

impl Screen {
    /// Tells whether standard output can show frames.
    pub fn possible() -> bool {
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb" || term.is_empty());
        std::io::stdout().is_terminal() && !dumb
    }

    /// Takes the terminal.
    pub fn take() -> Screen {
        static HOOKED: Once = Once::new();
        HOOKED.call_once(|| {
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                previous(panic);
            }));
        });
        TAKEN.store(true, Ordering::Release);
        // A terminal that cannot be told is found out by the first frame.
        let _ = write(TAKE);
        Screen {
            colored: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            size: (0, 0),
        }
    }

    /// Columns and rows.
    pub fn size(&self) -> (usize, usize) {
        size()
    }

    /// Shows a frame. A line longer than the screen is wide is wrapped by the terminal, so
    /// that it can be copied whole.
    ///
    /// # Errors
    /// When the terminal was given back by a panic, or is gone.
    pub fn show(&mut self, lines: &[Line]) -> std::io::Result<()> {
        if !TAKEN.load(Ordering::Acquire) {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        // Between these two marks a terminal that knows them draws nothing.
        let mut out = "\x1b[?2026h\x1b[H".to_owned();
        if std::mem::replace(&mut self.size, size()) != self.size {
            out.push_str("\x1b[2J");
        }
        for (place, line) in lines.iter().enumerate() {
            if place > 0 {
                out.push_str("\r\n");
            }
            line.write(self.colored, &mut out);
            if line.width() % self.size.0.max(1) != 0 || line.width() == 0 {
                out.push_str("\x1b[K");
            }
        }
        out.push_str("\x1b[J\x1b[?2026l");
        write(&out)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if TAKEN.swap(false, Ordering::AcqRel) {
        // Nothing can be done for a terminal that is gone.
        let _ = write(GIVE_BACK);
    }
}

fn write(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[expect(
    unsafe_code,
    reason = "there is no safe call that tells a terminal's size"
)]
fn size() -> (usize, usize) {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one winsize, and the pointer is to one.
    let told = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    match (told, usize::from(size.ws_col), usize::from(size.ws_row)) {
        (0, columns @ 1.., rows @ 1..) => (columns, rows),
        _ => (80, 24),
    }
}
