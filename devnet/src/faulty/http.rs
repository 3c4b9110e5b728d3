//! As much of an HTTP/1.1 server as JSON-RPC needs, by hand: a framework would not let a connection die in the middle.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{Shared, answers::Reply};

/// More than any client of ours sends.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Serves until it is dropped, and all connections with it.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let shared = shared.clone();
                // A connection that fails is the other side's to notice.
                connections.spawn(async move { drop(converse(stream, &shared).await) });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(body) = read_request(&mut stream).await? {
        match shared.answer(&body).await {
            Reply::Silence => std::future::pending::<()>().await,
            Reply::Reset => return reset(&stream),
            Reply::Answer { status, retry_after_s, body, cut } => {
                let retry_after =
                    retry_after_s.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
                let head = format!(
                    "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{retry_after}\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).await?;
                if cut {
                    stream.write_all(&body.as_bytes()[..body.len() / 2]).await?;
                    stream.flush().await?;
                    return Ok(());
                }
                stream.write_all(body.as_bytes()).await?;
                stream.flush().await?;
            }
        }
    }
    Ok(())
}

/// Makes the kernel send RST instead of FIN when the connection is dropped.
fn reset(stream: &BufReader<TcpStream>) -> io::Result<()> {
    stream.get_ref().set_zero_linger()
}

/// The body of the next request; `None` when the connection has ended.
async fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let text = line.trim_end().to_ascii_lowercase();
        if text.is_empty() {
            break;
        }
        if let Some(value) = text.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    if length > MAX_BODY_BYTES {
        return Err(io::Error::other("too long a request"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    String::from_utf8(body).map(Some).map_err(io::Error::other)
}
