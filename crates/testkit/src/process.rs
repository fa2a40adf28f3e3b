//! Child processes that never outlive the test, and signals to them.
//!
//! Dropping a [`Process`] kills it, so a panicking test leaves nothing behind. A
//! test that is itself killed drops nothing; for that the kernel is asked to kill
//! the child when its parent goes (`PR_SET_PDEATHSIG`). The kernel means the parent
//! *thread*, and the threads of tests come and go, so every child is started by
//! one thread that lives as long as the test's process.

#![allow(unsafe_code)] // signals and prctl have no safe door in std

use anyhow::{Context, Result, bail};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::Duration;

/// A running child, killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

/// A signal that tests send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: end in good order.
    Terminate,
    /// SIGINT: what Ctrl-C sends.
    Interrupt,
    /// SIGKILL: end now.
    Kill,
    /// SIGSTOP: stand still. Waits until every thread does.
    Pause,
    /// SIGCONT: go on.
    Resume,
}

impl Process {
    /// Starts `command`; `name` is what errors call it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, mut command: Command) -> Result<Process> {
        // SAFETY: prctl is async-signal-safe and touches only the new child.
        unsafe {
            command.pre_exec(|| {
                match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            });
        }
        let child = spawn(command).with_context(|| format!("start {name}"))?;
        Ok(Process {
            name: name.to_owned(),
            child,
        })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal`. One that has ended is left alone.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_some() {
            return;
        }
        let number = match signal {
            Signal::Terminate => libc::SIGTERM,
            Signal::Interrupt => libc::SIGINT,
            Signal::Kill => libc::SIGKILL,
            Signal::Pause => libc::SIGSTOP,
            Signal::Resume => libc::SIGCONT,
        };
        // SAFETY: the child has not been reaped, so the id is still its own.
        unsafe { libc::kill(self.child.id().cast_signed(), number) };
        // A thread that runs goes on until its processor has looked at the signal.
        while signal == Signal::Pause && self.ended().is_none() && !stands_still(self.id()) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::Kill);
        // A child that is already reaped has nothing to wait for.
        let _ = self.child.wait();
    }

    /// Sends SIGTERM and waits until it has ended in good order.
    ///
    /// # Errors
    /// When it has not ended `within` that time; it is killed then.
    pub fn terminate(&mut self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::Terminate);
        self.wait(within)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it has not ended `within` that time; it is killed then.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        match crate::wait::until_some("the end", within, || self.ended()) {
            Ok(status) => Ok(status),
            Err(_) => {
                self.kill();
                bail!("{} did not end within {within:?}", self.name)
            }
        }
    }

    /// What it uses: resident memory and processor time so far.
    ///
    /// # Errors
    /// When `/proc` does not tell, as when it has ended.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.id())
    }
}

/// Whether every thread of a process is stopped. One that has gone meanwhile is.
fn stands_still(process: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else {
        return true;
    };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state follows the name, which may hold spaces and brackets.
        stat.rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in memory now.
    pub resident: u64,
    /// Bytes in memory at the most.
    pub peak: u64,
    /// Processor time of all its threads, user and system.
    pub processor: Duration,
}

impl Usage {
    /// Reads `/proc` for process `id`.
    ///
    /// # Errors
    /// When there is no such process, or `/proc` reads otherwise than Linux writes it.
    pub fn of(id: u32) -> Result<Usage> {
        let read = |file: &str| {
            let path = format!("/proc/{id}/{file}");
            std::fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        let status = read("status")?;
        let kilobytes = |field: &str| -> Result<u64> {
            let line = status.lines().find(|line| line.starts_with(field));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            Ok(number.with_context(|| field.to_owned())?.parse::<u64>()? * 1024)
        };
        let stat = read("stat")?;
        // The name in brackets may hold spaces; user and system ticks are the 12th and 13th after it.
        let (_, after) = stat.rsplit_once(')').context("stat without a name")?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let ticks = |at: usize| -> Result<u64> { Ok(fields.get(at).context("stat")?.parse()?) };
        // Linux counts these in hundredths of a second whatever the kernel's own tick is.
        let processor = Duration::from_millis((ticks(11)? + ticks(12)?) * 10);
        Ok(Usage {
            resident: kilobytes("VmRSS:")?,
            peak: kilobytes("VmHWM:")?,
            processor,
        })
    }
}

type Order = (Command, mpsc::SyncSender<io::Result<Child>>);

/// Starts `command` from the thread that outlives every test.
fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, received) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in received {
                // Whoever asked has gone only if its thread was killed with the process.
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (reply, child) = mpsc::sync_channel(1);
    let sent = orders
        .lock()
        .expect("nothing panics while it is held")
        .send((command, reply));
    sent.map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}
