//! Where a door's connections come from: accepted, counted, and encrypted where there is TLS.
//!
//! A connection that is being encrypted waits apart, so that a slow one holds no other up; past the bound
//! new ones are closed at once. A connection keeps what it began with when certificates change.

use crate::corked::Corked;
use crate::tls::{Configs, Spoken};
use crate::watched::Watched;
use crate::{Denial, Error, Kind, Occurrence, Reason, Reporter, Sockets};
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use futures::Stream;
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
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::Error as TlsError;
use tokio_rustls::server::TlsStream;

/// How long a client may take to agree on encryption.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long to wait when connections cannot be accepted: the process has too many files open.
const PAUSE: Duration = Duration::from_millis(100);

/// A door's listener, with what its connections need.
pub(crate) struct Doorway {
    name: &'static str,
    listener: TcpListener,
    encryption: Option<(Watched<Configs>, Spoken)>,
    room: Arc<Semaphore>,
    reporter: Reporter,
    handshakes: JoinSet<Option<Connection>>,
}

impl Doorway {
    /// Listens at `address`; `name` is the door's, for messages. At most `room` connections are open at once.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an address that cannot be listened at.
    pub(crate) async fn open(
        name: &'static str,
        address: &str,
        encryption: Option<(Watched<Configs>, Spoken)>,
        room: usize,
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
            room: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
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

    /// Waits for the next connection.
    async fn next(&mut self) -> Connection {
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
        let permit = Arc::clone(&self.room).try_acquire_owned().ok()?;
        stream.set_nodelay(true).ok()?;
        let Some((configs, spoken)) = &self.encryption else {
            return Some(Connection {
                io: Io::Plain(stream),
                peer: Peer(from),
                _permit: permit,
            });
        };
        let acceptor = TlsAcceptor::from(configs.now().of(*spoken));
        let (door, reporter) = (self.name, self.reporter.clone());
        self.handshakes.spawn(async move {
            let agreed = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
            match agreed.ok()? {
                Ok(stream) => Some(Connection {
                    io: Io::Encrypted(Box::new(stream)),
                    peer: Peer(from),
                    _permit: permit,
                }),
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

/// Connections as tonic takes them: without an end, and with writes held together.
pub(crate) fn stream(doorway: Doorway) -> impl Stream<Item = io::Result<Corked<Connection>>> {
    futures::stream::unfold(doorway, |mut doorway| async move {
        let connection = doorway.next().await;
        Some((Ok(Corked::new(connection)), doorway))
    })
}

impl axum::serve::Listener for Doorway {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let connection = self.next().await;
        let Peer(from) = connection.peer;
        (connection, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, Doorway>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Doorway>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

/// A connection. There is room for another when it is dropped.
pub(crate) struct Connection {
    io: Io,
    peer: Peer,
    _permit: OwnedSemaphorePermit,
}

enum Io {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl tonic::transport::server::Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Io::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Io::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Io::Encrypted(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
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
