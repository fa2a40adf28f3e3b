//! Writes of a connection held together while the tasks beside it have their turn.
//!
//! HTTP/2 flushes whenever a stream has something: with many calls in flight on a connection that is up to two
//! system calls for each, and a packet for each. Here what is written waits while the tasks that are ready run
//! once, and again while such a turn brings more, so that answers which are ready together leave together. With
//! nothing else to do a turn is over at once, and no timer is involved: a lone answer leaves as soon as
//! before, whole.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What waits at most. What comes on top waits for the peer to read.
const ROOM: usize = 64 << 10;

/// How many turns are waited for at most.
const TURNS: u8 = 4;

/// What a connection that has nothing to write keeps at most.
const KEPT: usize = 8 << 10;

/// Counts the turns of the task that drives a connection: whoever polls it says when one begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn(Arc<AtomicU64>);

impl Turn {
    pub(crate) fn next(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection whose writes are held together.
pub(crate) struct Corked<Io> {
    io: Io,
    waiting: Vec<u8>,
    /// How many of the first bytes of `waiting` have left.
    gone: usize,
    turn: Turn,
    /// How many turns have been waited for.
    turns: u8,
    /// When it was last asked to flush, and how much was waiting then.
    flushed: Option<(u64, usize)>,
}

impl<Io: AsyncWrite + Unpin> Corked<Io> {
    /// Holds the writes of `io` together.
    pub(crate) fn new(io: Io, turn: Turn) -> Corked<Io> {
        Corked {
            io,
            waiting: Vec::new(),
            gone: 0,
            turn,
            turns: 0,
            flushed: None,
        }
    }

    /// Writes all that waits.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.gone < self.waiting.len() {
            let io = Pin::new(&mut self.io);
            let written = ready!(io.poll_write(context, &self.waiting[self.gone..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gone += written;
        }
        (self.gone, self.turns, self.flushed) = (0, 0, None);
        match self.waiting.capacity() > KEPT {
            true => self.waiting = Vec::new(),
            false => self.waiting.clear(),
        }
        Poll::Ready(Ok(()))
    }

    /// Has room for more, or makes some.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.waiting.len() >= ROOM {
            ready!(self.poll_drain(context))?;
        }
        Poll::Ready(Ok(ROOM - self.waiting.len()))
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Corked<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Corked<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_room(context))?;
        let mut left = room;
        for part in parts {
            let taken = &part[..part.len().min(left)];
            self.waiting.extend_from_slice(taken);
            left -= taken.len();
        }
        Poll::Ready(Ok(room - left))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waiting.is_empty() {
            let (turn, waiting) = (self.turn.now(), self.waiting.len());
            let is_again = self.flushed.is_some_and(|(at, _)| at == turn);
            let more = self.flushed.is_none_or(|(_, before)| waiting > before);
            if self.gone == 0 && (is_again || more && self.turns < TURNS) {
                self.flushed = Some((turn, waiting));
                if !is_again {
                    self.turns += 1;
                    // Behind the tasks that are ready now.
                    context.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            ready!(self.poll_drain(context))?;
        }
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    async fn flush<Io: AsyncWrite + Unpin>(corked: &mut Corked<Io>) {
        let flushed = poll_fn(|context| {
            corked.turn.next();
            Pin::new(&mut *corked).poll_flush(context)
        });
        flushed.await.expect("flushed");
    }

    /// Counts the writes that reach it.
    struct Counted<Io>(Io, usize);

    impl<Io: AsyncWrite + Unpin> AsyncWrite for Counted<Io> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.1 += 1;
            Pin::new(&mut self.0).poll_write(context, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(context)
        }

        fn poll_shutdown(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(context)
        }
    }

    #[tokio::test]
    async fn what_is_written_before_a_flush_leaves_together() {
        let (near, mut far) = duplex(1 << 20);
        let mut corked = Corked::new(Counted(near, 0), Turn::default());
        for word in ["one ", "two ", "three"] {
            corked.write_all(word.as_bytes()).await.expect("written");
        }
        assert_eq!(corked.io.1, 0);
        flush(&mut corked).await;
        assert_eq!(corked.io.1, 1);
        corked.shutdown().await.expect("ended");
        drop(corked);
        let mut said = String::new();
        far.read_to_string(&mut said).await.expect("read");
        assert_eq!(said, "one two three");
    }

    /// A peer that takes little at a time gets every byte in order, and no more waits than there is room for.
    #[tokio::test]
    async fn every_byte_arrives_in_order() {
        let (near, mut far) = duplex(1_000);
        let sent: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            let mut corked = Corked::new(near, Turn::default());
            for piece in sent.chunks(7_777) {
                corked.write_all(piece).await.expect("written");
                assert!(corked.waiting.len() <= ROOM);
                if piece[0] % 3 == 0 {
                    flush(&mut corked).await;
                    assert!(corked.waiting.is_empty() && corked.waiting.capacity() <= KEPT);
                }
            }
            corked.shutdown().await.expect("ended");
        });
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.expect("read");
        writing.await.expect("written");
        assert!(got == expected);
    }
}
