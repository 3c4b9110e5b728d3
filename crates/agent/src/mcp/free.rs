//! Free answers: nobody has paid for them, so they are read within bounds of their own, and kept for a while only.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use farthing_ambient::causes;
use farthing_ledger::PurchaseId;
use farthing_wallet::KeptBody;
use futures::{Stream, StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use super::desk::Desk;
use super::trouble::{Code, Trouble};
use crate::record;

/// What the names of free answers begin with.
pub(super) const FREE: &str = "free-";

/// How much is read of one.
const MOST_BYTES: usize = 32 << 20;
/// How many of them are kept. The oldest make room.
const MOST_KEPT: usize = 20;

/// The body of a free answer, within bounds: where it goes on beyond them, it ends with an error that says so.
pub(super) fn bounded(
    answer: reqwest::Response,
    within: Duration,
) -> impl Stream<Item = Result<Bytes, String>> + Send {
    let body = answer.bytes_stream().map(|piece| piece.map_err(|error| causes(&error.without_url())));
    bound(body, within, MOST_BYTES)
}

fn bound(
    body: impl Stream<Item = Result<Bytes, String>> + Send,
    within: Duration,
    most: usize,
) -> impl Stream<Item = Result<Bytes, String>> + Send {
    let until = Instant::now() + within;
    stream::unfold((Box::pin(body), most, false), move |(mut body, room, over)| async move {
        if over {
            return None;
        }
        let piece = match timeout_at(until, body.next()).await {
            Err(_) => Err(format!("it goes on; a free answer is read for {} s", within.as_secs_f32())),
            Ok(Some(Ok(piece))) if piece.len() > room => {
                Err(format!("it is longer; {most} bytes are read of a free answer"))
            }
            Ok(piece) => piece?,
        };
        let (room, over) = (room - piece.as_ref().map_or(0, Bytes::len), piece.is_err());
        Some((piece, (body, room, over)))
    })
}

/// Keeps a free answer under a name of its own, which nobody can guess.
pub(super) async fn keep(
    desk: &Desk,
    body: impl Stream<Item = Result<Bytes, String>>,
) -> Result<KeptBody, Trouble> {
    let failed = |error: &dyn std::error::Error| {
        Trouble::unpaid(Code::Failed, format!("the body could not be kept: {error}"))
    };
    let id = record::id(&*desk.config.clock, &*desk.config.entropy).map_err(|error| failed(&error))?;
    let bodies = &desk.config.bodies;
    let draft = bodies.begin(&PurchaseId(format!("{FREE}{id}"))).await.map_err(|error| failed(&error))?;
    if let Some(folder) = draft.path().parent()
        && let Err(error) = make_room(folder.to_owned()).await
    {
        tracing::warn!(%error, "older free answers could not be removed");
    }
    draft.keep(body).await.map_err(|error| failed(&error))
}

/// Removes all but the newest free answers. Their names are in the order of their times.
async fn make_room(folder: PathBuf) -> io::Result<()> {
    let mut all = tokio::fs::read_dir(&folder).await?;
    let mut free = Vec::new();
    while let Some(entry) = all.next_entry().await? {
        if entry.file_name().to_string_lossy().starts_with(FREE) {
            free.push(entry.file_name());
        }
    }
    free.sort_unstable();
    for old in free.iter().rev().skip(MOST_KEPT) {
        tokio::fs::remove_file(folder.join(old)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endless() -> impl Stream<Item = Result<Bytes, String>> {
        stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Some((Ok(Bytes::from_static(b"more")), ()))
        })
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_ends_ends_in_time() {
        let pieces: Vec<_> = bound(endless(), Duration::from_millis(3_100), 1_000).collect().await;
        let (last, whole) = pieces.split_last().unwrap();
        assert!(whole.len() == 10 && whole.iter().all(Result::is_ok), "{pieces:?}");
        assert!(last.as_ref().unwrap_err().contains("3.1 s"), "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_long_is_cut() {
        let pieces: Vec<_> = bound(endless(), Duration::from_secs(3), 10).collect().await;
        assert_eq!(pieces.len(), 3);
        assert!(pieces[2].as_ref().unwrap_err().contains("10 bytes"), "{pieces:?}");
    }

    #[tokio::test]
    async fn only_the_newest_stay_and_nothing_paid_goes() {
        let folder = tempfile::tempdir().unwrap();
        for number in 10..40 {
            std::fs::write(folder.path().join(format!("{FREE}01{number}.body")), "x").unwrap();
            std::fs::write(folder.path().join(format!("01{number}.body")), "x").unwrap();
        }
        make_room(folder.path().to_owned()).await.unwrap();
        let mut left: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with(FREE))
            .collect();
        left.sort_unstable();
        assert_eq!((left.len(), left[0].as_str()), (MOST_KEPT, "free-0120.body"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), MOST_KEPT + 30);
    }
}
