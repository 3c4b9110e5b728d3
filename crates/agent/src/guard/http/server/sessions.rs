//! The sessions of all clients, by the name that we gave them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farthing_ambient::{Entropy as _, NoEntropy, OsEntropy};
use tokio::time::Instant;

use super::super::session::Session;
use crate::guard::relay::lock;

/// Who owns a session: SHA-256 of what he shows.
pub(super) type Identity = Option<[u8; 32]>;

/// The sessions.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Held>>);

struct Held {
    session: Arc<Session>,
    owner: Identity,
    used: Instant,
}

impl Sessions {
    /// Takes a session in. If there are as many as may be, the one that was idle longest goes; it is given back. None
    /// is taken in if all are in use.
    pub(super) fn insert(
        &self,
        id: &str,
        (session, owner): (Arc<Session>, Identity),
        most: usize,
    ) -> Result<Option<Arc<Session>>, ()> {
        let mut held = lock(&self.0);
        let mut gone = None;
        held.retain(|_, held| !held.session.ended.is_cancelled());
        if held.len() >= most {
            let idle = held.iter().filter(|(_, held)| held.session.is_idle());
            let oldest = idle.min_by_key(|(_, held)| held.used).map(|(id, _)| id.clone()).ok_or(())?;
            gone = held.remove(&oldest).map(|held| held.session);
        }
        held.insert(id.to_owned(), Held { session, owner, used: Instant::now() });
        Ok(gone)
    }

    /// A client's session. Another's is as good as none: a name that was overheard must be of no use.
    pub(super) fn get(&self, id: &str, owner: &Identity) -> Option<Arc<Session>> {
        let mut held = lock(&self.0);
        let found = held.get_mut(id).filter(|held| held.owner == *owner)?;
        found.used = Instant::now();
        let session = found.session.clone();
        if session.ended.is_cancelled() {
            held.remove(id);
            return None;
        }
        Some(session)
    }

    pub(super) fn remove(&self, id: &str) {
        lock(&self.0).remove(id);
    }

    /// Takes out what was idle for so long, or has ended.
    pub(super) fn idle(&self, longer_than: Duration) -> Vec<Arc<Session>> {
        let over = |held: &Held| {
            let idle = held.used.elapsed() > longer_than && held.session.is_idle();
            idle || held.session.ended.is_cancelled()
        };
        let mut held = lock(&self.0);
        held.extract_if(|_, held| over(held)).map(|(_, held)| held.session).collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        lock(&self.0).values().map(|held| held.session.clone()).collect()
    }
}

/// A name that nobody guesses.
pub(super) fn new_id() -> Result<String, NoEntropy> {
    let mut random = [0; 16];
    OsEntropy.fill(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
