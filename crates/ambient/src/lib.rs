//! What a program takes from its surroundings: time, randomness, the moment of its death, which machine it is on, and
//! what lies behind an error.
//!
//! Each comes in through one small trait, so that windows, expiries, nonces and crashes can be tested exactly.
//! Production uses [`SystemClock`] and [`OsEntropy`]; tests use [`TestClock`] and [`SeededEntropy`]. Fault points
//! do nothing unless the `faults` feature is on, and then they need `FARTHING_FAULT`.
//!
//! ```
//! use farthing_ambient::{Clock, TestClock};
//! use std::time::Duration;
//!
//! let clock = TestClock::at_unix_second(1_700_000_000);
//! clock.advance(Duration::from_secs(60));
//! assert_eq!(clock.now().as_second(), 1_700_000_060);
//! ```
#![forbid(unsafe_code)]

mod causes;
pub mod fault;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

pub use causes::causes;
pub use jiff::Timestamp;
use url::{Host, Url};

/// Whether an address is on this machine, by its form alone: no name but `localhost` is believed, because a resolver's
/// answer is somebody else's word. What it is asked for: whether plain http may carry money or trust there.
#[must_use]
pub fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock's time. It may step backwards; who counts windows must not trust it to be monotonic.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[cfg(not(feature = "faults"))]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    #[cfg(feature = "faults")]
    fn now(&self) -> Timestamp {
        Timestamp::now().checked_add(fault::clock_ahead()).unwrap_or(Timestamp::MAX)
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// A clock that shows this Unix time.
    #[must_use]
    pub fn at_unix_second(second: i64) -> Self {
        Self(AtomicI64::new(second.saturating_mul(1000)))
    }

    /// Moves forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Steps to a Unix time, backwards too.
    pub fn step_to_unix_second(&self, second: i64) {
        self.0.store(second.saturating_mul(1000), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }
}

/// Where randomness comes from.
pub trait Entropy: Send + Sync + std::fmt::Debug {
    /// Fills the buffer.
    ///
    /// # Errors
    /// [`NoEntropy`] when the operating system gives none: nothing may be signed then.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoEntropy>;
}

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoEntropy;

impl std::fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the operating system gave no random bytes")
    }
}

impl std::error::Error for NoEntropy {}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoEntropy> {
        getrandom::fill(buffer).map_err(|_| NoEntropy)
    }
}

/// A reproducible sequence for tests (SplitMix64). Never a source of secrets.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// The sequence that belongs to this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoEntropy> {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        for chunk in buffer.chunks_mut(8) {
            let mut z = self.0.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}
