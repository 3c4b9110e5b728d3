//! The way in and out.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::{Alone, Button, Problem, back, check};
use crate::door::root;
use crate::guard::{COOKIE, Entered, session_key};
use crate::server::Shared;

/// What a link says.
#[derive(Deserialize)]
pub(crate) struct Opened {
    #[serde(default)]
    link: String,
}

/// Opens a link: exchanges it for a session, and takes its token out of the address.
pub(crate) async fn enter(
    State(shared): State<Arc<Shared>>,
    Query(opened): Query<Opened>,
) -> Result<Response, Problem> {
    let key = shared.door.open(&opened.link).map_err(crate::UiError::from)?;
    let Some(key) = key else { return Ok(in_vain()) };
    let root = root(&key.place);
    let cookie = format!("{COOKIE}={}; Path={root}/; HttpOnly; SameSite=Strict", key.cookie);
    Ok(([(header::SET_COOKIE, cookie)], back(&root, "/")).into_response())
}

/// Ends the session.
pub(crate) async fn leave(
    State(shared): State<Arc<Shared>>,
    Entered(visitor): Entered,
    parts: Parts,
    Form(button): Form<Button>,
) -> Result<Response, Problem> {
    check(&visitor, &button.form)?;
    if let Some(key) = session_key(&parts) {
        shared.door.leave(&key);
    }
    Ok(back(&visitor.root, "/").into_response())
}

/// What somebody without a session is shown.
pub(crate) fn locked() -> Response {
    let parts = [
        "Press Enter in the terminal where farthing ui runs, and open the link that it prints. A link is good once, and \
         its session ends after an hour without use.",
        "If you have just opened one, go on to the overview: a browser that came here from elsewhere does not show its session at first.",
    ];
    closed("There is no session here", &parts)
}

fn in_vain() -> Response {
    let parts = [
        "A link is good once, for ten minutes. Press Enter in the terminal where farthing ui runs for another one.",
        "If it was not you who opened it, somebody else did. Stop farthing ui with Ctrl-C: every session ends with it.",
    ];
    closed("This link was opened already, or is too old", &parts)
}

fn closed(title: &'static str, parts: &[&str]) -> Response {
    let parts = parts.iter().map(|&part| part.to_owned()).collect();
    Alone { title, parts }.told(StatusCode::UNAUTHORIZED)
}
