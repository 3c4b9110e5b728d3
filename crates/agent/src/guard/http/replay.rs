//! What went to a client lately, by the id of the server's event that it came in. A client whose connection broke may
//! not have got the last of it: the server then sends it again, but the relay knows the request as answered.

use std::collections::VecDeque;

/// The most bytes that are kept of a session, and of one message.
const MOST: usize = 512 << 10;
const EACH: usize = 128 << 10;

/// Messages as the client got them: without hidden tools, and with what the gate changed.
#[derive(Debug, Default)]
pub(super) struct Replay {
    kept: VecDeque<(String, Vec<u8>)>,
    bytes: usize,
}

impl Replay {
    /// Keeps a message, if it is not too large; the oldest ones go.
    pub(super) fn keep(&mut self, id: &str, message: &[u8]) {
        let size = id.len() + message.len();
        if size > EACH {
            return;
        }
        self.kept.push_back((id.to_owned(), message.to_vec()));
        self.bytes += size;
        while self.bytes > MOST
            && let Some((id, message)) = self.kept.pop_front()
        {
            self.bytes -= id.len() + message.len();
        }
    }

    /// The message that came in this event.
    pub(super) fn find(&self, id: &str) -> Option<Vec<u8>> {
        self.kept.iter().find(|(kept, _)| kept == id).map(|(_, message)| message.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_large_ones_are_not_kept() {
        let mut replay = Replay::default();
        for number in 0..20 {
            replay.keep(&number.to_string(), &vec![number; 100_000]);
        }
        replay.keep("large", &vec![0; EACH]);
        assert!(replay.find("0").is_none() && replay.find("14").is_none() && replay.find("large").is_none());
        assert_eq!(replay.find("19").unwrap()[0], 19);
        assert_eq!((replay.kept.len(), replay.bytes), (5, 500_010));
    }
}
