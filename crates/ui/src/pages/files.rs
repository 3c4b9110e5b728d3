//! What pages load: one style and one picture.

use axum::http::header;
use axum::response::{IntoResponse, Response};

pub(crate) async fn style() -> Response {
    kept("text/css; charset=utf-8", include_str!("../../assets/style.css"))
}

pub(crate) async fn icon() -> Response {
    kept("image/svg+xml", include_str!("../../assets/icon.svg"))
}

/// For as long as a page is looked at: the path of the next process is another one.
fn kept(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "private, max-age=3600")], text).into_response()
}
