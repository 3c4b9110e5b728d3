//! One purchase, and its receipt as a file.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{Html, IntoResponse as _, Response};
use farthing_ledger::{Purchase, PurchaseId, PurchaseState};

use super::{Frame, Numbered, Problem, Shown, shown};
use crate::Receipt;
use crate::guard::Entered;
use crate::receipt::Section;
use crate::server::Shared;
use crate::words;

#[derive(Template)]
#[template(path = "purchase.html")]
struct PurchasePage {
    frame: Frame,
    id: String,
    value: String,
    state: &'static str,
    state_word: &'static str,
    is_open: bool,
    host: String,
    when: String,
    sections: Vec<Section>,
}

pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Entered(visitor): Entered,
    Path(Numbered { id }): Path<Numbered>,
) -> Shown {
    let (purchase, receipt) = find(&shared, id).await?;
    shown(&PurchasePage {
        frame: Frame::around(&shared, &visitor, "history").await?,
        id: words::visible(&purchase.terms.id.0),
        value: purchase.terms.value.to_string(),
        state: purchase.state.as_str(),
        state_word: words::state(purchase.state),
        is_open: !matches!(purchase.state, PurchaseState::Paid | PurchaseState::NotPaid),
        host: words::host(&purchase.terms.url),
        when: words::time(purchase.created_at),
        sections: receipt.sections().to_vec(),
    })
}

/// The receipt as HTML, under the policy that it has as a file.
pub(crate) async fn html(
    State(shared): State<Arc<Shared>>,
    _: Entered,
    Path(Numbered { id }): Path<Numbered>,
) -> Result<Response, Problem> {
    let (_, receipt) = find(&shared, id).await?;
    let policy = format!("{}; frame-ancestors 'none'", crate::receipt::html::policy());
    Ok(([(header::CONTENT_SECURITY_POLICY, policy)], Html(receipt.html()?)).into_response())
}

pub(crate) async fn pdf(
    State(shared): State<Arc<Shared>>,
    _: Entered,
    Path(Numbered { id }): Path<Numbered>,
) -> Result<Response, Problem> {
    let (purchase, receipt) = find(&shared, id).await?;
    let name = purchase.terms.id.0.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let disposition = format!("inline; filename=\"farthing-receipt-{name}.pdf\"");
    let kind = "application/pdf".to_owned();
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, disposition)], receipt.pdf())
        .into_response())
}

async fn find(shared: &Shared, id: String) -> Result<(Purchase, Receipt), Problem> {
    let id = PurchaseId(id);
    let (purchase, row) = (shared.ledger.purchase(&id).await?, shared.ledger.purchase_row(&id).await?);
    let receipt = Receipt::new(&purchase, &row, &shared.registry);
    Ok((purchase, receipt))
}
