//! One connection through the proxy: a thread for each direction.

#![allow(unsafe_code)] // SO_LINGER has no stable door in std

use super::{Direction, Fault, Shared};
use anyhow::{Context, Result};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a waiting thread looks whether the fault has changed.
const LOOK: Duration = Duration::from_millis(5);

/// How long a byte takes when they trickle.
const TRICKLE: Duration = Duration::from_secs(1);

/// One direction of a connection.
pub(super) struct Pump {
    from: TcpStream,
    to: TcpStream,
    direction: Direction,
    shared: Arc<Shared>,
    /// Whether something of this connection was swallowed.
    dead: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    abrupt: Arc<AtomicBool>,
}

impl Pump {
    /// Starts both directions of a connection.
    pub(super) fn start(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) -> Result<()> {
        let [dead, over, abrupt] = [(); 3].map(|()| Arc::<AtomicBool>::default());
        let pump = |from: &TcpStream, to: &TcpStream, direction| -> Result<()> {
            from.set_nodelay(true)?;
            from.set_read_timeout(Some(LOOK))?;
            let pump = Pump {
                from: from.try_clone()?,
                to: to.try_clone()?,
                direction,
                shared: Arc::clone(shared),
                dead: Arc::clone(&dead),
                over: Arc::clone(&over),
                abrupt: Arc::clone(&abrupt),
            };
            let thread = std::thread::Builder::new().name("pump".to_owned());
            thread.spawn(move || pump.run()).context("start a pump")?;
            Ok(())
        };
        pump(&client, &server, Direction::ToServer)?;
        pump(&server, &client, Direction::ToClient)
    }

    fn run(mut self) {
        let mut chunk = vec![0; 64 << 10];
        while !self.over.load(Ordering::Acquire) {
            match self.shared.fault() {
                Fault::Reset => {
                    // The system sends RST when both threads have let go; a word of farewell
                    // would come before it.
                    reset(&self.from);
                    reset(&self.to);
                    self.abrupt.store(true, Ordering::Release);
                    break;
                }
                Fault::Refuse => break,
                _ => {}
            }
            let length = match self.from.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    continue;
                }
                Err(_) => break,
            };
            if !self.pass(&mut chunk[..length]) {
                break;
            }
        }
        self.over.store(true, Ordering::Release);
        if !self.abrupt.load(Ordering::Acquire) {
            // One that is closed already stays so.
            let _ = self.from.shutdown(Shutdown::Both);
            let _ = self.to.shutdown(Shutdown::Both);
        }
    }

    /// Sends a chunk on, as the fault has it; false when the connection is over.
    fn pass(&mut self, chunk: &mut [u8]) -> bool {
        let mut left = chunk;
        let mut late = false;
        while !left.is_empty() && !self.over.load(Ordering::Acquire) {
            if self.dead.load(Ordering::Acquire) {
                return true;
            }
            let sent = match self.shared.fault() {
                Fault::Cut(direction) if direction.takes(self.direction) => {
                    std::thread::sleep(LOOK);
                    0
                }
                Fault::HalfOpen => {
                    self.dead.store(true, Ordering::Release);
                    return true;
                }
                Fault::Slow(by) if !late => {
                    late = true;
                    std::thread::sleep(by);
                    0
                }
                Fault::Trickle => {
                    // In short waits, so that an end of the fault is seen at once.
                    for _ in 0..TRICKLE.as_millis() / LOOK.as_millis() {
                        if self.shared.fault() == Fault::Trickle {
                            std::thread::sleep(LOOK);
                        }
                    }
                    1
                }
                Fault::Reset | Fault::Refuse => return true,
                Fault::Flip(direction, every) if direction.takes(self.direction) => {
                    self.shared.flip(left, every);
                    left.len()
                }
                Fault::FlipIn(needle) if self.direction == Direction::ToClient => {
                    self.shared.flip_in(left, needle);
                    left.len()
                }
                _ => left.len(),
            };
            let (now, rest) = left.split_at_mut(sent);
            if self.to.write_all(now).is_err() {
                return false;
            }
            self.shared.count(now.len());
            left = rest;
        }
        true
    }
}

/// Makes the end of a connection an abrupt one.
fn reset(stream: &TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the descriptor is open, and the option is as long as it is said to be. Should it be
    // refused, the connection ends politely.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            std::ptr::from_ref(&linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        );
    }
}
