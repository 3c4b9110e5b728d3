//! Waiting for what happens elsewhere: for a signal where there is one, and longer than any machine needs where not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Nothing here takes so long.
const NEVER: Duration = Duration::from_secs(60);

/// Keeps handlers waiting until a test opens it, once and for all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn passed(&self) {
        self.0.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

/// What comes of it, in any time that a slow machine may take.
pub(crate) async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(NEVER, work).await {
        Ok(done) => done,
        Err(_) => panic!("never: {what}"),
    }
}

/// Waits until it is so; for what happens in tasks that nobody waits for.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let becomes_so = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time(what, becomes_so).await;
}

/// Lets the runtime's time pass at once: who sleeps meanwhile wakes at its end, however short he wanted to sleep.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}
