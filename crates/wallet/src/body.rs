use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use farthing_ledger::{Purchase, PurchaseId};
use futures::{Stream, StreamExt as _};
use http::StatusCode;
use sha2::{Digest, Sha256};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;

use crate::Transfer;
use crate::pay::failed;

/// Where paid bodies are kept, one file per purchase, readable by their owner only.
#[derive(Debug, Clone)]
pub struct BodyStore {
    home: PathBuf,
    max_bytes: u64,
}

/// A body that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBody {
    /// Relative to the wallet's folder.
    pub file: String,
    /// SHA-256 in hex, of what was kept.
    pub digest: String,
    /// How many bytes were kept.
    pub bytes: u64,
    /// Why it is not the whole body.
    pub cut_off: Option<CutOff>,
}

/// Why a body is not whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CutOff {
    /// The rest did not come.
    #[error("the connection broke after {bytes} bytes: {why}")]
    Broke {
        /// How many bytes came.
        bytes: u64,
        /// What happened.
        why: String,
    },
    /// The rest was not taken, and is not the next time either.
    #[error("it is longer than {most} bytes, the most that is kept (`max_body_bytes`)")]
    TooLong {
        /// How many bytes are kept of a body.
        most: u64,
    },
}

/// Whether what was bought has arrived, and whole. When not, the seller can be asked for it with the payment that he
/// has. Nothing arrives for a transfer.
#[must_use]
pub fn has_answer(purchase: &Purchase) -> bool {
    if Transfer::is_one(purchase) {
        return true;
    }
    let Some(answer) = &purchase.response else { return false };
    let partial = answer.body_file.as_deref().is_some_and(BodyStore::is_partial);
    StatusCode::from_u16(answer.status).is_ok_and(|status| !failed(status)) && !partial
}

const FOLDER: &str = "bodies";

/// How the name of a body ends of which not all came, or not yet.
const PARTIAL: &str = ".part";

/// How many answers of one purchase are kept, at most.
const MOST_FILES: u32 = 1_000;

impl BodyStore {
    /// Keeps bodies of at most `max_bytes` in `home`/bodies.
    #[must_use]
    pub fn new(home: impl Into<PathBuf>, max_bytes: u64) -> Self {
        Self { home: home.into(), max_bytes }
    }

    /// Whether the file that a receipt names holds only a part of what was paid for.
    #[must_use]
    pub fn is_partial(file: &str) -> bool {
        file.ends_with(PARTIAL)
    }

    /// The path of a kept body, from its name relative to the wallet's folder.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.home.join(file)
    }

    /// Makes sure that files can be made where bodies are kept.
    ///
    /// # Errors
    /// The file system's.
    pub async fn ready(&self) -> io::Result<()> {
        let trial = self.path(FOLDER).join(".trial");
        open_private(&trial, OpenOptions::new().create(true)).await?;
        // Another call may have been quicker.
        tokio::fs::remove_file(trial).await.ok();
        Ok(())
    }

    /// Makes the purchase's next file, and names what it is called once it is whole: an answer never takes the place of
    /// an earlier one.
    ///
    /// # Errors
    /// The file system's.
    pub async fn begin(&self, purchase: &PurchaseId) -> io::Result<Draft<'_>> {
        for number in 1..=MOST_FILES {
            let stem = match number {
                1 => format!("{FOLDER}/{purchase}"),
                _ => format!("{FOLDER}/{purchase}.{number}"),
            };
            let (partial, whole) = (format!("{stem}{PARTIAL}"), format!("{stem}.body"));
            match open_private(&self.path(&partial), OpenOptions::new().create_new(true)).await {
                Ok(_) if tokio::fs::try_exists(self.path(&whole)).await? => {
                    tokio::fs::remove_file(self.path(&partial)).await?;
                }
                Ok(file) => return Ok(Draft { store: self, partial, whole, file }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{MOST_FILES} answers to purchase {purchase} are kept already")))
    }
}

/// A file that waits for a body.
#[derive(Debug)]
pub struct Draft<'a> {
    store: &'a BodyStore,
    partial: String,
    whole: String,
    file: File,
}

impl Draft<'_> {
    /// Where the body is while not all of it has come.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.store.path(&self.partial)
    }

    /// Writes the body as it arrives. What a broken connection leaves is kept too: it was paid for. What another answer
    /// to the same purchase left stays.
    ///
    /// # Errors
    /// The file system's.
    pub async fn keep<E: std::fmt::Display>(
        self,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> io::Result<KeptBody> {
        let path = self.path();
        let (digest, bytes, cut_off) = match write(self.file, body, self.store.max_bytes).await {
            Ok(written) => written,
            Err(error) => {
                // The seller can be asked again; on a full disk the ledger needs the room.
                tokio::fs::remove_file(path).await.ok();
                return Err(error);
            }
        };
        let file = if cut_off.is_some() { self.partial } else { self.whole };
        let kept = self.store.path(&file);
        if kept != path {
            tokio::fs::rename(path, &kept).await?;
        }
        sync_folder(&kept).await?;
        Ok(KeptBody { file, digest, bytes, cut_off })
    }
}

/// Makes a file's name last: until then a power cut could take away what the ledger says is kept.
async fn sync_folder(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) if cfg!(unix) => File::open(folder).await?.sync_all().await,
        _ => Ok(()),
    }
}

/// Writes what arrives, up to `max_bytes`; returns its digest, its length, and why it is not whole.
async fn write<E: std::fmt::Display>(
    mut file: File,
    body: impl Stream<Item = Result<Bytes, E>>,
    max_bytes: u64,
) -> io::Result<(String, u64, Option<CutOff>)> {
    let mut body = std::pin::pin!(body);
    let (mut hasher, mut bytes, mut cut_off) = (Sha256::new(), 0u64, None);
    while let Some(chunk) = body.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                cut_off = Some(CutOff::Broke { bytes, why: error.to_string() });
                break;
            }
        };
        let room = usize::try_from(max_bytes.saturating_sub(bytes)).unwrap_or(usize::MAX);
        let kept = chunk.get(..room.min(chunk.len())).unwrap_or_default();
        file.write_all(kept).await?;
        hasher.update(kept);
        bytes = bytes.saturating_add(kept.len() as u64);
        if kept.len() < chunk.len() {
            cut_off = Some(CutOff::TooLong { most: max_bytes });
            break;
        }
    }
    file.flush().await?;
    file.sync_all().await?;
    Ok((hex::encode(hasher.finalize()), bytes, cut_off))
}

/// Opens the file for writing; a new one has mode 0600, and its folder mode 0700.
async fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        let mut builder = tokio::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        builder.mode(0o700);
        builder.create(folder).await?;
    }
    options.write(true);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(path).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    async fn keep(
        store: &BodyStore,
        body: impl Stream<Item = Result<Bytes, io::Error>>,
    ) -> io::Result<KeptBody> {
        store.begin(&PurchaseId("01TEST".into())).await?.keep(body).await
    }

    #[tokio::test]
    async fn keeps_every_byte_privately() {
        let home = tempfile::tempdir().unwrap();
        let store = BodyStore::new(home.path(), 1_000);
        let chunks = [&b"\x00\xff"[..], b"two"].map(|chunk| Ok::<_, io::Error>(Bytes::from_static(chunk)));
        let kept = keep(&store, stream::iter(chunks)).await.unwrap();
        let path = store.path(&kept.file);
        assert_eq!(std::fs::read(&path).unwrap(), b"\x00\xfftwo");
        assert_eq!((kept.bytes, kept.cut_off), (5, None));
        assert_eq!(kept.digest, hex::encode(Sha256::digest(b"\x00\xfftwo")));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(
                std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777,
                0o700
            );
        }
    }

    #[tokio::test]
    async fn a_broken_connection_loses_nothing_that_came() {
        let home = tempfile::tempdir().unwrap();
        let store = BodyStore::new(home.path(), 1_000);
        let chunks = [Ok(Bytes::from_static(b"half")), Err(io::Error::other("reset"))];
        let kept = keep(&store, stream::iter(chunks)).await.unwrap();
        assert_eq!(std::fs::read(store.path(&kept.file)).unwrap(), b"half");
        assert_eq!(kept.cut_off, Some(CutOff::Broke { bytes: 4, why: "reset".into() }));
        assert!(BodyStore::is_partial(&kept.file));
    }

    #[tokio::test]
    async fn a_second_answer_leaves_the_first_alone() {
        let home = tempfile::tempdir().unwrap();
        let store = BodyStore::new(home.path(), 1_000);
        let chunk = |text: &'static [u8]| stream::iter([Ok::<_, io::Error>(Bytes::from_static(text))]);
        let first = keep(&store, chunk(b"treasure")).await.unwrap();
        let second = keep(&store, chunk(b"409")).await.unwrap();
        assert_eq!(std::fs::read(store.path(&first.file)).unwrap(), b"treasure");
        assert_eq!(std::fs::read(store.path(&second.file)).unwrap(), b"409");
        assert_eq!(
            (first.file.as_str(), second.file.as_str()),
            ("bodies/01TEST.body", "bodies/01TEST.2.body")
        );
        assert_eq!(std::fs::read_dir(home.path().join("bodies")).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn size_is_bounded() {
        let home = tempfile::tempdir().unwrap();
        let store = BodyStore::new(home.path(), 3);
        let chunks = [Ok::<_, io::Error>(Bytes::from_static(b"12345"))];
        let kept = keep(&store, stream::iter(chunks)).await.unwrap();
        assert_eq!((kept.bytes, kept.cut_off), (3, Some(CutOff::TooLong { most: 3 })));
    }
}
