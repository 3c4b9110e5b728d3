//! The least HTTP/1.1 that a load generator needs. A full client would take as much of the machine as the servers that
//! it measures.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Failure;

/// No answer of a benchmark's server is larger.
const LARGEST_ANSWER_BYTES: usize = 1024 * 1024;

/// A kept-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// The last answer.
    buffer: Vec<u8>,
    /// Where its body begins.
    body_at: usize,
}

impl Connection {
    /// Connects to a port of this machine.
    pub(crate) async fn open(port: u16) -> Result<Self, Failure> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024), body_at: 0 })
    }

    /// Sends a whole request, reads the whole answer, and gives back its status.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<u16, Failure> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        while self.buffer.len() < LARGEST_ANSWER_BYTES {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server closed the connection in the middle of an answer".into());
            }
            if let Some(body_at) = self.complete() {
                self.body_at = body_at;
                return self.status().ok_or_else(|| "the answer is not HTTP/1.1".into());
            }
        }
        Err("the answer is too large".into())
    }

    /// A header of the last answer.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.buffer[..self.body_at], name)
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer[self.body_at..]
    }

    /// Where the body begins, if the whole answer is there.
    fn complete(&self) -> Option<usize> {
        let body_at = self.buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let (head, body) = self.buffer.split_at(body_at);
        let whole = match header(head, "content-length") {
            Some(length) => body.len() >= length.parse().ok()?,
            None => header(head, "transfer-encoding").is_none() || body.ends_with(b"0\r\n\r\n"),
        };
        whole.then_some(body_at)
    }

    fn status(&self) -> Option<u16> {
        std::str::from_utf8(self.buffer.get(9..12)?).ok()?.parse().ok()
    }
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A request without a body.
pub(crate) fn get(path: &str, header: Option<(&str, &str)>) -> Vec<u8> {
    let header = header.map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{header}\r\n").into_bytes()
}

/// A request with a JSON body.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn answered(answer: &'static [u8]) -> Result<(u16, Connection), Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut connection = Connection::open(listener.local_addr()?.port()).await?;
        let (mut peer, _) = listener.accept().await?;
        // In two pieces, so that an answer is not taken for whole too early.
        tokio::spawn(async move {
            let (first, second) = answer.split_at(answer.len() / 2);
            peer.write_all(first).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            peer.write_all(second).await.unwrap();
        });
        let status = connection.exchange(&get("/", None)).await?;
        Ok((status, connection))
    }

    #[tokio::test]
    async fn answers_are_read_whole() {
        let (status, connection) =
            answered(b"HTTP/1.1 402 Payment Required\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello")
                .await
                .unwrap();
        assert_eq!((status, connection.body(), connection.header("x-a")), (402, &b"hello"[..], Some("b")));
        let (status, _) =
            answered(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
                .await
                .unwrap();
        assert_eq!(status, 200);
        assert!(answered(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort").await.is_err());
    }
}
