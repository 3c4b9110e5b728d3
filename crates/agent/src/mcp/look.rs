//! Looking without paying: what a call costs, what a provider sells, who sells what.

use farthing_policy::Clearance;
use farthing_protocol::{Challenge, Offer};
use farthing_wallet::{Appraisal, Fault, FaultKind, FetchError, Probe, Verdict, WalletError};

use super::answer::Answer;
use super::desk::Desk;
use super::input::CallArgs;
use super::output::{Budget, Checked, Offered};
use super::paid_tool::PaidTool;
use super::trouble::Trouble;

/// What one call would cost now, and what the policy would say of it.
pub(super) async fn check(desk: &Desk, args: &CallArgs) -> Result<Answer, Trouble> {
    let request = args.request()?;
    let limits = args.limits(desk.config.agent.as_deref(), &desk.config.session)?;
    let client = &desk.config.client;
    let probe = match &args.mcp_tool {
        Some(tool) => {
            let tool = PaidTool::open(client, &request, tool.clone(), args.tool_arguments()?).await?;
            client.probe_over(&tool, &request, &limits).await?
        }
        None => client.probe(&request, &limits).await?,
    };
    let checked = match probe {
        Probe::Free(status, headers) => Checked {
            status: status.as_u16(),
            allowed: status.is_success(),
            location: headers.get("location").and_then(|place| place.to_str().ok()).map(str::to_owned),
            ..Checked::default()
        },
        Probe::Priced { challenge, appraisal, refused } => priced(&challenge, &appraisal, refused),
    };
    Ok(Answer::new(&checked))
}

fn priced(challenge: &Challenge, appraisal: &Appraisal, refused: Option<FetchError>) -> Checked {
    let refused = refused.map(Trouble::from).or_else(|| refusal(appraisal));
    let chosen = chosen(appraisal);
    let needs_approval = chosen.is_some_and(|clearance| clearance.approval.is_some());
    let description = challenge.offers.iter().find_map(|offer| offer.description.clone());
    Checked {
        priced: true,
        status: 402,
        allowed: refused.is_none() && !needs_approval,
        price: chosen.map(|clearance| clearance.value.to_string()),
        needs_approval,
        offers: offers(appraisal),
        refused,
        budgets: Budget::all(&appraisal.used),
        description: description.filter(|text| !text.is_empty()),
        ..Checked::default()
    }
}

/// Why `pay` would not go through.
fn refusal(appraisal: &Appraisal) -> Option<Trouble> {
    if let Some(denial) = &appraisal.denied {
        return Some(denial.clone().into());
    }
    if appraisal.chosen.is_some() {
        return None;
    }
    if let Some(shortage) = appraisal.shortage() {
        return Some(WalletError::Short(shortage).into());
    }
    Some(match appraisal.only_denial() {
        Some(denial) => denial.clone().into(),
        None => Fault::unpaid(FaultKind::Unpayable, "none of the offers can be paid; each says why").into(),
    })
}

/// What the policy said of the offer that would be paid.
fn chosen(appraisal: &Appraisal) -> Option<&Clearance> {
    match appraisal.offers.get(appraisal.chosen?)? {
        (_, Verdict::Payable { clearance, .. }) => Some(clearance),
        _ => None,
    }
}

fn offers(appraisal: &Appraisal) -> Vec<Offered> {
    let offers = appraisal.offers.iter().enumerate();
    offers.map(|(index, (offer, verdict))| offered(offer, verdict, appraisal.chosen == Some(index))).collect()
}

fn offered(offer: &Offer, verdict: &Verdict, chosen: bool) -> Offered {
    let terms = &offer.requirements;
    let (asset, refused) = match verdict {
        Verdict::Payable { asset, .. } => (Some(asset), None),
        Verdict::Denied { asset, denial } => (Some(asset), Some(denial.message.clone())),
        Verdict::Short { asset, held } => {
            (Some(asset), Some(format!("the wallet holds {}", asset.format(*held))))
        }
        Verdict::Unpayable(why) => (None, Some(why.clone())),
    };
    Offered {
        chosen,
        protocol: offer.protocol.as_str().to_owned(),
        scheme: terms.scheme.clone(),
        network: terms.network.to_string(),
        price: asset.map(|asset| asset.format(terms.amount)),
        symbol: asset.map(|asset| asset.symbol.clone()),
        asset: terms.asset.clone(),
        amount: terms.amount.to_string(),
        pay_to: terms.pay_to.clone(),
        refused,
    }
}
