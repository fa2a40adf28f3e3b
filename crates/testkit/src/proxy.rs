//! A network that misbehaves when told to: a TCP proxy between the code under test and a server.
//!
//! ```text
//! client ──► Proxy (its port) ──► server (`upstream`)
//!            passes on, or: holds, swallows, delays, trickles, resets, refuses, flips a bit
//! ```
//! Every connection has two threads, one for each direction; they look at the fault before each
//! chunk, so a fault takes hold of open connections as of new ones. What a connection has lost
//! is never made good: one that was swallowed stays dead when the fault is over, as after a
//! firewall has forgotten it.

mod pump;

use crate::generate::Dice;
use crate::ports;
use anyhow::{Context, Result};
use pump::Pump;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is wrong with the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Nothing gets through, in one direction or both, until it does again: a cut and mended cable.
    Cut(Direction),
    /// Connections are accepted, everything sent is swallowed, and nothing ever comes back.
    HalfOpen,
    /// Every chunk comes so much later.
    Slow(Duration),
    /// One byte a second.
    Trickle,
    /// Every connection ends with RST, new ones at once.
    Reset,
    /// Nobody listens, and open connections are closed.
    Refuse,
    /// One bit is flipped in every so many bytes or so, on their way in this direction.
    Flip(Direction, u64),
    /// One bit of these bytes is flipped, wherever they come by on their way to the client.
    FlipIn(&'static [u8]),
}

/// A direction through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    ToServer,
    /// To the client.
    ToClient,
    /// Either.
    Both,
}

impl Direction {
    fn takes(self, other: Direction) -> bool {
        self == Direction::Both || self == other
    }
}

/// A proxy; gone when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

/// What the threads of a proxy share.
#[derive(Debug)]
pub(crate) struct Shared {
    upstream: Mutex<Option<SocketAddr>>,
    fault: Mutex<Fault>,
    /// Whether nobody listens any more.
    over: AtomicBool,
    passed: AtomicU64,
    flips: AtomicU64,
    dice: Mutex<Dice>,
}

impl Proxy {
    /// A proxy on a free port of this machine; `seed` decides where bits are flipped.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(seed: u64) -> Result<Proxy> {
        let port = ports::free_ports(1)?[0];
        let shared = Arc::new(Shared {
            upstream: Mutex::new(None),
            fault: Mutex::new(Fault::None),
            over: AtomicBool::new(false),
            passed: AtomicU64::new(0),
            flips: AtomicU64::new(0),
            dice: Mutex::new(Dice::new(seed)),
        });
        let mut proxy = Proxy {
            port,
            shared,
            listening: None,
        };
        proxy.listen()?;
        Ok(proxy)
    }

    /// A proxy before a server on this machine.
    ///
    /// # Errors
    /// As [`Proxy::start`].
    pub fn before(port: u16, seed: u64) -> Result<Proxy> {
        let proxy = Proxy::start(seed)?;
        proxy.lead_to(port);
        Ok(proxy)
    }

    /// Says which port of this machine it stands before.
    pub fn lead_to(&self, port: u16) {
        *lock(&self.shared.upstream) = Some(([127, 0, 0, 1], port).into());
    }

    /// Its own port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes something wrong with the network, or right again.
    ///
    /// # Errors
    /// When its port cannot be listened on again after [`Fault::Refuse`].
    pub fn set(&mut self, fault: Fault) -> Result<()> {
        *lock(&self.shared.fault) = fault;
        match (fault, &self.listening) {
            (Fault::Refuse, Some(_)) => self.close(),
            (Fault::Refuse, None) | (_, Some(_)) => {}
            (_, None) => self.listen()?,
        }
        Ok(())
    }

    /// How many bytes have got through, both ways.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::Relaxed)
    }

    /// How many bits have been flipped.
    #[must_use]
    pub fn flips(&self) -> u64 {
        self.shared.flips.load(Ordering::Relaxed)
    }

    fn listen(&mut self) -> Result<()> {
        let listener = crate::wait::until_some("the proxy's port", Duration::from_secs(10), || {
            TcpListener::bind(("127.0.0.1", self.port)).ok()
        });
        let listener = listener.context("listen as a proxy")?;
        let shared = Arc::clone(&self.shared);
        let accepting = std::thread::Builder::new().name("proxy".to_owned());
        self.listening = Some(accepting.spawn(move || accept(&listener, &shared))?);
        Ok(())
    }

    /// Stops listening; a connection of its own wakes the thread that accepts.
    fn close(&mut self) {
        let Some(listening) = self.listening.take() else {
            return;
        };
        self.shared.over.store(true, Ordering::Release);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        // A thread that has panicked listens no more either.
        drop(listening.join());
        self.shared.over.store(false, Ordering::Release);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        *lock(&self.shared.fault) = Fault::Reset;
        self.close();
    }
}

impl Shared {
    pub(crate) fn fault(&self) -> Fault {
        *lock(&self.fault)
    }

    pub(crate) fn count(&self, bytes: usize) {
        self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Flips bits of a chunk, one in `every` bytes or so.
    pub(crate) fn flip(&self, chunk: &mut [u8], every: u64) {
        let mut dice = lock(&self.dice);
        if chunk.is_empty() || !dice.chance(chunk.len() as f64 / every as f64) {
            return;
        }
        let place = dice.index(chunk.len());
        chunk[place] ^= 1 << dice.below(8);
        self.flips.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// Flips a bit of the first `needle` in a chunk.
    pub(crate) fn flip_in(&self, chunk: &mut [u8], needle: &[u8]) {
        let found = chunk.windows(needle.len()).position(|held| held == needle);
        if let Some(place) = found {
            let mut dice = lock(&self.dice);
            chunk[place + dice.index(needle.len())] ^= 1 << dice.below(8);
            self.flips.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.over.load(Ordering::Acquire) {
            return;
        }
        let Ok(client) = client else { continue };
        let upstream = *lock(&shared.upstream);
        // A server that is away is one that refuses: its clients are shown out.
        let server = upstream.and_then(|at| TcpStream::connect(at).ok());
        if let Some(server) = server {
            // Without threads there is no connection, and it is closed.
            drop(Pump::start(client, server, shared));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Plain values, whole after any panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// A server that says everything back.
    fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let mut reading = stream.try_clone().expect("clone");
                    let mut writing = stream;
                    // It ends with its connection, however that ends.
                    let _ = std::io::copy(&mut reading, &mut writing);
                });
            }
        });
        port
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port())).expect("connect");
        let patience = Some(Duration::from_millis(300));
        stream.set_read_timeout(patience).expect("a timeout");
        stream
    }

    fn say(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(text)?;
        let mut heard = vec![0; text.len()];
        stream.read_exact(&mut heard)?;
        Ok(heard)
    }

    #[test]
    fn a_cut_holds_and_lets_go_again() {
        let mut proxy = Proxy::before(echo(), 1).expect("proxy");
        let mut stream = connect(&proxy);
        assert_eq!(say(&mut stream, b"one").expect("echo"), b"one");
        for direction in [Direction::Both, Direction::ToServer, Direction::ToClient] {
            proxy.set(Fault::Cut(direction)).expect("cut");
            say(&mut stream, b"two").expect_err("held");
            proxy.set(Fault::None).expect("mend");
            let mut late = [0; 3];
            stream.read_exact(&mut late).expect("what was held");
            assert_eq!(&late, b"two");
        }
    }

    #[test]
    fn what_was_swallowed_stays_dead() {
        let mut proxy = Proxy::before(echo(), 1).expect("proxy");
        let mut stream = connect(&proxy);
        proxy.set(Fault::HalfOpen).expect("half open");
        say(&mut stream, b"one").expect_err("swallowed");
        proxy.set(Fault::None).expect("mend");
        say(&mut stream, b"two").expect_err("still dead");
        assert_eq!(say(&mut connect(&proxy), b"three").expect("echo"), b"three");
    }

    #[test]
    fn resets_and_refusals_are_told_apart() {
        let mut proxy = Proxy::before(echo(), 1).expect("proxy");
        let mut stream = connect(&proxy);
        assert_eq!(say(&mut stream, b"one").expect("echo"), b"one");
        proxy.set(Fault::Reset).expect("reset");
        let mut byte = [0];
        let error = stream.read(&mut byte).expect_err("reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        proxy.set(Fault::Refuse).expect("refuse");
        let error = TcpStream::connect(("127.0.0.1", proxy.port())).expect_err("refused");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        proxy.set(Fault::None).expect("mend");
        assert_eq!(say(&mut connect(&proxy), b"two").expect("echo"), b"two");
    }

    #[test]
    fn a_flip_is_one_bit() {
        let mut proxy = Proxy::before(echo(), 7).expect("proxy");
        let mut stream = connect(&proxy);
        proxy
            .set(Fault::Flip(Direction::ToClient, 1))
            .expect("flip");
        let sent = [0x55; 64];
        let heard = say(&mut stream, &sent).expect("echo");
        let bits: u32 = sent
            .iter()
            .zip(&heard)
            .map(|(a, b)| (a ^ b).count_ones())
            .sum();
        assert_eq!(u64::from(bits), proxy.flips());
        assert!(bits >= 1);
    }
}
