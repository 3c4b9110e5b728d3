use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// How often one caller may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per minute, in the long run.
    pub per_minute: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

impl Default for RateLimit {
    /// 6,000 a minute, 500 at once.
    fn default() -> Self {
        let n = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Self { per_minute: n(6_000), burst: n(500) }
    }
}

/// Who is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Counted {
    Key(usize),
    Address(IpAddr),
    Unknown,
}

impl Counted {
    /// IPv6 users have a whole /64 each, and would otherwise have 2^64 allowances.
    pub(super) fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = u128::from(v6) & !u128::from(u64::MAX);
                Self::Address(IpAddr::V6(network.into()))
            }
            v4 => Self::Address(v4),
        }
    }
}

/// After so many checks, callers that have their whole allowance again are forgotten, which bounds the memory by who
/// asked lately.
const FORGET_AFTER: u32 = 1024;

pub(super) struct Limiter {
    limiter: DefaultKeyedRateLimiter<Counted>,
    clock: DefaultClock,
    checks: AtomicU32,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").finish_non_exhaustive()
    }
}

impl Limiter {
    pub(super) fn new(limit: RateLimit) -> Self {
        let quota = Quota::per_minute(limit.per_minute).allow_burst(limit.burst);
        Self { limiter: RateLimiter::keyed(quota), clock: DefaultClock::default(), checks: AtomicU32::new(0) }
    }

    /// Takes one request from the caller's allowance, or says how long to wait for the next.
    pub(super) fn check(&self, who: &Counted) -> Result<(), Duration> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_AFTER == FORGET_AFTER - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.check_key(who).map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_an_allowance() {
        let one = NonZeroU32::new(1).unwrap();
        let limiter = Limiter::new(RateLimit { per_minute: one, burst: NonZeroU32::new(2).unwrap() });
        assert!(limiter.check(&Counted::Key(0)).is_ok() && limiter.check(&Counted::Key(0)).is_ok());
        let wait = limiter.check(&Counted::Key(0)).unwrap_err();
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60), "{wait:?}");
        assert!(limiter.check(&Counted::Key(1)).is_ok());
    }

    #[test]
    fn an_ipv6_network_is_one_caller() {
        let at = |text: &str| Counted::address(text.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:1.2.3.4"), at("1.2.3.4"));
    }
}
