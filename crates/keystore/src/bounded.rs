use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What `ask` answers, unless it takes longer than `time`. Then its thread is left alone: nothing can wake a read that
/// waits for somebody else, and a program that has no passphrase ends soon.
pub(crate) fn within<T: Send + 'static>(
    time: Duration,
    ask: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(ask()));
    receiver.recv_timeout(time).ok()
}
