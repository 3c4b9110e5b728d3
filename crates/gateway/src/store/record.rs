//! An answer's form on the disk: lengths, a checksum, the head as JSON, the body.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use farthing_protocol::PaymentKey;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::StoredResponse;

/// Two lengths and a checksum come before head and body.
pub(super) const PREFIX_BYTES: usize = 8 + CHECK_BYTES;
const CHECK_BYTES: usize = 16;
/// More is no record but damage.
const MAX_PART_BYTES: usize = 1 << 30;
/// Far more than the headers of any answer.
const MAX_HEAD_BYTES: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Head {
    key: PaymentKey,
    /// Unix seconds.
    at: i64,
    /// None: the answer was delivered and is forgotten.
    answer: Option<AnswerHead>,
}

#[derive(Serialize, Deserialize)]
struct AnswerHead {
    row: i64,
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
}

/// One record read back.
pub(super) struct Record {
    pub(super) key: PaymentKey,
    pub(super) at: i64,
    pub(super) response: Option<StoredResponse>,
    /// Bytes on the disk.
    pub(super) length: usize,
}

pub(super) fn write(out: &mut Vec<u8>, at: i64, key: &PaymentKey, response: Option<&StoredResponse>) {
    let answer = response.map(|response| AnswerHead {
        row: response.row,
        status: response.status.as_u16(),
        headers: response
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect(),
    });
    let head = Head { key: key.clone(), at, answer };
    // Text, numbers and lists always serialise; an empty head would be refused on reading.
    let head = serde_json::to_vec(&head).unwrap_or_default();
    let body = response.map_or(&[][..], |response| &response.body);
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length(&head));
    out.extend_from_slice(&length(body));
    out.extend_from_slice(&check(&head, body));
    out.extend_from_slice(&head);
    out.extend_from_slice(body);
}

/// What one record is about, without its body and unchecked.
pub(super) struct Peeked {
    pub(super) key: PaymentKey,
    pub(super) at: i64,
    /// None: the answer is forgotten.
    pub(super) row: Option<i64>,
    /// Bytes on the disk.
    pub(super) length: usize,
}

/// Looks at the record at a place of a file; none at its end, and where it cannot be read.
pub(super) fn peek(file: &File, offset: u64) -> Option<Peeked> {
    let mut prefix = [0; PREFIX_BYTES];
    file.read_exact_at(&mut prefix, offset).ok()?;
    let (head_length, body_length) = (part(&prefix, 0)?, part(&prefix, 4)?);
    let mut head = vec![0; head_length.min(MAX_HEAD_BYTES)];
    file.read_exact_at(&mut head, offset + PREFIX_BYTES as u64).ok()?;
    let Head { key, at, answer } = serde_json::from_slice(&head).ok()?;
    let length = PREFIX_BYTES + head_length + body_length;
    Some(Peeked { key, at, row: answer.map(|answer| answer.row), length })
}

/// The length of head or body, which the prefix says at this place.
fn part(prefix: &[u8], at: usize) -> Option<usize> {
    let number = u32::from_be_bytes(prefix.get(at..at + 4)?.try_into().ok()?);
    usize::try_from(number).ok().filter(|length| *length <= MAX_PART_BYTES)
}

/// The first record of `bytes`; none where they are cut off or damaged.
pub(super) fn read(bytes: &[u8]) -> Option<Record> {
    let (head_length, body_length) = (part(bytes, 0)?, part(bytes, 4)?);
    let head_end = PREFIX_BYTES + head_length;
    let head = bytes.get(PREFIX_BYTES..head_end)?;
    let body = bytes.get(head_end..head_end + body_length)?;
    if bytes.get(8..PREFIX_BYTES)? != check(head, body) {
        return None;
    }
    let Head { key, at, answer } = serde_json::from_slice(head).ok()?;
    let response = match answer {
        Some(answer) => Some(stored(key.clone(), answer, body)?),
        None => None,
    };
    Some(Record { key, at, response, length: head_end + body_length })
}

fn stored(key: PaymentKey, answer: AnswerHead, body: &[u8]) -> Option<StoredResponse> {
    let mut headers = HeaderMap::with_capacity(answer.headers.len());
    let row = answer.row;
    for (name, value) in answer.headers {
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(&value).ok()?);
    }
    let status = StatusCode::from_u16(answer.status).ok()?;
    Some(StoredResponse { key, row, status, headers, body: Bytes::copy_from_slice(body) })
}

fn check(head: &[u8], body: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = Sha256::new().chain_update(head).chain_update(body).finalize();
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&digest[..CHECK_BYTES]);
    check
}
