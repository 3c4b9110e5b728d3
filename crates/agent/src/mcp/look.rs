//! Looking at one call without paying: what its provider says of it, what it costs now, what the policy would say.

use std::time::Duration;

use farthing_discovery::{Origin, Resource, Site};
use farthing_policy::Clearance;
use farthing_protocol::{Challenge, Offer};
use farthing_wallet::{
    Appraisal, CallLimits, Fault, FaultKind, FetchError, Probe, Request, Verdict, WalletError,
};
use http::{HeaderMap, Method, StatusCode};

use super::answer::Answer;
use super::desk::Desk;
use super::input::CallArgs;
use super::listed::{Api, Findings};
use super::output::{Budget, Checked, Offered};
use super::paid_tool::PaidTool;
use super::trouble::Trouble;
use super::words::{cut, said};

/// How long the provider's documents may take.
const DOCUMENTS_WITHIN: Duration = Duration::from_secs(5);
/// The method under which documents name the place of an MCP server.
const MCP_ROUTE: &str = "POST";
/// How many characters of an offer's words, or of an address, are shown.
const WORD_CHARS: usize = 200;

const NOT_ASKED: &str = "the seller was not asked: this request may do something, and no document of the provider says \
that it is priced. `pay` makes it, and pays only what the policy allows";

/// What one call would cost now, and what the policy would say of it.
pub(super) async fn check(desk: &Desk, args: &CallArgs) -> Result<Answer, Trouble> {
    let request = args.request()?;
    let limits = args.limits(desk.config.agent.as_deref(), &desk.config.session)?;
    desk.config.client.check(&request)?;
    let (origin, probe) = match &args.mcp_tool {
        Some(tool) => {
            let tool = PaidTool::new(&desk.config.client, &request, tool.clone(), args.tool_arguments()?);
            look_at_tool(desk, &tool, &request, &limits).await?
        }
        None => look_at(desk, &request, &limits).await?,
    };
    let (advertised, findings) =
        origin.map(|origin| described(desk, &origin, &request, probe.as_ref())).unwrap_or_default();
    let checked = match probe {
        None => Checked { note: Some(NOT_ASKED.to_owned()), ..Checked::default() },
        Some(Probe::Free(status, headers)) => free(&request, status, &headers),
        Some(Probe::Priced { challenge, appraisal, refused }) => {
            priced(&request, &challenge, &appraisal, refused)
        }
    };
    Ok(Answer::of_others(&request.host(), &Checked { advertised, findings, ..checked }))
}

/// Where a redirect points, as the address that it is: no other words of the seller's.
pub(super) fn pointed_to(request: &Request, headers: &HeaderMap) -> Option<String> {
    let place = headers.get("location")?.to_str().ok()?;
    let place = request.url.join(place).ok().filter(|place| place.has_host())?;
    Some(cut(place.as_str(), WORD_CHARS))
}

/// What the documents say, and what the seller does, where they were had.
type Looked = (Option<Origin>, Option<Probe>);

/// Asks for documents and price. What may do something is asked for its price only where the documents name one.
async fn look_at(desk: &Desk, request: &Request, limits: &CallLimits) -> Result<Looked, Trouble> {
    let client = &desk.config.client;
    if matches!(request.method, Method::GET | Method::HEAD) {
        let (origin, probe) = tokio::join!(origin_of(desk, request), client.probe(request, limits));
        return Ok((origin, Some(probe?)));
    }
    let origin = origin_of(desk, request).await;
    if !is_priced(origin.as_ref(), request, request.method.as_str()) {
        return Ok((origin, None));
    }
    Ok((origin, Some(client.probe(request, limits).await?)))
}

/// The same of a tool: it is called, too, if its server says that it only reads.
async fn look_at_tool(
    desk: &Desk,
    tool: &PaidTool,
    request: &Request,
    limits: &CallLimits,
) -> Result<Looked, Trouble> {
    let client = &desk.config.client;
    let asked = client.answer_over(request, tool.is_read_only());
    let (origin, read_only) = tokio::join!(origin_of(desk, request), asked);
    if !read_only? && !is_priced(origin.as_ref(), request, MCP_ROUTE) {
        return Ok((origin, None));
    }
    Ok((origin, Some(client.probe_over(tool, request, limits).await?)))
}

/// What the provider's documents say, if they come soon: the price itself is not kept waiting for them.
async fn origin_of(desk: &Desk, request: &Request) -> Option<Origin> {
    let site = Site::of(&request.url)?;
    tokio::time::timeout(DOCUMENTS_WITHIN, desk.config.discovery.describe(&site)).await.ok()
}

fn is_priced(origin: Option<&Origin>, request: &Request, method: &str) -> bool {
    let route = origin.map(|origin| origin.route(request.url.path())).unwrap_or_default();
    route.iter().any(|resource| resource.method == method && resource.is_priced())
}

/// What the documents say of the route, and what is wrong with that, by itself and beside the answer.
fn described(
    desk: &Desk,
    origin: &Origin,
    request: &Request,
    probe: Option<&Probe>,
) -> (Vec<Api>, Vec<String>) {
    let route: Vec<&Resource> = origin.route(request.url.path());
    let registry = &desk.config.discovery.config().registry;
    let is_tool = request.method.as_str() == Request::MCP;
    let method = if is_tool { MCP_ROUTE } else { request.method.as_str() };
    let judge = |status, challenge: Option<&Challenge>| {
        origin.judge(method, &request.url, status, challenge.map(Ok), None, registry)
    };
    let judged = match probe {
        None => Vec::new(),
        Some(Probe::Free(status, _)) => judge(status.as_u16(), None),
        Some(Probe::Priced { challenge, .. }) => judge(402, Some(challenge)),
    };
    let of_routes = origin.findings.iter().filter(|finding| finding.resource.is_some());
    let findings = Findings::about(of_routes.chain(&judged), &route).findings;
    (route.into_iter().map(|resource| Api::of(resource, true)).collect(), findings)
}

fn free(request: &Request, status: StatusCode, headers: &HeaderMap) -> Checked {
    Checked {
        asked: true,
        priced: Some(false),
        status: Some(status.as_u16()),
        allowed: Some(status.is_success()),
        location: pointed_to(request, headers),
        ..Checked::default()
    }
}

fn priced(
    request: &Request,
    challenge: &Challenge,
    appraisal: &Appraisal,
    refused: Option<FetchError>,
) -> Checked {
    let refused = refused.map(Trouble::from).or_else(|| refusal(appraisal));
    let chosen = chosen(appraisal);
    let needs_approval = chosen.is_some_and(|clearance| clearance.approval.is_some());
    let mut descriptions = challenge.offers.iter().filter_map(|offer| offer.description.as_deref());
    Checked {
        asked: true,
        priced: Some(true),
        status: Some(402),
        allowed: Some(refused.is_none() && !needs_approval),
        price: chosen.map(|clearance| clearance.value.to_string()),
        needs_approval,
        offers: offers(appraisal),
        refused,
        budgets: Budget::all(&appraisal.used),
        seller_says: descriptions.find(|text| !text.is_empty()).map(|text| said(&request.host(), text)),
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
        scheme: cut(&terms.scheme, WORD_CHARS),
        network: terms.network.to_string(),
        price: asset.map(|asset| asset.format(terms.amount)),
        symbol: asset.map(|asset| asset.symbol.clone()),
        asset: cut(&terms.asset, WORD_CHARS),
        amount: terms.amount.to_string(),
        pay_to: cut(&terms.pay_to, WORD_CHARS),
        refused,
    }
}
