//! Whether a client is still there.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::sync::Arc;

/// A request's connection, to ask the system whether its client has left. In the request's extensions, where
/// [`Limits::lines`](crate::Limits) wants it.
///
/// A request's future is dropped too when its client leaves, but not at once: the connection's task has to be woken for
/// it, and what the same client asks on a new connection may be read before. A connection that the server lets go closes
/// only when its lines are gone.
#[derive(Debug, Clone)]
pub struct Line(Arc<TcpStream>);

impl Line {
    /// Takes a file descriptor of its own.
    pub(crate) fn of(stream: &tokio::net::TcpStream) -> io::Result<Self> {
        Ok(Self(Arc::new(stream.as_fd().try_clone_to_owned()?.into())))
    }

    /// Whether its client has closed it, or it broke. While something that it sent before is not read yet, it counts as there.
    #[must_use]
    pub fn has_left(&self) -> bool {
        match self.0.peek(&mut [0]) {
            Ok(bytes) => bytes == 0,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }
}

/// The same connection.
impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Line {}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn who_closes_or_breaks_it_has_left_at_once() {
        for resets in [false, true] {
            let (mut client, server) = pair().await;
            let line = Line::of(&server).unwrap();
            assert!(!line.has_left());
            client.write_all(b"GET").await.unwrap();
            assert!(!line.has_left(), "what it sent is not read yet");
            assert_eq!(server.try_read(&mut [0; 3]).unwrap(), 3, "nothing was taken away");
            if resets {
                client.set_zero_linger().unwrap();
            }
            drop(client);
            assert!(line.has_left() && line.clone().has_left(), "{resets}");
        }
    }
}
