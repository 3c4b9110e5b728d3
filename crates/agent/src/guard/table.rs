//! The client's requests that have no answer yet.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use farthing_policy::json::Json;

use super::gate::Ticket;
use super::id::Id;
use super::message::Method;
use super::relay::Stream;

/// Which requests are open, by id.
#[derive(Debug)]
pub(super) struct Table {
    open: HashMap<Id, Open>,
    /// Requests that the client has given up, whose answers may still come. Their ids must not be used again: the late
    /// answer of one call would pass for the end of another. The oldest are forgotten.
    given_up: VecDeque<Id>,
    serial: u64,
    most: usize,
    gone: Option<String>,
}

/// A request without an answer.
#[derive(Debug)]
pub(super) struct Open {
    /// Tells apart two requests that had the same id one after the other.
    pub(super) serial: u64,
    /// The id as the client wrote it.
    pub(super) id: Json,
    pub(super) stream: Stream,
    pub(super) method: Method,
    pub(super) progress: Option<Id>,
    pub(super) phase: Phase,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// The gate has not decided; the server has not seen it.
    Deciding,
    /// The server has it.
    Sent { deadline: Instant, ticket: Option<Ticket> },
}

/// Why a request can't be opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// The server is gone.
    Gone(String),
    /// The id is in use.
    InUse,
    /// Too many are open.
    Full,
}

/// What a cancellation met.
#[derive(Debug)]
pub(super) enum Cancelled {
    Unknown,
    Undecided,
    Sent(Option<Ticket>),
}

impl Open {
    /// The ticket, if the server has the request.
    pub(super) fn ticket(self) -> Option<Ticket> {
        match self.phase {
            Phase::Sent { ticket, .. } => ticket,
            Phase::Deciding => None,
        }
    }
}

impl Table {
    pub(super) fn new(most: usize) -> Self {
        Self { open: HashMap::new(), given_up: VecDeque::new(), serial: 0, most, gone: None }
    }

    /// Takes a request in; gives its serial number.
    pub(super) fn insert(&mut self, id: &Id, mut request: Open) -> Result<u64, Closed> {
        if let Some(why) = &self.gone {
            return Err(Closed::Gone(why.clone()));
        }
        if self.open.contains_key(id) || self.given_up.contains(id) {
            return Err(Closed::InUse);
        }
        if self.open.len() >= self.most {
            return Err(Closed::Full);
        }
        self.serial += 1;
        request.serial = self.serial;
        self.open.insert(id.clone(), request);
        Ok(self.serial)
    }

    /// The gate has allowed it: the server gets it now. Gives the ticket back if it is not wanted any more.
    pub(super) fn sent(
        &mut self,
        (id, serial): (&Id, u64),
        ticket: Option<Ticket>,
        deadline: Instant,
    ) -> Result<(), Option<Ticket>> {
        match self.open.get_mut(id) {
            Some(open) if open.serial == serial => {
                open.phase = Phase::Sent { deadline, ticket };
                Ok(())
            }
            _ => Err(ticket),
        }
    }

    /// The gate has denied it. Whether anybody still waits for the answer.
    pub(super) fn denied(&mut self, id: &Id, serial: u64) -> bool {
        let waits = self.open.get(id).is_some_and(|open| open.serial == serial);
        if waits {
            self.open.remove(id);
        }
        waits
    }

    /// The server has answered. None for an answer to nothing that it was asked, or was given up.
    pub(super) fn answered(&mut self, id: &Id) -> Option<Open> {
        if let Some(index) = self.given_up.iter().position(|given_up| given_up == id) {
            self.given_up.remove(index);
        }
        // An answer to what the server has not seen is forged.
        matches!(self.open.get(id)?.phase, Phase::Sent { .. }).then(|| self.open.remove(id))?
    }

    /// The client cancels it.
    pub(super) fn cancelled(&mut self, id: &Id) -> Cancelled {
        match self.open.remove(id).map(|open| open.phase) {
            None => Cancelled::Unknown,
            Some(Phase::Deciding) => Cancelled::Undecided,
            Some(Phase::Sent { ticket, .. }) => {
                self.give_up(id.clone());
                Cancelled::Sent(ticket)
            }
        }
    }

    /// Takes out what should have been answered by now.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Open> {
        let late = |open: &Open| matches!(open.phase, Phase::Sent { deadline, .. } if deadline <= now);
        let ids: Vec<_> = self.open.iter().filter(|(_, open)| late(open)).map(|(id, _)| id.clone()).collect();
        let taken = ids.iter().filter_map(|id| self.open.remove(id)).collect();
        ids.into_iter().for_each(|id| self.give_up(id));
        taken
    }

    /// When the next request is overdue.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = self.open.values().filter_map(|open| match open.phase {
            Phase::Sent { deadline, .. } => Some(deadline),
            Phase::Deciding => None,
        });
        deadlines.min()
    }

    /// The server reports progress under this token.
    pub(super) fn prolong(&mut self, token: &Id, until: Instant) {
        for open in self.open.values_mut().filter(|open| open.progress.as_ref() == Some(token)) {
            if let Phase::Sent { deadline, .. } = &mut open.phase {
                *deadline = until;
            }
        }
    }

    /// Takes out every request, and takes in no more.
    pub(super) fn close(&mut self, why: &str) -> Vec<Open> {
        self.gone.get_or_insert_with(|| why.to_owned());
        self.open.drain().map(|(_, open)| open).collect()
    }

    /// Takes out what the server has of one stream.
    pub(super) fn take_sent(&mut self, stream: Stream) -> Vec<Open> {
        let sent = |open: &Open| open.stream == stream && matches!(open.phase, Phase::Sent { .. });
        let ids: Vec<_> = self.open.iter().filter(|(_, open)| sent(open)).map(|(id, _)| id.clone()).collect();
        ids.iter().filter_map(|id| self.open.remove(id)).collect()
    }

    /// Takes out those of these requests that the server has.
    pub(super) fn take_sent_ids(&mut self, ids: &[Id]) -> Vec<Open> {
        let sent = |id: &&Id| matches!(self.open.get(id), Some(Open { phase: Phase::Sent { .. }, .. }));
        let sent: Vec<_> = ids.iter().filter(sent).collect();
        sent.into_iter().filter_map(|id| self.open.remove(id)).collect()
    }

    /// How many of these requests are open.
    pub(super) fn count_ids(&self, ids: &[Id]) -> usize {
        ids.iter().filter(|id| self.open.contains_key(id)).count()
    }

    /// How many requests are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// How many requests of a stream are open.
    pub(super) fn count(&self, stream: Stream) -> usize {
        self.open.values().filter(|open| open.stream == stream).count()
    }

    /// How many wait for the gate.
    pub(super) fn undecided(&self) -> usize {
        self.open.values().filter(|open| matches!(open.phase, Phase::Deciding)).count()
    }

    fn give_up(&mut self, id: Id) {
        if self.given_up.len() >= self.most {
            self.given_up.pop_front();
        }
        self.given_up.push_back(id);
    }
}
