//! What the servers for agents share: a policy that is followed while it changes, who is told of approvals, the record's
//! salt.

use std::sync::Arc;
use std::time::Duration;

use farthing_agent::guard::{PolicyFile, PolicyFileError, Reloaded};
use farthing_ambient::{Clock as _, Entropy as _, OsEntropy, SystemClock, causes};
use farthing_keystore::KeystoreError;
use farthing_ledger::{Ledger, PolicyChange};
use farthing_policy::Policy;
use tokio::runtime::Handle;

use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::output::printable;

/// How often the policy file is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A policy that cannot be put in force.
pub(crate) fn no_policy(error: PolicyFileError) -> Failure {
    Failure::new(Code::Configuration, error)
        .hint("docs/policy.md explains every key; `farthing policy check FILE` checks one")
}

/// Refuses a name that the policy does not know: whoever calls under it could pay nothing.
pub(crate) fn check_known(policy: &Policy, agent: &str) -> Result<(), Failure> {
    policy.knows_agent(agent).then_some(()).ok_or_else(|| {
        Failure::new(Code::Configuration, format!("the policy has no agent `{}`", printable(agent)))
            .hint("`agents:` in policy.yaml names them; docs/policy.md explains the section")
    })
}

/// Tells the configured receiver that an approval waits, without keeping the call waiting.
pub(crate) type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// What tells the receiver that config.yaml names; none where it names none.
pub(crate) fn notify(config: &Config, ledger: &Ledger, runtime: &Handle) -> Result<Option<Tell>, Failure> {
    let Some(approvals) = &config.approvals else { return Ok(None) };
    let (webhook, ledger, runtime) = (approvals.webhook()?, ledger.clone(), runtime.clone());
    Ok(Some(Arc::new(move |id: &str| {
        let (webhook, ledger, id) = (webhook.clone(), ledger.clone(), id.to_owned());
        runtime.spawn(async move { webhook.tell(&ledger, &id).await });
    })))
}

/// A name for one run, that the policy's session budgets count in.
pub(crate) fn new_session() -> Result<String, Failure> {
    let mut random = [0; 8];
    OsEntropy.fill(&mut random).map_err(|error| Failure::new(Code::Unexpected, error))?;
    let second = SystemClock.now().as_second();
    Ok(format!("{second:x}-{:016x}", u64::from_be_bytes(random)))
}

/// The salt of the record's digests, made once, beside the ledger.
pub(crate) fn salt(ledger: &Ledger) -> Result<Arc<[u8]>, Failure> {
    let broken = |error: &dyn std::error::Error| {
        Failure::new(Code::Configuration, format!("the record's salt: {}", causes(error)))
    };
    let Some(path) = ledger.beside(".salt") else { return Ok(Arc::new([])) };
    match std::fs::read(&path) {
        Ok(salt) => return Ok(salt.into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(broken(&error)),
    }
    let mut salt = [0; 32];
    OsEntropy.fill(&mut salt).map_err(|error| Failure::new(Code::Unexpected, error))?;
    // Of two processes that begin at once, one writes, and both read what it wrote.
    match farthing_keystore::private_file(&path, &salt, &OsEntropy) {
        Ok(()) | Err(KeystoreError::Exists(_)) => {
            std::fs::read(&path).map(Into::into).map_err(|error| broken(&error))
        }
        Err(error) => Err(broken(&error)),
    }
}

/// Puts every change of the file in force, as long as the program runs, and has it recorded; `in_force` is given each.
pub(crate) async fn follow(
    policy: Arc<PolicyFile>,
    ledger: Ledger,
    server: String,
    in_force: impl Fn(Arc<Policy>),
) {
    let record = async |change: PolicyChange| {
        if let Err(error) = ledger.policy_read(server.clone(), change).await {
            tracing::warn!(%error, "a change of the policy was not recorded");
        }
    };
    record(PolicyChange::Loaded { hash: policy.current().hash().to_owned() }).await;
    loop {
        tokio::time::sleep(LOOK).await;
        let file = policy.clone();
        // The file may lie on a slow disk.
        match tokio::task::spawn_blocking(move || file.reload()).await {
            Ok(Reloaded::Changed(policy)) => {
                tracing::info!(hash = policy.hash(), "another policy is in force");
                record(PolicyChange::Loaded { hash: policy.hash().to_owned() }).await;
                in_force(policy);
            }
            Ok(Reloaded::Refused(error)) => {
                tracing::error!(%error, "the policy before stays in force");
                let hash = policy.current().hash().to_owned();
                record(PolicyChange::Refused { hash, why: error.to_string() }).await;
            }
            Ok(Reloaded::Unchanged) | Err(_) => {}
        }
    }
}
