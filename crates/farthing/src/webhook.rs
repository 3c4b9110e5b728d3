//! Telling somebody elsewhere that an approval waits. It tells, and decides nothing.

use std::time::Duration;

use farthing_ambient::{Clock as _, SystemClock, causes};
use farthing_ledger::Ledger;
use farthing_policy::Denial;
use hmac::{Hmac, Mac as _};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use url::Url;

use crate::exit::{Code, Failure};
use crate::session::Session;

/// How long the receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// `approvals:` in config.yaml.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalsConfig {
    /// Where it is told.
    webhook: Url,
    /// The environment variable with the secret that it is signed with.
    secret_env: String,
}

/// A receiver, and what it knows us by. It has no `Debug`: the secret would be in it.
#[derive(Clone)]
pub(crate) struct Webhook {
    url: Url,
    secret: String,
}

/// Tells the configured receiver when what was denied waits for a person's approval.
pub(crate) async fn tell_of(session: &Session, denial: &Denial) -> Result<(), Failure> {
    let (Some(approval), Some(config)) = (&denial.approval, &session.config().approvals) else {
        return Ok(());
    };
    config.webhook()?.tell(&session.ledger()?, &approval.id).await;
    Ok(())
}

impl ApprovalsConfig {
    pub(crate) fn check(&self) -> Result<(), String> {
        let secure = self.webhook.scheme() == "https"
            || (self.webhook.scheme() == "http" && farthing_ambient::is_this_machine(&self.webhook));
        // The address may hold a key, so it is not repeated.
        if secure { Ok(()) } else { Err("`approvals.webhook` is no https address".to_owned()) }
    }

    /// The receiver, with its secret out of the environment.
    pub(crate) fn webhook(&self) -> Result<Webhook, Failure> {
        let secret = std::env::var(&self.secret_env).ok().filter(|secret| !secret.is_empty());
        let secret = secret.ok_or_else(|| {
            Failure::new(
                Code::Configuration,
                format!("`approvals.secret_env`: {} is not set", self.secret_env),
            )
        })?;
        Ok(Webhook { url: self.webhook.clone(), secret })
    }
}

impl Webhook {
    /// Tells of a request for approval that this process has made, once. What goes wrong is logged; it waits all the same.
    pub(crate) async fn tell(&self, ledger: &Ledger, id: &str) {
        if !ledger.take_untold(id) {
            return;
        }
        let approval = match ledger.approval(id).await {
            Ok(approval) => approval,
            Err(error) => return tracing::warn!(%error, approval = id, "the webhook was not told"),
        };
        let how = format!("farthing approvals approve {id}");
        let body = json!({"id": approval.id, "rule": approval.rule, "terms": approval.terms, "how": how,
            "expires_at": approval.expires_at})
        .to_string();
        if let Err(why) = self.post(body, SystemClock.now().as_second()).await {
            tracing::warn!(%why, approval = id, "the webhook was not told");
        }
    }

    async fn post(&self, body: String, second: i64) -> Result<(), String> {
        let client = farthing_http::caller().map_err(|error| causes(&error))?;
        let client = client.timeout(PATIENCE).build().map_err(|error| causes(&error))?;
        let signature = signature(&self.secret, second, &body);
        let sent = client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("farthing-signature", signature)
            .body(body)
            .send()
            .await;
        match sent {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answered {}", answer.status())),
            // Without the address: it may hold a key.
            Err(error) => Err(causes(&error.without_url())),
        }
    }
}

/// `t=<seconds>,v1=<hex>`: the HMAC-SHA256, by the secret, of the seconds, a point and the body.
fn signature(secret: &str, second: i64, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(format!("{second}.{body}").as_bytes());
    let bytes = mac.finalize().into_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={second},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_hmac_of_time_and_body() {
        // Computed apart: printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            signature("secret", 1_700_000_000, "{}"),
            "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
        );
    }

    #[test]
    fn secrets_go_over_tls_only() {
        let config = |url: &str| ApprovalsConfig { webhook: url.parse().unwrap(), secret_env: "X".into() };
        assert!(config("https://a.example/key").check().is_ok());
        assert!(config("http://127.0.0.1:1/").check().is_ok());
        let refused = config("http://a.example/key").check().unwrap_err();
        assert!(!refused.contains("key"), "{refused}");
    }
}
