//! Ports of loopback that no other test has, and that nobody else is given.
//!
//! Whoever asks the system for any free port gets one that the next outgoing connection may be given
//! too, before the server that it was meant for listens there. So ports come from below those
//! (Linux gives 32,768 to 60,999), in blocks that a process takes by locking a file, and within a
//! process none comes twice before the others have.

use anyhow::{Context, Result, bail};
use std::fs::{File, OpenOptions, TryLockError};
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Mutex;

/// What a Redis Cluster's bus port is above a server's own.
pub const BUS: u16 = 10_000;

/// Ports to choose from; above each, at [`BUS`], there is one that is not chosen.
const PORTS: Range<u16> = 11_000..21_000;

/// How many ports a process takes at a time.
const BLOCK: u16 = 50;

/// What a process has taken.
#[derive(Debug)]
struct Taken {
    /// The first port of each block, and the lock on it, which the process's end releases.
    blocks: Vec<(u16, File)>,
    /// How many of the ports were handed out.
    used: usize,
}

static TAKEN: Mutex<Taken> = Mutex::new(Taken {
    blocks: Vec::new(),
    used: 0,
});

/// Finds `count` loopback ports that nothing listens on, neither there nor [`BUS`] above.
///
/// They are this process's own for as long as it lives.
///
/// # Errors
/// When the machine has none left.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let mut taken = TAKEN.lock().expect("nothing panics while it is held");
    let mut ports = Vec::with_capacity(count);
    while ports.len() < count {
        let port = taken.next()?;
        if [port, port + BUS].into_iter().all(free) {
            ports.push(port);
        }
    }
    Ok(ports)
}

/// Whether nothing listens on a port.
fn free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

impl Taken {
    fn next(&mut self) -> Result<u16> {
        let (block, within) = (self.used / BLOCK as usize, self.used % BLOCK as usize);
        if block == self.blocks.len() {
            self.blocks.push(lock_block()?);
        }
        self.used += 1;
        Ok(self.blocks[block].0 + u16::try_from(within)?)
    }
}

/// Takes a block that no process has.
fn lock_block() -> Result<(u16, File)> {
    let folder = std::env::temp_dir().join("tiderace-ports");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    for first in PORTS.step_by(BLOCK as usize) {
        let path = folder.join(first.to_string());
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o666);
        let file = options
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => return Ok((first, file)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }
    }
    bail!("other tests have every port from {PORTS:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn none_comes_twice_and_none_is_in_use() {
        let first = free_ports(2 * BLOCK as usize + 1).expect("ports");
        let listeners: Vec<TcpListener> = first
            .iter()
            .map(|port| TcpListener::bind(("127.0.0.1", *port)).expect("free"))
            .collect();
        let second = free_ports(BLOCK as usize).expect("ports");
        let all: HashSet<&u16> = first.iter().chain(&second).collect();
        assert_eq!(all.len(), first.len() + second.len());
        assert!(all.iter().all(|port| PORTS.contains(port)));
        assert_eq!(listeners.len(), first.len());
    }

    #[test]
    fn a_block_that_is_locked_is_not_taken() {
        let (first, _lock) = lock_block().expect("a block");
        let (second, _other) = lock_block().expect("a block");
        assert_ne!(first, second);
    }

    #[test]
    fn the_system_gives_none_of_them_to_others() {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let range = range.expect("Linux says");
        let lowest: u16 = range
            .split_whitespace()
            .next()
            .and_then(|first| first.parse().ok())
            .expect("two numbers");
        assert!(PORTS.end + BUS <= lowest, "{range}");
    }
}
