//! Where a door's connections come from: accepted, counted, and encrypted where there is TLS.
//!
//! A connection that is being encrypted waits apart, so that a slow one holds no other up; past the bound
//! new ones are closed at once. A connection keeps what it began with when certificates change.

use crate::bounds::{Bounds, Unread};
use crate::connections::{Connections, Cut, Open};
use crate::life::{Busy, Life};
use crate::tls::{Configs, Spoken};
use crate::watched::Watched;
use crate::{Denial, Error, Kind, Occurrence, Reason, Reporter, Sockets};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::Error as TlsError;
use tokio_rustls::server::TlsStream;

/// How long to wait when connections cannot be accepted: the process has too many files open.
const PAUSE: Duration = Duration::from_millis(100);

/// A door's listener, with what its connections need.
pub(crate) struct Doorway {
    name: &'static str,
    listener: TcpListener,
    encryption: Option<(Watched<Configs>, Spoken)>,
    room: Arc<Semaphore>,
    connections: Arc<Connections>,
    unread: Unread,
    busy: Busy,
    handshake: Duration,
    reporter: Reporter,
    handshakes: JoinSet<Option<Connection>>,
}

impl Doorway {
    /// Listens at `address`; `name` is the door's, for messages.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an address that cannot be listened at.
    pub(crate) async fn open(
        name: &'static str,
        address: &str,
        encryption: Option<(Watched<Configs>, Spoken)>,
        bounds: &Bounds,
        reporter: Reporter,
        sockets: &Sockets,
    ) -> Result<Doorway, Error> {
        let listener = sockets.listen(name, address).await.map_err(|error| {
            Error::invalid(format!("{name} cannot listen at {address:?}: {error}"))
        })?;
        Ok(Doorway {
            name,
            listener,
            encryption,
            room: Arc::new(Semaphore::new(
                bounds.connections.min(Semaphore::MAX_PERMITS),
            )),
            connections: Connections::of(name),
            unread: Unread::new(bounds.unread_bytes),
            busy: Busy::default(),
            handshake: bounds.handshake,
            reporter,
            handshakes: JoinSet::new(),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// [`Kind::Bug`] when the system does not say.
    pub(crate) fn address(&self) -> Result<SocketAddr, Error> {
        let address = self.listener.local_addr();
        address.map_err(|error| Error::new(Kind::Bug, format!("listener: {error}")))
    }

    /// Its connections, counted.
    pub(crate) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// Waits for the next connection. Nothing is lost when that is given up.
    pub(crate) async fn next(&mut self) -> Connection {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => if let Some(connection) = self.take(stream, from) {
                        return connection;
                    },
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                agreed = self.handshakes.join_next(), if !self.handshakes.is_empty() => {
                    if let Some(Ok(Some(connection))) = agreed {
                        return connection;
                    }
                }
            }
        }
    }

    /// Lets a connection in, or has it encrypted first.
    fn take(&mut self, stream: TcpStream, from: SocketAddr) -> Option<Connection> {
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            self.connections.refuse();
            return None;
        };
        stream.set_nodelay(true).ok()?;
        let counted = self.connections.open();
        let (unread, busy) = (self.unread.clone(), self.busy.clone());
        let open = move |io| Connection {
            io,
            peer: Peer(from),
            life: Life::new(Instant::now(), unread, busy),
            counted,
            _permit: permit,
        };
        let Some((configs, spoken)) = &self.encryption else {
            return Some(open(Io::Plain(stream)));
        };
        let acceptor = TlsAcceptor::from(configs.now().of(*spoken));
        let (door, reporter) = (self.name, self.reporter.clone());
        let within = self.handshake;
        let connections = Arc::clone(&self.connections);
        self.handshakes.spawn(async move {
            let agreed = tokio::time::timeout(within, acceptor.accept(stream)).await;
            let Ok(agreed) = agreed else {
                connections.cut(Cut::Handshake);
                return None;
            };
            match agreed {
                Ok(stream) => Some(open(Io::Encrypted(Box::new(stream)))),
                Err(error) => {
                    reporter.tell(&Occurrence::Denied(refused(door, from, &error)?));
                    None
                }
            }
        });
        None
    }
}

/// Tells whether accepting failed because of who connects, and not for want of anything here.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// The denial, if a client was refused for its certificate. Whoever does not speak TLS is no caller.
fn refused(door: &str, from: SocketAddr, error: &io::Error) -> Option<Denial> {
    let cause = error.get_ref()?.downcast_ref::<TlsError>()?;
    let message = match cause {
        TlsError::NoCertificatesPresented => "no certificate was shown".to_owned(),
        TlsError::InvalidCertificate(why) => format!("the certificate is not believed: {why}"),
        _ => return None,
    };
    Some(Denial {
        who: None,
        what: format!("connect to {door}"),
        from: Some(from),
        reason: Reason::Certificate,
        message,
    })
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// A connection. There is room for another when it is dropped.
pub(crate) struct Connection {
    io: Io,
    peer: Peer,
    life: Arc<Life>,
    counted: Open,
    _permit: OwnedSemaphorePermit,
}

enum Io {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Connection {
    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    pub(crate) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// The connections of its door, counted.
    pub(crate) fn door(&self) -> &Arc<Connections> {
        self.counted.door()
    }

    /// Notes whether something was written.
    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        self.life.write(polled.is_ready(), Instant::now());
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = self.get_mut();
        let polled = match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Io::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let read = buffer.filled().len() - before;
        if read > 0 {
            this.life.hear(read, Instant::now());
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Io::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        this.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Io::Encrypted(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        };
        this.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Encrypted(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(context),
            Io::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Io::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
