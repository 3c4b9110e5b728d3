//! What the child writes, and whether all of it has been heard.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::ioctl_fionread;

/// The child's output, for the thread that reads it.
pub(super) struct Output {
    pipe: File,
    waits: Arc<AtomicBool>,
}

/// What the child has written and nobody has dealt with. It keeps the pipe open.
pub(super) struct Unheard {
    pipe: File,
    waits: Arc<AtomicBool>,
}

impl Output {
    pub(super) fn of(pipe: ChildStdout) -> io::Result<(Self, Unheard)> {
        let pipe = File::from(OwnedFd::from(pipe));
        let waits = Arc::new(AtomicBool::new(false));
        let unheard = Unheard { pipe: pipe.try_clone()?, waits: waits.clone() };
        Ok((Self { pipe, waits }, unheard))
    }
}

impl Read for Output {
    /// Waits first and reads then, so that whatever is taken out of the pipe counts as being dealt with.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.waits.store(true, Ordering::SeqCst);
        let waited = poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], None);
        self.waits.store(false, Ordering::SeqCst);
        waited?;
        self.pipe.read(buffer)
    }
}

impl Unheard {
    /// Whether there is any. For after the child's exit: nothing comes into the pipe then, and who waits before an empty one has
    /// dealt with all that was in it.
    pub(super) fn is_there(&self) -> bool {
        let unread = ioctl_fionread(&self.pipe).is_ok_and(|bytes| bytes > 0);
        unread || !self.waits.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn what_is_not_dealt_with_is_there() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut output, unheard) = Output::of(child.stdout.take().unwrap()).unwrap();
        let (heard, hears) = channel();
        let (go_on, goes_on) = channel();
        let reader = thread::spawn(move || {
            while output.read(&mut [0]).unwrap() > 0 {
                heard.send(()).unwrap();
                goes_on.recv().unwrap();
            }
        });
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"ab").unwrap();
        for _ in 0..2 {
            hears.recv_timeout(Duration::from_secs(60)).unwrap();
            assert!(unheard.is_there(), "it is read, and not dealt with");
            go_on.send(()).unwrap();
        }
        while unheard.is_there() {
            thread::yield_now();
        }
        drop(input);
        reader.join().unwrap();
        child.wait().unwrap();
    }
}
