//! The pages, a file each; what they have in common; and what is answered where there is none.

pub(crate) mod approvals;
pub(crate) mod door;
pub(crate) mod files;
pub(crate) mod freeze;
pub(crate) mod history;
pub(crate) mod overview;
pub(crate) mod purchase;

use askama::Template;
use axum::Extension;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use farthing_ledger::{LedgerError, Purchase};
use serde::Deserialize;

use crate::UiError;
use crate::door::{Visitor, root};
use crate::guard::Entered;
use crate::server::Shared;
use crate::words::{self, visible};

/// What stands around every page.
pub(crate) struct Frame {
    root: String,
    /// The token that every form carries.
    form: String,
    /// The entry of the menu that this page is.
    here: &'static str,
    frozen: Option<Freeze>,
    /// Why the policy itself stops everything.
    killed: Option<String>,
    /// How many approvals wait.
    waiting: u64,
    person: String,
}

/// The freeze, in words.
struct Freeze {
    since: String,
    why: String,
    by: String,
}

impl Frame {
    async fn around(shared: &Shared, visitor: &Visitor, here: &'static str) -> Result<Self, UiError> {
        let frozen = shared.ledger.frozen().await?.map(|frozen| Freeze {
            since: words::time(frozen.since),
            why: visible(&frozen.why),
            by: visible(&frozen.by),
        });
        let killed = (shared.policy)().ok().and_then(|policy| policy.killed().map(visible));
        let waiting = shared.ledger.pending_approvals().await?;
        Ok(Self {
            root: visitor.root.clone(),
            form: visitor.form.clone(),
            here,
            frozen,
            killed,
            waiting,
            person: visible(&shared.person),
        })
    }
}

/// A purchase as lists show it.
struct Row {
    id: String,
    when: String,
    method: String,
    host: String,
    /// The rest of the address.
    path: String,
    agent: String,
    network: String,
    /// The state's name, and how it is said.
    state: &'static str,
    state_word: &'static str,
    /// In dollars, filled up so that the points of a list stand below each other.
    value: String,
}

fn rows(purchases: &[Purchase]) -> Vec<Row> {
    let values: Vec<String> = purchases.iter().map(|purchase| purchase.terms.value.to_string()).collect();
    purchases.iter().zip(words::aligned(&values)).map(|(purchase, value)| row(purchase, value)).collect()
}

fn row(purchase: &Purchase, value: String) -> Row {
    let terms = &purchase.terms;
    let (address, host) = (words::address(&terms.url), words::host(&terms.url));
    let path = address.split_once(&host).map_or(address.as_str(), |(_, path)| path).to_owned();
    Row {
        id: visible(&terms.id.0),
        when: words::time(purchase.created_at),
        method: visible(&terms.method),
        host,
        path,
        agent: terms.agent.as_deref().map(visible).unwrap_or_default(),
        network: terms.network.display_name().to_owned(),
        state: purchase.state.as_str(),
        state_word: words::state(purchase.state),
        value,
    }
}

/// The token of a form that does nothing but press its button.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Button {
    form: String,
}

/// Why a page is not shown, or something was not done.
pub(crate) enum Problem {
    /// There is no such thing.
    Missing(String),
    /// It cannot be done now.
    Conflict(String),
    /// The form is not of this session's pages.
    Foreign,
    /// It went wrong here.
    Failed(UiError),
}

impl<E: Into<UiError>> From<E> for Problem {
    fn from(error: E) -> Self {
        match error.into() {
            UiError::Ledger(error @ LedgerError::NotFound { .. }) => Self::Missing(error.to_string()),
            UiError::Ledger(error @ LedgerError::WrongState { .. }) => Self::Conflict(error.to_string()),
            error => Self::Failed(error),
        }
    }
}

/// What a page says that stands alone: it is written by the guard, which knows where it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Alone {
    pub(crate) title: &'static str,
    pub(crate) parts: Vec<String>,
}

#[derive(Template)]
#[template(path = "alone.html")]
struct AlonePage<'a> {
    /// Where the overview is, as far as whoever asks has told it.
    overview: Option<String>,
    title: &'static str,
    parts: &'a [String],
}

impl Alone {
    /// An answer with this status, which [`Alone::written`] makes a page of.
    fn told(self, status: StatusCode) -> Response {
        (status, Extension(self)).into_response()
    }

    /// The page, without the frame, for a path with this place in it. It may be anybody who reads it: it says nothing
    /// of sessions that they did not say.
    pub(crate) fn written(&self, status: StatusCode, place: Option<&str>) -> Response {
        let overview = place.map(|place| format!("{}/", root(place)));
        match (AlonePage { overview, title: self.title, parts: &self.parts }).render() {
            Ok(text) => (status, Html(text)).into_response(),
            Err(_) => (status, "The page cannot be written.\n").into_response(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, title, why) = match self {
            Self::Missing(why) => (StatusCode::NOT_FOUND, "There is no such page", why),
            Self::Conflict(why) => (StatusCode::CONFLICT, "That cannot be done any more", why),
            Self::Foreign => (
                StatusCode::FORBIDDEN,
                "Nothing was done",
                "This form belongs to another session. Go back, reload the page, and try again.".to_owned(),
            ),
            Self::Failed(error) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong", farthing_ambient::causes(&error))
            }
        };
        Alone { title, parts: vec![visible(&why)] }.told(status)
    }
}

type Shown = Result<Html<String>, Problem>;

fn shown(page: &impl Template) -> Shown {
    Ok(Html(page.render().map_err(UiError::from)?))
}

/// Back to one of the session's pages, after something was done.
fn back(root: &str, to: &str) -> Redirect {
    Redirect::to(&format!("{root}{to}"))
}

/// The number of a purchase or an approval in a path.
#[derive(Deserialize)]
pub(crate) struct Numbered {
    id: String,
}

/// Refuses a form that is not of this session's pages.
fn check(visitor: &Visitor, form: &str) -> Result<(), Problem> {
    if visitor.sent(form) { Ok(()) } else { Err(Problem::Foreign) }
}

/// What is answered where there is nothing: who has no session is not told more.
pub(crate) async fn nowhere(_: Entered) -> Problem {
    Problem::Missing("Use the menu, or go back.".to_owned())
}
