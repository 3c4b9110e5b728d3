//! What pages load: one style and one picture. They lie under each session's path, where no browser has kept what another
//! server gave it at this address before; the pages without a session have theirs under `/door`.

use axum::http::header;
use axum::response::{IntoResponse, Response};

pub(crate) async fn style() -> Response {
    kept("text/css; charset=utf-8", include_str!("../../assets/style.css"))
}

pub(crate) async fn icon() -> Response {
    kept("image/svg+xml", include_str!("../../assets/icon.svg"))
}

/// For as long as a page is looked at: the next session's path is another one.
fn kept(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "private, max-age=3600")], text).into_response()
}
