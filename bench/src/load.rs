//! Load: so many connections at once, each with its share of the requests, one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;

use crate::Failure;
use crate::http1::Connection;

/// What a run took.
pub(crate) struct Took {
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// Each answer's time, sorted.
    pub(crate) latencies: Vec<Duration>,
}

/// What every answer must be.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    /// Its status.
    pub(crate) status: u16,
    /// What its body contains.
    pub(crate) saying: &'static str,
}

/// Sends every request, spread over the connections. Each must be answered as expected.
///
/// # Errors
/// A connection broke, or an answer was another one: then nothing was measured.
pub(crate) async fn send(
    port: u16,
    connections: usize,
    requests: &[Arc<[u8]>],
    expected: Expected,
) -> Result<Took, Failure> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(port).await?);
    }
    let share = requests.len().div_ceil(connections).max(1);
    let began = Instant::now();
    let running = open.into_iter().zip(requests.chunks(share)).map(|(c, r)| one_by_one(c, r, expected));
    let mut latencies: Vec<_> = try_join_all(running).await?.concat();
    let elapsed = began.elapsed();
    latencies.sort_unstable();
    Ok(Took { elapsed, latencies })
}

async fn one_by_one(
    mut connection: Connection,
    requests: &[Arc<[u8]>],
    expected: Expected,
) -> Result<Vec<Duration>, Failure> {
    let mut latencies = Vec::with_capacity(requests.len());
    for request in requests {
        let began = Instant::now();
        let got = connection.exchange(request).await?;
        latencies.push(began.elapsed());
        let body = String::from_utf8_lossy(connection.body());
        if got != expected.status || !body.contains(expected.saying) {
            let Expected { status, saying } = expected;
            return Err(format!("answered {got} where {status} {saying} was expected: {body}").into());
        }
    }
    Ok(latencies)
}
