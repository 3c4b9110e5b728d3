//! What the child writes, and whether all of it has been heard.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.waits.store(true, Ordering::SeqCst);
        let read = self.pipe.read(buffer);
        self.waits.store(false, Ordering::SeqCst);
        read
    }
}

impl Unheard {
    /// Whether there may be any. A thread that has been woken for more takes it out of the pipe only when it runs, so that
    /// it counts as there, however late that is.
    pub(super) fn is_there(&self) -> bool {
        !self.waits.load(Ordering::SeqCst) || ioctl_fionread(&self.pipe).is_ok_and(|bytes| bytes > 0)
    }
}
