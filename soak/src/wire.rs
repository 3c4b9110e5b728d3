//! A small HTTP/1.1 server that can also misbehave: break a connection off, cut a body, say nothing.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The longest body that is read.
const MAX_BODY_BYTES: usize = 16 << 20;

/// The longest that a silent connection is held: longer than any timeout of those who ask.
const SILENCE: Duration = Duration::from_secs(120);

/// What was asked.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What is done about it.
#[derive(Debug)]
pub(crate) enum Reply {
    /// An answer.
    Answer { status: u16, retry_after: Option<u32>, body: Vec<u8> },
    /// An answer whose body ends before the length that its head names.
    CutOff { body: Vec<u8> },
    /// The connection is reset.
    Reset,
    /// Nothing, until whoever asked hangs up.
    Silence,
}

impl Reply {
    pub(crate) fn of(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer { status, retry_after: None, body: body.into() }
    }
}

/// Serves on a free loopback port until the process ends.
pub(crate) async fn serve<F, Fut>(handler: F) -> io::Result<SocketAddr>
where
    F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Reply> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            // Out of descriptors for a moment: whoever waits is taken when there is one again.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let handler = handler.clone();
            // A connection that broke concerns its client only.
            tokio::spawn(async move { connection(stream, handler).await.ok() });
        }
    });
    Ok(address)
}

async fn connection<F, Fut>(stream: TcpStream, handler: F) -> io::Result<()>
where
    F: Fn(Request) -> Fut,
    Fut: Future<Output = Reply>,
{
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await? {
        match handler(request).await {
            Reply::Answer { status, retry_after, body } => {
                let mut answer = head(status, retry_after, body.len());
                answer.extend_from_slice(&body);
                stream.write_all(&answer).await?;
            }
            Reply::CutOff { body } => {
                let mut answer = head(200, None, body.len());
                answer.extend_from_slice(body.get(..body.len() / 2).unwrap_or_default());
                return stream.write_all(&answer).await;
            }
            // With no lingering, closing sends a reset instead of an end.
            Reply::Reset => return stream.get_ref().set_zero_linger(),
            Reply::Silence => {
                let _ = tokio::time::timeout(SILENCE, stream.read_u8()).await;
                return Ok(());
            }
        }
    }
    Ok(())
}

fn head(status: u16, retry_after: Option<u32>, length: usize) -> Vec<u8> {
    let retry_after = retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
    format!("HTTP/1.1 {status} Soak\r\ncontent-type: application/json\r\n{retry_after}content-length: {length}\r\n\r\n")
        .into_bytes()
}

/// Reads a request; none when the client has hung up between two of them.
async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let Some(first) = line(stream).await? else { return Ok(None) };
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(malformed("request line"));
    };
    let mut request = Request { method, path, ..Request::default() };
    loop {
        let line = line(stream).await?.ok_or_else(|| malformed("head"))?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("header"))?;
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = request.headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(Ok(0), |(_, value)| value.parse().map_err(|_| malformed("length")))?;
    if length > MAX_BODY_BYTES || request.headers.iter().any(|(name, _)| name == "transfer-encoding") {
        return Err(malformed("body"));
    }
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).await?;
    Ok(Some(request))
}

async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end().to_owned()))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a {what} that this server does not read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn misbehaving() -> SocketAddr {
        serve(|request: Request| async move {
            match request.path.as_str() {
                "/echo" => Reply::of(200, request.body),
                "/cut" => Reply::CutOff { body: b"0123456789".to_vec() },
                "/reset" => Reply::Reset,
                _ => Reply::Silence,
            }
        })
        .await
        .unwrap()
    }

    async fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(address).await?;
        let ask = format!("POST {path} HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        stream.write_all(ask.as_bytes()).await?;
        let mut answer = vec![0; 1_000];
        let mut length = 0;
        while !answer.starts_with(b"HTTP") || !String::from_utf8_lossy(&answer).contains("hello") {
            match stream.read(answer.get_mut(length..).unwrap()).await? {
                0 => break,
                read => length += read,
            }
        }
        Ok(String::from_utf8_lossy(answer.get(..length).unwrap()).into_owned())
    }

    #[tokio::test]
    async fn it_answers_and_misbehaves_as_it_is_told() {
        let address = misbehaving().await;
        assert!(ask(address, "/echo").await.unwrap().ends_with("\r\n\r\nhello"));
        let cut = ask(address, "/cut").await.unwrap();
        assert!(cut.contains("content-length: 10") && cut.ends_with("\r\n\r\n01234"), "{cut}");
        assert_eq!(ask(address, "/reset").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let silent = tokio::time::timeout(Duration::from_millis(100), ask(address, "/silence")).await;
        assert!(silent.is_err());
    }
}
