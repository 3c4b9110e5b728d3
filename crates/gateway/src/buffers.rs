//! Bodies that are held in memory, with a bound on all of them together.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The memory for held bodies. What was read gives its part back when its last copy is dropped: also after it went into
/// the queue of a connection whose reader is slow, or into the store of answers.
#[derive(Debug, Clone)]
pub(crate) struct Buffers {
    /// A permit is a byte.
    free: Arc<Semaphore>,
}

/// Why a body could not be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unheld {
    /// It alone is larger than it may be.
    TooLarge,
    /// All of them together would be.
    NoRoom,
    /// It broke off.
    Broken,
}

/// Bytes with their part of the memory.
struct Held {
    bytes: Bytes,
    _part: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Buffers {
    /// Room for so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))) }
    }

    /// Reads a body whole.
    pub(crate) async fn read<B>(&self, body: B, limit: usize) -> Result<Bytes, Unheld>
    where
        B: Body<Data = Bytes>,
    {
        let mut body = std::pin::pin!(body);
        let mut read = Read::default();
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|_| Unheld::Broken)?.into_data() else { continue };
            if piece.len() > limit.saturating_sub(read.len()) {
                return Err(Unheld::TooLarge);
            }
            self.grow(&mut read.part, piece.len())?;
            read.push(piece);
        }
        Ok(read.finish())
    }

    fn grow(&self, part: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Unheld> {
        let bytes = u32::try_from(bytes).map_err(|_| Unheld::TooLarge)?;
        let more = self.free.clone().try_acquire_many_owned(bytes).map_err(|_| Unheld::NoRoom)?;
        match part {
            Some(part) => part.merge(more),
            None => *part = Some(more),
        }
        Ok(())
    }
}

/// What was read so far. Most bodies are one piece, which is not copied.
#[derive(Default)]
struct Read {
    first: Bytes,
    all: BytesMut,
    part: Option<OwnedSemaphorePermit>,
}

impl Read {
    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.first = piece;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&piece);
    }

    fn finish(self) -> Bytes {
        let bytes = if self.all.is_empty() { self.first } else { self.all.freeze() };
        match self.part {
            Some(part) if !bytes.is_empty() => Bytes::from_owner(Held { bytes, _part: part }),
            _ => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    fn pieces(pieces: &'static [&'static str]) -> impl Body<Data = Bytes> {
        let frames =
            pieces.iter().map(|piece| Ok::<_, std::convert::Infallible>(Frame::data((*piece).into())));
        StreamBody::new(futures::stream::iter(frames))
    }

    #[tokio::test]
    async fn the_memory_is_given_back_with_the_last_copy() {
        let buffers = Buffers::new(10);
        let read = buffers.read(pieces(&["abc", "", "def"]), 6).await.unwrap();
        assert_eq!(&read[..], b"abcdef");
        let copy = read.slice(2..3);
        drop(read);
        assert_eq!(buffers.read(pieces(&["12345"]), 6).await, Err(Unheld::NoRoom));
        assert_eq!(buffers.free.available_permits(), 4, "what was refused holds nothing");
        drop(copy);
        assert_eq!(&buffers.read(Full::new(Bytes::from_static(b"12345")), 6).await.unwrap()[..], b"12345");
        assert_eq!(buffers.free.available_permits(), 10);
    }

    #[tokio::test]
    async fn one_body_has_its_own_limit() {
        let buffers = Buffers::new(100);
        assert_eq!(buffers.read(pieces(&["abc", "def"]), 5).await, Err(Unheld::TooLarge));
        assert!(buffers.read(pieces(&[]), 0).await.unwrap().is_empty());
    }
}
