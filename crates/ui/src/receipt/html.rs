//! A receipt as a page that stands alone.

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::Receipt;
use crate::UiError;

/// What stands between `<style>` and `</style>`.
const STYLE: &str = include_str!("../../assets/receipt.css");

#[derive(Template)]
#[template(path = "document.html")]
struct Document<'a> {
    receipt: &'a Receipt,
    style: &'static str,
    policy: String,
}

pub(super) fn write(receipt: &Receipt) -> Result<String, UiError> {
    Ok(Document { receipt, style: STYLE, policy: policy() }.render()?)
}

/// What the page may load and run: nothing, but for the style that is in it, by its hash.
pub(crate) fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}
