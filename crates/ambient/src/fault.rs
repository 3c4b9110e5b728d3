//! Named steps at which a test can kill the process.
//!
//! With the `faults` feature, `FARTHING_FAULT=wallet.signed` aborts the process the first time that
//! [`point`]`("wallet.signed")` is reached, as a power cut would; `FARTHING_FAULT=wallet.signed:3` the third time.
//! `FARTHING_CLOCK_AHEAD=120` lets [`SystemClock`](crate::SystemClock) run two minutes ahead, so that a test need not
//! wait for what a dead process left to be given up. Without the feature all of this is nothing at all.

/// A step of a purchase or of a paid call. Names are `crate.step`.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

/// A step of a purchase or of a paid call. Names are `crate.step`.
#[cfg(feature = "faults")]
pub fn point(name: &'static str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static TARGET: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let wanted = std::env::var("FARTHING_FAULT").ok()?;
        let (name, count) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        Some((name.to_owned(), count.parse().ok()?))
    });
    static SEEN: AtomicU64 = AtomicU64::new(0);

    let Some((wanted, count)) = TARGET.as_ref() else { return };
    if wanted == name && SEEN.fetch_add(1, Ordering::SeqCst).wrapping_add(1) == *count {
        std::process::abort();
    }
}

/// How far the machine's clock is to run ahead.
#[cfg(feature = "faults")]
pub(crate) fn clock_ahead() -> std::time::Duration {
    use std::sync::LazyLock;
    use std::time::Duration;

    static AHEAD: LazyLock<Duration> = LazyLock::new(|| {
        let seconds = std::env::var("FARTHING_CLOCK_AHEAD").ok().and_then(|text| text.parse().ok());
        Duration::from_secs(seconds.unwrap_or_default())
    });
    *AHEAD
}
