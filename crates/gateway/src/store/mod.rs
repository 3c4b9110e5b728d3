//! Answers that were paid for, or are about to be, and that their buyer may not have.

mod kept;
mod log;
mod memory;
mod part;
mod record;
mod writer;

use async_trait::async_trait;
use bytes::Bytes;
use farthing_protocol::PaymentKey;
use http::{HeaderMap, Response, StatusCode};

use crate::answer::{Held, held};

pub use log::LogStore;
pub use memory::MemoryStore;
pub(crate) use part::{Part, open_lock};

/// Keeps answers between the handler and the buyer.
///
/// An answer is put in before its payment is settled. It is taken out when it was delivered, or when the payment
/// failed; if the connection broke, or the settlement was not known in time, the buyer sends the same request with
/// the same payment again and gets it from here. Whether it may be given out is never the store's decision: the
/// ledger's claim says whether the money moved.
#[async_trait]
pub trait ResponseStore: Send + Sync + std::fmt::Debug {
    /// Keeps an answer. When this returns, the answer is as safe as the store makes it.
    ///
    /// # Errors
    /// [`StoreError`]: the payment is not settled then.
    async fn put(&self, response: StoredResponse) -> Result<(), StoreError>;

    /// The answer that was bought with a payment, unless its time is over.
    ///
    /// # Errors
    /// [`StoreError`]
    async fn get(&self, key: &PaymentKey) -> Result<Option<StoredResponse>, StoreError>;

    /// The answer that was made under this row of the journal and is kept by another process of the same kind, which may
    /// be alive; none where there are no such processes. It may take its time.
    ///
    /// # Errors
    /// [`StoreError`]
    async fn get_beside(&self, _key: &PaymentKey, _row: i64) -> Result<Option<StoredResponse>, StoreError> {
        Ok(None)
    }

    /// Whether there may be one. Must be quick: it is asked for every payment.
    fn contains(&self, key: &PaymentKey) -> bool;

    /// Forgets an answer. Must be quick, and may take its time to reach the disk.
    fn remove(&self, key: &PaymentKey);

    /// An answer was given out, and is kept only in case that its buyer asks again: it may go before those that are still
    /// owed. Must be quick.
    fn delivered(&self, _key: &PaymentKey) {}
}

/// Makes a folder that only its owner may enter, and whose name survives the power.
pub(crate) fn make_folder(dir: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if dir.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// An answer in waiting.
#[derive(Clone, PartialEq)]
pub struct StoredResponse {
    /// The payment.
    pub key: PaymentKey,
    /// The journal's row under which it was made: of several answers that were made for one payment, the ledger's claim
    /// names the one that is sold.
    pub row: i64,
    /// The status.
    pub status: StatusCode,
    /// The headers, without the settlement's.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl std::fmt::Debug for StoredResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The headers and the body are the buyer's.
        f.debug_struct("StoredResponse")
            .field("key", &self.key)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl StoredResponse {
    /// About how many bytes of memory it takes.
    fn weight(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        self.body.len() + headers + 2 * self.key.as_str().len() + 256
    }

    pub(crate) fn into_response(self) -> Response<Held> {
        let mut response = Response::new(held(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// Why an answer could not be kept or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is larger than all that may be kept.
    #[error("the answer has {bytes} bytes; `responses.max` keeps at most {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most that is kept.
        limit: usize,
    },
    /// The disk failed.
    #[error("kept answers in {path} cannot be {what}: {source}")]
    Io {
        /// The folder or file.
        path: String,
        /// `read`, `written`, `opened`.
        what: &'static str,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// What is on the disk is not what was written.
    #[error("a kept answer in {path} is damaged")]
    Damaged {
        /// The file.
        path: String,
    },
    /// The store's thread is gone.
    #[error("the store of answers is closed")]
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn response(name: &str, bytes: usize) -> StoredResponse {
        let mut headers = HeaderMap::new();
        headers.append("x-a", "1".parse().unwrap());
        headers.append("x-a", "2".parse().unwrap());
        let key = PaymentKey::from_record(format!("eip155:8453/eip3009/{name}"));
        StoredResponse { key, row: 7, status: StatusCode::CREATED, headers, body: vec![7; bytes].into() }
    }
}
