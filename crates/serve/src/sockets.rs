//! Listening sockets that outlive a server: who connects while one server has ended and the next has not
//! begun waits in the system's queue, and is not refused.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener as Socket;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// Sockets by door and address. The default keeps none: a server's doors close with it.
#[derive(Clone, Debug, Default)]
pub struct Sockets(Option<Arc<Mutex<Held>>>);

type Held = BTreeMap<(&'static str, String), Socket>;

impl Sockets {
    /// Keeps the sockets of all servers that are started with it, as long as it lives.
    #[must_use]
    pub fn kept() -> Sockets {
        Sockets(Some(Arc::default()))
    }

    /// Listens at `address`, for the door `name`.
    ///
    /// # Errors
    /// When that cannot be.
    pub(crate) async fn listen(
        &self,
        name: &'static str,
        address: &str,
    ) -> io::Result<TcpListener> {
        let Some(held) = &self.0 else {
            return TcpListener::bind(address).await;
        };
        let door = (name, address.to_owned());
        let before = {
            let held = held.lock().unwrap_or_else(PoisonError::into_inner);
            held.get(&door).map(Socket::try_clone).transpose()?
        };
        if let Some(socket) = before {
            return TcpListener::from_std(socket);
        }
        let socket = TcpListener::bind(address).await?.into_std()?;
        let listener = TcpListener::from_std(socket.try_clone()?)?;
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(door, socket);
        Ok(listener)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn who_connects_meanwhile_waits() {
        let sockets = Sockets::kept();
        let first = sockets
            .listen("grpc", "127.0.0.1:0")
            .await
            .expect("listens");
        let address = first.local_addr().expect("an address");
        drop(first);
        let mut client = TcpStream::connect(address).await.expect("not refused");
        client.write_all(b"here").await.expect("written");
        let second = sockets
            .listen("grpc", "127.0.0.1:0")
            .await
            .expect("listens");
        assert_eq!(second.local_addr().ok(), Some(address));
        let (mut server, _) = second.accept().await.expect("accepted");
        let mut said = [0; 4];
        server.read_exact(&mut said).await.expect("read");
        assert_eq!(&said, b"here");
        drop((second, sockets));
        TcpStream::connect(address)
            .await
            .expect_err("nobody listens");
    }
}
