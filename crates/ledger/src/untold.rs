//! The approvals that this process has asked for and told nobody of.
//!
//! Who asks for one may be gone before he can tell of it: whoever is denied for it next, in the same process, finds it here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many are remembered: as many as may wait for a person at once.
const MOST: usize = 1000;

/// Their ids, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Untold(Mutex<VecDeque<String>>);

impl Untold {
    fn ids(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One is asked for. Should that not be committed, the next to be asked for has its id, and is told of once all the same.
    pub(crate) fn add(&self, id: &str) {
        let mut ids = self.ids();
        if ids.iter().any(|known| known == id) {
            return;
        }
        ids.push_back(id.to_owned());
        if ids.len() > MOST {
            ids.pop_front();
        }
    }

    /// Whether it is one of them. It is none any more then.
    pub(crate) fn take(&self, id: &str) -> bool {
        let mut ids = self.ids();
        let at = ids.iter().position(|known| known == id);
        at.is_some_and(|at| ids.remove(at).is_some())
    }
}
