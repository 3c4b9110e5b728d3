//! What can be read: receipts, kept bodies, the policy in words, the ledger's summary.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use farthing_ledger::PurchaseFilter;
use rmcp::ErrorData;
use rmcp::model::{ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde_json::{Value, json};

use super::content::{BODIES, file_of};
use super::desk::Desk;
use super::free::FREE;
use super::trouble::{Code, Trouble};

const POLICY: &str = "farthing://policy";
const LEDGER: &str = "farthing://ledger";
const RECEIPTS: &str = "farthing://receipts/";

/// How many receipts are listed; all can be read.
const LISTED_RECEIPTS: u32 = 20;
/// The longest body that is read over MCP; a longer one is in a file.
const MAX_BODY_BYTES: u64 = 8 << 20;

pub(super) async fn list(desk: &Desk) -> Result<Vec<Resource>, ErrorData> {
    let mut all = vec![
        Resource::new(POLICY, "policy")
            .with_title("The policy in words")
            .with_description("What may be paid, and how much of it; only a person can change it")
            .with_mime_type("text/plain"),
        Resource::new(LEDGER, "ledger")
            .with_title("The ledger's summary")
            .with_description("Budgets, what is unresolved, whether everything is frozen")
            .with_mime_type("application/json"),
    ];
    let filter = PurchaseFilter { limit: Some(LISTED_RECEIPTS), ..PurchaseFilter::default() };
    let purchases = desk.purchases(filter).await.map_err(|trouble| failed(&trouble, RECEIPTS))?;
    all.extend(purchases.iter().map(|purchase| {
        let terms = &purchase.terms;
        Resource::new(format!("{RECEIPTS}{}", terms.id), format!("receipt {}", terms.id))
            .with_title(format!("{} for {} {}", terms.value, terms.method, terms.url))
            .with_mime_type("application/json")
    }));
    Ok(all)
}

pub(super) fn templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new(format!("{RECEIPTS}{{purchase}}"), "receipt")
            .with_title("A receipt")
            .with_description("Terms, payment, settlement and answer of one purchase, by its id")
            .with_mime_type("application/json"),
        ResourceTemplate::new(format!("{BODIES}{{file}}"), "body")
            .with_title("A kept body")
            .with_description("What came back for a paid call, as `pay` and `fetch_again` name it"),
    ]
}

pub(super) async fn read(desk: &Desk, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let contents = match uri {
        POLICY => ResourceContents::text(policy(desk), uri),
        LEDGER => as_json(&ledger(desk).await.map_err(|trouble| failed(&trouble, uri))?, uri),
        _ => match (uri.strip_prefix(RECEIPTS), uri.strip_prefix(BODIES)) {
            (Some(id), _) => {
                let purchase = desk.purchase(id).await.map_err(|trouble| failed(&trouble, uri))?;
                as_json(&purchase.without_payment(), uri)
            }
            (_, Some(name)) => body(desk, name, uri).await?,
            _ => return Err(unknown(uri)),
        },
    };
    Ok(ReadResourceResult::new(vec![contents]))
}

fn policy(desk: &Desk) -> String {
    desk.config.policy.current().explain().join("\n")
}

async fn ledger(desk: &Desk) -> Result<Value, Trouble> {
    let config = &desk.config;
    let open = PurchaseFilter { unresolved: true, ..PurchaseFilter::default() };
    let open = desk.purchases(open).await?;
    Ok(json!({
        "journal_rows": config.ledger.journal_end().await?,
        "unresolved": open.iter().map(|purchase| &purchase.terms.id).collect::<Vec<_>>(),
        "frozen": config.ledger.frozen().await?.map(|frozen| frozen.to_string()),
        "budgets": desk.budgets().await?,
        "policy_hash": config.policy.current().hash(),
    }))
}

async fn body(desk: &Desk, name: &str, uri: &str) -> Result<ResourceContents, ErrorData> {
    let path = file_of(&desk.config.bodies, name).ok_or_else(|| unknown(uri))?;
    // A free answer belongs to whoever knows its name, which nobody can guess.
    let owner = name.split('.').next().filter(|owner| !owner.starts_with(FREE));
    if let Some(purchase) = owner {
        desk.purchase(purchase).await.map_err(|_| unknown(uri))?;
    }
    let bytes = tokio::fs::metadata(&path).await.map_err(|_| unknown(uri))?.len();
    if bytes > MAX_BODY_BYTES {
        let why =
            format!("it has {bytes} bytes, more than {MAX_BODY_BYTES}; read the file {}", path.display());
        return Err(ErrorData::invalid_params(why, None));
    }
    let body = tokio::fs::read(&path).await.map_err(|_| unknown(uri))?;
    Ok(match String::from_utf8(body) {
        Ok(text) => ResourceContents::text(text, uri),
        Err(error) => ResourceContents::blob(BASE64.encode(error.into_bytes()), uri)
            .with_mime_type("application/octet-stream"),
    })
}

fn as_json(value: &Value, uri: &str) -> ResourceContents {
    ResourceContents::text(value.to_string(), uri).with_mime_type("application/json")
}

fn unknown(uri: &str) -> ErrorData {
    ErrorData::resource_not_found(format!("there is no resource {uri}"), Some(json!({"uri": uri})))
}

fn failed(trouble: &Trouble, uri: &str) -> ErrorData {
    let about = Some(json!({"uri": uri}));
    match trouble.code {
        Code::NotFound | Code::BadArguments => ErrorData::resource_not_found(trouble.to_string(), about),
        _ => ErrorData::internal_error(trouble.to_string(), about),
    }
}
