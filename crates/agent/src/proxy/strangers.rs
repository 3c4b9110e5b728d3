//! Refusals of callers whom nobody knows. Anybody can make any number of them, so the record takes a few.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use farthing_ambient::Timestamp;

/// How often one kind of refusal is recorded.
const EVERY: Duration = Duration::from_secs(60);

/// What was recorded last, by the problem's code. There are as many codes as problems, and no caller makes more.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<HashMap<&'static str, Last>>);

#[derive(Debug)]
struct Last {
    at: Timestamp,
    /// How many were not recorded since.
    left_out: u64,
}

impl Strangers {
    /// Whether this one is to be recorded, and then how many were left out before it.
    pub(super) fn note(&self, code: &'static str, now: Timestamp) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(code) {
            Some(last) if now.duration_since(last.at).unsigned_abs() < EVERY => {
                last.left_out = last.left_out.saturating_add(1);
                None
            }
            last => {
                let left_out = last.map_or(0, |last| last.left_out);
                all.insert(code, Last { at: now, left_out: 0 });
                Some(left_out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_kind_is_recorded_a_minute_and_says_how_many_were_not() {
        let strangers = Strangers::default();
        let at = |second| strangers.note("no_token", Timestamp::from_second(second).unwrap());
        assert_eq!([at(100), at(100), at(159), at(160), at(161)], [Some(0), None, None, Some(2), None]);
        assert_eq!(strangers.note("browser", Timestamp::from_second(161).unwrap()), Some(0));
        // A clock that was put back silences nobody for long.
        assert_eq!(at(10), Some(1));
    }
}
