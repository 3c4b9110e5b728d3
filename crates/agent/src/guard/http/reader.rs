//! Events of one stream, as they come, and the place up to which they came.

use std::collections::VecDeque;
use std::time::Duration;

use farthing_ambient::causes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::sse::{Event, Parser};

/// How many ids are remembered, so that what a server sends again is not given out again.
const REMEMBERED: usize = 64;
/// How long to wait before connecting again, unless the server says; and what it can't go below and above.
const RETRY: Duration = Duration::from_secs(1);
const LEAST: Duration = Duration::from_millis(20);
const MOST: Duration = Duration::from_secs(60);

/// A body of events.
pub(super) struct Reader {
    body: Incoming,
    parser: Parser,
    ready: VecDeque<Event>,
}

impl Reader {
    /// For events of at most so many bytes.
    pub(super) fn new(body: Incoming, most: usize) -> Self {
        Self { body, parser: Parser::new(most), ready: VecDeque::new() }
    }

    /// The next event; none at the end. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, String> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(causes(&error)),
                Some(Ok(frame)) => {
                    if let Some(piece) = frame.data_ref() {
                        self.parser.feed(piece, &mut self.ready);
                    }
                }
            }
        }
    }
}

/// How far a stream was read, over all its connections.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The last event's id.
    pub(super) id: Option<String>,
    retry: Option<Duration>,
    seen: VecDeque<String>,
}

impl Cursor {
    /// Notes an event. Whether it is new.
    pub(super) fn note(&mut self, event: &Event) -> bool {
        if let Some(retry) = event.retry {
            self.retry = Some(Duration::from_millis(retry));
        }
        let Some(id) = &event.id else { return true };
        if id.is_empty() {
            self.id = None;
            return true;
        }
        if self.seen.contains(id) {
            return false;
        }
        if self.seen.len() >= REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(id.clone());
        self.id = Some(id.clone());
        true
    }

    /// How long to wait before connecting again, after so many attempts that gave nothing.
    pub(super) fn wait(&self, attempts: u32) -> Duration {
        let wait = self.retry.unwrap_or(RETRY).max(LEAST);
        wait.saturating_mul(1 << attempts.min(10)).min(MOST.max(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_and_an_empty_one_takes_it_back() {
        let mut cursor = Cursor::default();
        let event = |id: &str| Event { id: Some(id.to_owned()), ..Event::default() };
        assert!(cursor.note(&event("1")) && cursor.note(&event("2")) && !cursor.note(&event("1")));
        assert_eq!(cursor.id.as_deref(), Some("2"));
        assert!(cursor.note(&event("")) && cursor.note(&Event::default()));
        assert_eq!(cursor.id, None);
    }

    #[test]
    fn the_server_says_how_long_to_wait() {
        let mut cursor = Cursor::default();
        assert_eq!((cursor.wait(0), cursor.wait(1), cursor.wait(99)), (RETRY, 2 * RETRY, MOST));
        cursor.note(&Event { retry: Some(0), ..Event::default() });
        assert_eq!(cursor.wait(0), LEAST);
        cursor.note(&Event { retry: Some(90_000), ..Event::default() });
        assert_eq!((cursor.wait(0), cursor.wait(5)), (Duration::from_secs(90), Duration::from_secs(90)));
    }
}
