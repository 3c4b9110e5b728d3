//! Group commit: one thread takes what has gathered in the queue, commits it in one transaction, and answers every
//! caller after the commit.

use tokio::sync::{mpsc, oneshot};

use crate::LedgerError;
use crate::op::{Answer, Op, Read, Write};

type Result<T> = std::result::Result<T, LedgerError>;

/// The most operations that share one commit: bounds how long the first of them waits.
const GROUP: usize = 256;
/// How many operations may wait before callers have to wait for a place.
const QUEUE: usize = 1024;

/// A database that holds the record.
pub(crate) trait Backend: Send + 'static {
    /// Does all of it in one durable transaction; an operation that fails undoes itself and no other.
    ///
    /// # Errors
    /// Nothing at all was written.
    fn write(&mut self, group: &[Write]) -> Result<Vec<Result<Answer>>>;

    /// Answers from what is committed.
    fn read(&mut self, question: &Read) -> Result<Answer>;
}

type Reply = oneshot::Sender<Delivery>;

/// An answer on its way to its caller. The first caller of a group gets the others' answers along, and hands them over
/// from the runtime's own thread: to wake each of them from the database's thread would cost each a system call and,
/// on a busy machine, a change of threads.
struct Delivery {
    answer: Result<Answer>,
    others: Others,
}

impl Delivery {
    fn alone(answer: Result<Answer>) -> Self {
        Self { answer, others: Others::default() }
    }
}

/// Answers of others. They are handed over when this is dropped: so also when the caller who got it has gone away.
#[derive(Default)]
struct Others(Vec<(Reply, Result<Answer>)>);

impl Drop for Others {
    fn drop(&mut self) {
        for (reply, answer) in self.0.drain(..) {
            // A caller who went away needs no answer; so below.
            let _ = reply.send(Delivery::alone(answer));
        }
    }
}

enum Message {
    Do(Op, Reply),
    Close(oneshot::Sender<()>),
}

/// The way to the thread that owns the database. The thread ends when every handle is gone, or on [`Self::close`].
#[derive(Debug, Clone)]
pub(crate) struct Queue(mpsc::Sender<Message>);

impl Queue {
    pub(crate) fn start(backend: impl Backend) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name("farthing-ledger".to_owned())
            .spawn(move || Writer { backend, closing: Vec::new() }.run(receiver))?;
        Ok(Self(sender))
    }

    pub(crate) async fn ask(&self, op: Op) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Message::Do(op, reply)).await.map_err(|_| LedgerError::Closed)?;
        let Delivery { answer, others } = answer.await.map_err(|_| LedgerError::Closed)?;
        drop(others);
        answer
    }

    /// Returns when everything that was queued is done and the database is closed.
    pub(crate) async fn close(&self) {
        let (closed, done) = oneshot::channel();
        if self.0.send(Message::Close(closed)).await.is_ok() {
            // An error means that the thread is gone, which is what was wanted.
            let _ = done.await;
        }
    }
}

struct Writer<B> {
    backend: B,
    closing: Vec<oneshot::Sender<()>>,
}

impl<B: Backend> Writer<B> {
    fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut gathered = Vec::with_capacity(GROUP);
        while queue.blocking_recv_many(&mut gathered, GROUP) > 0 {
            self.serve(gathered.drain(..));
            if !self.closing.is_empty() {
                queue.close();
            }
        }
        let Self { backend, closing } = self;
        drop(backend);
        for closed in closing {
            let _ = closed.send(());
        }
    }

    /// Writes come before reads: who waits for neither cannot know their order, and reads then see the newest.
    fn serve(&mut self, gathered: impl Iterator<Item = Message>) {
        let (mut writes, mut waiting, mut reads) = (Vec::new(), Vec::new(), Vec::new());
        for message in gathered {
            match message {
                Message::Do(Op::Write(write), reply) => {
                    writes.push(write);
                    waiting.push(reply);
                }
                Message::Do(Op::Read(read), reply) => reads.push((read, reply)),
                Message::Close(closed) => self.closing.push(closed),
            }
        }
        if !writes.is_empty() {
            self.write(&writes, waiting);
        }
        for (read, reply) in reads {
            let _ = reply.send(Delivery::alone(self.backend.read(&read)));
        }
    }

    fn write(&mut self, writes: &[Write], waiting: Vec<Reply>) {
        let answers = self.backend.write(writes).unwrap_or_else(|error| {
            tracing::error!(%error, operations = writes.len(), "nothing of this group was written");
            writes.iter().map(|_| Err(error.clone())).collect()
        });
        let mut others: Vec<_> = waiting.into_iter().zip(answers).collect();
        if let Some((first, answer)) = others.pop() {
            let _ = first.send(Delivery { answer, others: Others(others) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClaimState, PurchaseFilter};
    use farthing_protocol::PaymentKey;
    use std::sync::{Arc, Mutex};

    /// Notes the size of each group; fails a group when told to.
    #[derive(Clone, Default)]
    struct Groups {
        seen: Arc<Mutex<Vec<usize>>>,
        broken: bool,
        gate: Arc<Mutex<()>>,
    }

    impl Backend for Groups {
        fn write(&mut self, group: &[Write]) -> Result<Vec<Result<Answer>>> {
            let _open = self.gate.lock().unwrap();
            self.seen.lock().unwrap().push(group.len());
            if self.broken {
                return Err(LedgerError::Database("disk full".into()));
            }
            Ok(group.iter().map(|_| Ok(Answer::Done)).collect())
        }
        fn read(&mut self, _: &Read) -> Result<Answer> {
            Ok(Answer::Purchases(Vec::new()))
        }
    }

    fn write() -> Op {
        let key = PaymentKey::from_record("k".into());
        Op::Write(Write::MoveClaim { key, seen: 1, state: ClaimState::Taken, answer: None })
    }

    #[tokio::test]
    #[expect(clippy::await_holding_lock, reason = "the backend's thread is to wait while the queue fills")]
    async fn what_gathers_during_a_commit_shares_the_next() {
        let backend = Groups::default();
        let gate = Arc::clone(&backend.gate);
        let seen = Arc::clone(&backend.seen);
        let queue = Queue::start(backend).unwrap();
        let shut = gate.lock().unwrap();
        let waiting: Vec<_> = (0..600)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.ask(write()).await })
            })
            .collect();
        while queue.0.capacity() > QUEUE - 300 {
            tokio::task::yield_now().await;
        }
        drop(shut);
        for answer in waiting {
            assert!(matches!(answer.await.unwrap(), Ok(Answer::Done)));
        }
        let seen = seen.lock().unwrap();
        assert_eq!(seen.iter().sum::<usize>(), 600);
        assert!(seen.iter().all(|group| *group <= GROUP), "{seen:?}");
        assert!(seen.contains(&GROUP), "{seen:?}");
    }

    #[tokio::test]
    async fn a_failed_commit_is_told_to_every_caller() {
        let queue = Queue::start(Groups { broken: true, ..Groups::default() }).unwrap();
        let (a, b) = tokio::join!(queue.ask(write()), queue.ask(write()));
        for answer in [a, b] {
            assert!(matches!(answer, Err(LedgerError::Database(_))));
        }
        assert!(queue.ask(Op::Read(Read::Purchases(PurchaseFilter::default()))).await.is_ok());
    }

    #[test]
    fn callers_who_go_away_take_no_answer_along() {
        for gone_before in [true, false] {
            let (first, gone) = oneshot::channel();
            let (second, mut waiting) = oneshot::channel();
            let delivery =
                Delivery { answer: Ok(Answer::Done), others: Others(vec![(second, Ok(Answer::Done))]) };
            let mut gone = Some(gone);
            gone.take_if(|_| gone_before);
            let _ = first.send(delivery);
            drop(gone);
            assert!(waiting.try_recv().is_ok_and(|delivery| delivery.answer.is_ok()), "{gone_before}");
        }
    }

    #[tokio::test]
    async fn closing_finishes_what_is_queued_first() {
        let queue = Queue::start(Groups::default()).unwrap();
        let (answer, ()) = tokio::join!(queue.ask(write()), queue.close());
        assert!(answer.is_ok());
        assert!(matches!(queue.ask(write()).await, Err(LedgerError::Closed)));
        queue.close().await;
    }
}
