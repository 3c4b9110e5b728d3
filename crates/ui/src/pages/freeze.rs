//! The freeze, by one button.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::response::Redirect;

use super::{Button, Problem, back, check};
use crate::guard::Entered;
use crate::server::Shared;

/// Why it is frozen, where a button says no more.
const WHY: &str = "the button on the local page";

pub(crate) async fn freeze(
    State(shared): State<Arc<Shared>>,
    Entered(visitor): Entered,
    Form(button): Form<Button>,
) -> Result<Redirect, Problem> {
    check(&visitor, &button.form)?;
    shared.ledger.freeze(WHY.to_owned(), shared.person.clone()).await?;
    Ok(back(&visitor.root, "/"))
}

pub(crate) async fn thaw(
    State(shared): State<Arc<Shared>>,
    Entered(visitor): Entered,
    Form(button): Form<Button>,
) -> Result<Redirect, Problem> {
    check(&visitor, &button.form)?;
    shared.ledger.thaw(shared.person.clone()).await?;
    Ok(back(&visitor.root, "/"))
}
