//! Group commit: one thread takes what has gathered in the queue, commits it in one transaction, and answers every
//! caller after the commit.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::LedgerError;
use crate::lazy::{Lazy, Pushed};
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

    /// The answer, after the others have got theirs.
    fn open(self) -> Result<Answer> {
        drop(self.others);
        self.answer
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
pub(crate) struct Queue {
    sender: mpsc::Sender<Message>,
    lazy: Arc<Lazy>,
    writer: Thread,
}

impl Queue {
    pub(crate) fn start(backend: impl Backend) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let lazy = Arc::new(Lazy::new());
        let writer = Writer { backend, lazy: Arc::clone(&lazy), closing: Vec::new() };
        let thread = std::thread::Builder::new()
            .name("farthing-ledger".to_owned())
            .spawn(move || writer.run(receiver))?;
        Ok(Self { sender, lazy, writer: thread.thread().clone() })
    }

    pub(crate) async fn ask(&self, op: Op) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Message::Do(op, reply)).await.map_err(|_| LedgerError::Closed)?;
        answer.await.map_err(|_| LedgerError::Closed)?.open()
    }

    /// The same for a thread that may wait.
    pub(crate) fn ask_blocking(&self, op: Op) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        self.sender.blocking_send(Message::Do(op, reply)).map_err(|_| LedgerError::Closed)?;
        answer.blocking_recv().map_err(|_| LedgerError::Closed)?.open()
    }

    /// Queues what nobody waits for; it comes before whatever is asked from now on. Waits when there is too much of it.
    pub(crate) async fn leave(&self, write: Write) -> Result<()> {
        match self.push(write)? {
            None => Ok(()),
            Some(write) => self.ask(Op::Write(write)).await.map(drop),
        }
    }

    /// The write again, when it has to be waited for.
    pub(crate) fn push(&self, write: Write) -> Result<Option<Write>> {
        match self.lazy.push(write) {
            Pushed::Queued => {}
            Pushed::Wake => self.writer.unpark(),
            Pushed::Full(write) => return Ok(Some(write)),
            Pushed::Closed => return Err(LedgerError::Closed),
        }
        Ok(None)
    }

    /// Returns when everything that was queued is done and the database is closed.
    pub(crate) async fn close(&self) {
        let (closed, done) = oneshot::channel();
        if self.sender.send(Message::Close(closed)).await.is_ok() {
            // An error means that the thread is gone, which is what was wanted.
            let _ = done.await;
        }
    }
}

struct Writer<B> {
    backend: B,
    lazy: Arc<Lazy>,
    closing: Vec<oneshot::Sender<()>>,
}

/// Wakes the writer for a message; what nobody waits for wakes it directly.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<B: Backend> Writer<B> {
    fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut gathered = Vec::with_capacity(GROUP);
        while self.gather(&mut queue, &mut gathered) {
            self.serve(gathered.drain(..));
            if !self.closing.is_empty() {
                queue.close();
            }
        }
        let left = self.lazy.close();
        self.write(left, Vec::new(), Vec::new());
        let Self { backend, closing, .. } = self;
        drop(backend);
        for closed in closing {
            let _ = closed.send(());
        }
    }

    /// Sleeps until there are messages, or until it is time for what nobody waits for. False when there will be none.
    fn gather(&self, queue: &mut mpsc::Receiver<Message>, gathered: &mut Vec<Message>) -> bool {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(found) = queue.poll_recv_many(&mut context, gathered, GROUP) {
                return found > 0;
            }
            match self.lazy.due().map(|due| due.saturating_duration_since(Instant::now())) {
                None => std::thread::park(),
                Some(wait) if wait.is_zero() => return true,
                Some(wait) => std::thread::park_timeout(wait),
            }
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
        let lazy = self.lazy.take();
        self.write(lazy, writes, waiting);
        for (read, reply) in reads {
            let _ = reply.send(Delivery::alone(self.backend.read(&read)));
        }
    }

    /// Commits `lazy`, which nobody waits for, and after it the writes of those who wait.
    fn write(&mut self, lazy: Vec<Write>, writes: Vec<Write>, waiting: Vec<Reply>) {
        let (unwatched, mut group) = (lazy.len(), lazy);
        group.extend(writes);
        if group.is_empty() {
            return;
        }
        let answers = match self.backend.write(&group) {
            Ok(mut answers) => {
                let watched = answers.split_off(unwatched);
                for error in answers.into_iter().filter_map(Result::err) {
                    tracing::error!(%error, "a decision was not recorded");
                }
                watched
            }
            Err(error) => {
                tracing::error!(%error, operations = group.len(), "nothing of this group was written");
                let watched = group.drain(unwatched..).map(|_| Err(error.clone())).collect();
                self.lazy.put_back(group);
                watched
            }
        };
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
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// Notes the size of each group; fails a group when told to.
    #[derive(Clone, Default)]
    struct Groups {
        /// How many have come to the gate.
        come: Arc<AtomicUsize>,
        seen: Arc<Mutex<Vec<usize>>>,
        broken: Arc<AtomicBool>,
        gate: Arc<Mutex<()>>,
    }

    impl Backend for Groups {
        fn write(&mut self, group: &[Write]) -> Result<Vec<Result<Answer>>> {
            self.come.fetch_add(1, Ordering::SeqCst);
            let _open = self.gate.lock().unwrap();
            self.seen.lock().unwrap().push(group.len());
            if self.broken.load(Ordering::SeqCst) {
                return Err(LedgerError::Database("disk full".into()));
            }
            Ok(group.iter().map(|_| Ok(Answer::Done)).collect())
        }
        fn read(&mut self, _: &Read) -> Result<Answer> {
            Ok(Answer::Purchases(Vec::new()))
        }
    }

    impl Groups {
        /// Keeps the thread of this backend's queue busy with one write, which waits at the gate: meanwhile nothing that
        /// comes later is written, and nothing is late. The gate has to be shut.
        fn occupy(&self, queue: &Queue) {
            let queue = queue.clone();
            std::thread::spawn(move || queue.ask_blocking(write()));
            while self.come.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
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
        while queue.sender.capacity() > QUEUE - 300 {
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
        let queue = Queue::start(broken()).unwrap();
        let (a, b) = tokio::join!(queue.ask(write()), queue.ask(write()));
        for answer in [a, b] {
            assert!(matches!(answer, Err(LedgerError::Database(_))));
        }
        assert!(queue.ask(Op::Read(Read::Purchases(PurchaseFilter::default()))).await.is_ok());
    }

    fn broken() -> Groups {
        Groups { broken: Arc::new(true.into()), ..Groups::default() }
    }

    fn lazy() -> Write {
        Write::Unmark
    }

    #[tokio::test]
    #[expect(clippy::await_holding_lock, reason = "the backend's thread is to wait while the queue fills")]
    async fn what_nobody_waits_for_shares_the_commit_of_who_waits() {
        let backend = Groups::default();
        let (gate, seen) = (Arc::clone(&backend.gate), Arc::clone(&backend.seen));
        let queue = Queue::start(backend.clone()).unwrap();
        let shut = gate.lock().unwrap();
        backend.occupy(&queue);
        for _ in 0..3 {
            queue.leave(lazy()).await.unwrap();
        }
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.ask(write()).await }
        });
        while queue.sender.capacity() == QUEUE {
            tokio::task::yield_now().await;
        }
        drop(shut);
        waiting.await.unwrap().unwrap();
        assert_eq!(*seen.lock().unwrap(), [1, 4]);
        queue.leave(lazy()).await.unwrap();
        queue.ask(Op::Read(Read::OpenClaims)).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), [1, 4, 1], "who reads sees all of it");
        queue.leave(lazy()).await.unwrap();
        queue.close().await;
        assert_eq!(*seen.lock().unwrap(), [1, 4, 1, 1], "and closing writes the rest");
        assert!(matches!(queue.leave(lazy()).await, Err(LedgerError::Closed)));
    }

    #[test]
    fn what_nobody_waits_for_gathers_for_a_while_and_is_then_written() {
        let backend = Groups::default();
        let (gate, seen) = (Arc::clone(&backend.gate), Arc::clone(&backend.seen));
        let queue = Queue::start(backend.clone()).unwrap();
        let shut = gate.lock().unwrap();
        backend.occupy(&queue);
        let begun = Instant::now();
        for _ in 0..20 {
            assert!(queue.push(lazy()).unwrap().is_none(), "queued");
        }
        drop(shut);
        while seen.lock().unwrap().len() < 2 {
            assert!(begun.elapsed().as_secs() < 60, "nobody wrote it");
            std::thread::yield_now();
        }
        assert!(begun.elapsed().as_millis() >= 100);
        assert_eq!(*seen.lock().unwrap(), [1, 20]);
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_tried_again_and_too_much_of_it_is_refused() {
        let backend = broken();
        let (broken, seen) = (Arc::clone(&backend.broken), Arc::clone(&backend.seen));
        let gate = Arc::clone(&backend.gate);
        let queue = Queue::start(backend).unwrap();
        let mut queued = 0;
        let refused = loop {
            match queue.leave(lazy()).await {
                Ok(()) => queued += 1,
                Err(error) => break error,
            }
            assert!(queued < 10_000, "it grows without bound");
        };
        assert!(matches!(refused, LedgerError::Database(_)));
        let failed = {
            // No group is half way when it begins to work.
            let _shut = gate.lock().unwrap();
            broken.store(false, Ordering::SeqCst);
            seen.lock().unwrap().len()
        };
        queue.ask(write()).await.unwrap();
        // In one group, or in two where it was time for another try just then.
        let written: usize = seen.lock().unwrap()[failed..].iter().sum();
        assert_eq!(written, queued + 1, "all of it is written once it can be");
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
