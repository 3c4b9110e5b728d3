//! Who is let in: a link that is good once, and the session that it is exchanged for.
//!
//! Neither is written anywhere: links go to the terminal of the person who started the page, sessions into the browser
//! that opened one, and of both this process keeps digests only.
//!
//! Browsers show cookies to every port of a host, so that any server on this machine which the person visits could be
//! shown a session's. A session has a path of its own therefore, to which its cookie is bound: told to nobody but the
//! browser that opened the link, it keeps the cookie from everybody else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farthing_ambient::{Clock, Entropy, NoEntropy, Timestamp};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How long a link waits to be opened.
pub(crate) const LINK_LIFE: Duration = Duration::from_secs(10 * 60);
/// How long a session lasts that is not used.
pub(crate) const IDLE: Duration = Duration::from_secs(60 * 60);
/// How long a session lasts at most.
pub(crate) const SESSION_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// How many links wait, and how many sessions last, at most: the oldest gives way.
const MOST: usize = 8;

/// 256 random bits, in hex.
type Token = String;
/// How long a token is.
const TOKEN_LENGTH: usize = 64;
type Hash = [u8; 32];

/// The door.
#[derive(Debug)]
pub(crate) struct Door {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    keys: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    links: Vec<Link>,
    sessions: Vec<Session>,
}

#[derive(Debug)]
struct Link {
    hash: Hash,
    until: Timestamp,
}

/// One browser that was let in. Its debug output tells nothing of its keys.
struct Session {
    /// Of path and cookie: neither is a session without the other.
    hash: Hash,
    form: Token,
    begun: Timestamp,
    used: Timestamp,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("begun", &self.begun).finish_non_exhaustive()
    }
}

/// What a browser is let in with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// The first part of its pages' path: see [`place_in`].
    pub(crate) place: Token,
    /// What its cookie says.
    pub(crate) cookie: Token,
}

impl Key {
    fn hash(&self) -> Hash {
        hash(&format!("{}/{}", self.place, self.cookie))
    }
}

/// What a session's pages need.
#[derive(Clone)]
pub(crate) struct Visitor {
    /// The path under which they lie.
    pub(crate) root: String,
    /// The token that every form of them carries, so that no other page can send one.
    pub(crate) form: Token,
}

impl Visitor {
    /// Whether a form came from one of this session's pages.
    pub(crate) fn sent(&self, form: &str) -> bool {
        hash(&self.form).ct_eq(&hash(form)).into()
    }
}

impl Door {
    pub(crate) fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy, keys: Mutex::default() }
    }

    /// A new link's token.
    pub(crate) fn link(&self) -> Result<Token, NoEntropy> {
        let token = self.token()?;
        let mut keys = self.keys();
        make_room(&mut keys.links);
        keys.links.push(Link { hash: hash(&token), until: later(self.clock.now(), LINK_LIFE) });
        Ok(token)
    }

    /// Exchanges a link's token for a session's key, once. `None`: it is no link, or it was opened, or is too old.
    pub(crate) fn open(&self, token: &str) -> Result<Option<Key>, NoEntropy> {
        let key = Key { place: self.token()?, cookie: self.token()? };
        let form = self.token()?;
        let (now, wanted) = (self.clock.now(), hash(token));
        let mut keys = self.keys();
        keys.links.retain(|link| now < link.until);
        let Some(place) = keys.links.iter().position(|link| link.hash.ct_eq(&wanted).into()) else {
            return Ok(None);
        };
        keys.links.remove(place);
        make_room(&mut keys.sessions);
        keys.sessions.push(Session { hash: key.hash(), form, begun: now, used: now });
        Ok(Some(key))
    }

    /// The visitor whose session has this key, if it lasts.
    pub(crate) fn visitor(&self, key: &Key) -> Option<Visitor> {
        let (now, wanted) = (self.clock.now(), key.hash());
        let mut keys = self.keys();
        keys.sessions
            .retain(|session| now < later(session.begun, SESSION_LIFE) && now < later(session.used, IDLE));
        let session = keys.sessions.iter_mut().find(|session| session.hash.ct_eq(&wanted).into())?;
        session.used = now;
        Some(Visitor { root: root(&key.place), form: session.form.clone() })
    }

    /// Ends a session.
    pub(crate) fn leave(&self, key: &Key) {
        let gone = key.hash();
        self.keys().sessions.retain(|session| !bool::from(session.hash.ct_eq(&gone)));
    }

    fn token(&self) -> Result<Token, NoEntropy> {
        let mut bytes = [0; 32];
        self.entropy.fill(&mut bytes)?;
        Ok(hex::encode(bytes))
    }

    /// No panic is possible while the lock is held that leaves the lists half changed.
    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path under which a session's pages lie.
pub(crate) fn root(place: &str) -> String {
    format!("/{place}")
}

/// What this path names in the place of a session's, if anything.
pub(crate) fn place_in(path: &str) -> Option<&str> {
    let place = path.strip_prefix('/')?.split('/').next()?;
    let is_token = place.len() == TOKEN_LENGTH && place.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_token.then_some(place)
}

/// Tokens are random and long, so that a plain hash keeps them.
fn hash(token: &str) -> Hash {
    Sha256::digest(token).into()
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Lets the oldest go where the list is full.
fn make_room<T>(list: &mut Vec<T>) {
    if list.len() >= MOST {
        list.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_ambient::{SeededEntropy, TestClock};

    fn door() -> (Door, Arc<TestClock>) {
        let clock = Arc::new(TestClock::at_unix_second(1_700_000_000));
        (Door::new(clock.clone(), Arc::new(SeededEntropy::new(1))), clock)
    }

    #[test]
    fn a_link_is_good_once() {
        let (door, _) = door();
        let link = door.link().unwrap();
        assert!(door.open("").unwrap().is_none() && door.open(&"0".repeat(64)).unwrap().is_none());
        let key = door.open(&link).unwrap().unwrap();
        assert!(door.open(&link).unwrap().is_none(), "it was opened");
        assert!(door.visitor(&key).is_some());
        door.leave(&key);
        assert!(door.visitor(&key).is_none());
    }

    #[test]
    fn a_cookie_is_of_no_use_under_another_path() {
        let (door, _) = door();
        let [one, other] = [(); 2].map(|()| door.open(&door.link().unwrap()).unwrap().unwrap());
        assert!(one.place != other.place && one.cookie != other.cookie);
        for place in [other.place.as_str(), "", &one.place[1..]] {
            assert!(door.visitor(&Key { place: place.to_owned(), ..one.clone() }).is_none(), "{place}");
        }
        assert_eq!(door.visitor(&one).unwrap().root, format!("/{}", one.place));
    }

    #[test]
    fn places_are_whole_tokens() {
        let token = "0".repeat(TOKEN_LENGTH);
        for rest in ["", "/", "/history"] {
            assert_eq!(place_in(&format!("/{token}{rest}")), Some(token.as_str()));
        }
        for path in ["", "/", "/enter", &token, &format!("/{}", &token[1..]), &format!("/{}\"", &token[1..])]
        {
            assert_eq!(place_in(path), None, "{path}");
        }
    }

    #[test]
    fn links_and_sessions_end() {
        let (door, clock) = door();
        let late = door.link().unwrap();
        clock.advance(LINK_LIFE);
        assert!(door.open(&late).unwrap().is_none());
        let key = door.open(&door.link().unwrap()).unwrap().unwrap();
        clock.advance(IDLE - Duration::from_secs(1));
        assert!(door.visitor(&key).is_some(), "used in time");
        clock.advance(IDLE);
        assert!(door.visitor(&key).is_none(), "not used for long");
        let key = door.open(&door.link().unwrap()).unwrap().unwrap();
        for _ in 0..SESSION_LIFE.as_secs() / 1800 - 1 {
            clock.advance(Duration::from_secs(1800));
            assert!(door.visitor(&key).is_some());
        }
        clock.advance(Duration::from_secs(1800));
        assert!(door.visitor(&key).is_none(), "at the end, however often it is used");
    }

    #[test]
    fn there_are_never_many() {
        let (door, _) = door();
        let links: Vec<_> = (0..=MOST).map(|_| door.link().unwrap()).collect();
        assert!(door.open(&links[0]).unwrap().is_none(), "it gave way");
        let keys: Vec<_> = links[1..].iter().map(|link| door.open(link).unwrap().unwrap()).collect();
        assert!(keys.iter().all(|key| door.visitor(key).is_some()));
        let another = door.open(&door.link().unwrap()).unwrap().unwrap();
        assert!(door.visitor(&keys[0]).is_none() && door.visitor(&another).is_some());
    }

    #[test]
    fn forms_belong_to_their_session() {
        let (door, _) = door();
        let visitors: Vec<_> = (0..2)
            .map(|_| door.visitor(&door.open(&door.link().unwrap()).unwrap().unwrap()).unwrap())
            .collect();
        assert!(visitors[0].sent(&visitors[0].form));
        assert!(!visitors[0].sent(&visitors[1].form) && !visitors[0].sent(""));
    }
}
