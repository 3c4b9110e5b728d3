//! A client that sends exactly what a test says.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends one request with these header lines, and no others.
pub(crate) async fn send(to: SocketAddr, request: &str, headers: &[&str], body: &str) -> Answer {
    let mut lines = vec![format!("{request} HTTP/1.1"), "connection: close".to_owned()];
    lines.extend(headers.iter().map(|&line| line.to_owned()));
    if !body.is_empty() {
        lines.push("content-type: application/x-www-form-urlencoded".to_owned());
        lines.push(format!("content-length: {}", body.len()));
    }
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(format!("{}\r\n\r\n{body}", lines.join("\r\n")).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    read(&bytes)
}

fn read(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, bytes: bytes[end + 4..].to_vec() }
}
