//! What Farthing's HTTP servers and clients share.
//!
//! What this crate is for: a server whose connections are bounded in number, size and time, for any tower service; and
//! the way out for hyper's and reqwest's clients, over TLS by the system's trusted roots; and the bounds of that way ([`Reach`]).
//!
//! What it promises:
//! - Nobody holds a connection without using it: who sends no request, stops asking or stops reading loses it, over
//!   HTTP/1 and HTTP/2 alike. Work that takes long, and answers that are long in the making, are nobody's fault.
//! - Heads of requests are bounded in bytes, fields and time; so are the requests at once on one connection.
//! - On shutdown what has begun is finished, for a bounded time.
//!
//! ```
//! use bytes::Bytes;
//! use farthing_http::{Limits, serve};
//! use std::convert::Infallible;
//! use std::time::Duration;
//! use tokio::net::{TcpListener, TcpStream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let hello = tower::service_fn(async |_: http::Request<hyper::body::Incoming>| {
//!     Ok::<_, Infallible>(http::Response::new(http_body_util::Full::new(Bytes::from("hello"))))
//! });
//! let asking = async {
//!     let mut client = TcpStream::connect(address).await?;
//!     client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
//!     let mut answer = String::new();
//!     client.read_to_string(&mut answer).await?;
//!     assert!(answer.ends_with("hello"));
//!     Ok(())
//! };
//! let serving = serve(listener, hello, Limits::default(), std::future::pending(), Duration::ZERO);
//! tokio::select! {
//!     asked = asking => asked,
//!     () = serving => Ok(()),
//! }
//! # }
//! ```
#![forbid(unsafe_code)]

mod caller;
mod client;
mod hops;
mod line;
mod reach;
mod server;
mod turn;

pub use caller::caller;
pub use client::{TlsError, connector};
pub use hops::remove_hop_by_hop;
pub use line::Line;
pub use reach::{OutOfReach, Reach};
pub use server::{Limits, Peer, serve};
