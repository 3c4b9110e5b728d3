//! A client that is gone while its last messages wait for a server that reads nothing any more.

use std::fs::File;
use std::io;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::Pipes;
use super::child::Event;

/// Tells that the client is gone, where the thread that reads from it can't: it may be writing to the server, and comes to
/// the end of what the client has sent only when that is read. A server that is only slow reads a message within
/// `patience`. For a thread of its own, which ends when it has told it.
pub(super) fn watch(input: &File, link: &Pipes, patience: Duration) {
    if let Err(error) = wait_for(input) {
        return tracing::warn!(%error, "can't see whether the client is gone");
    }
    let mut before = link.server.written();
    loop {
        thread::sleep(patience);
        let written = link.server.written();
        if written == before && link.server.is_busy() {
            return link.tell(Event::ClientClosed);
        }
        before = written;
    }
}

/// Waits until nobody has a pipe's or a socket's other end any more, read to its end or not: that is told to whoever asks for
/// nothing. A file never says so, nor need it.
fn wait_for(input: &File) -> io::Result<()> {
    let mut polled = [PollFd::new(input, PollFlags::empty())];
    loop {
        match poll(&mut polled, None) {
            Err(Errno::INTR) | Ok(0) => {}
            other => return Ok(other.map(drop)?),
        }
    }
}
