//! The buyer who uses the command line: a wallet of the real binary, one `farthing fetch` process per try.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::Failure;
use crate::buyers::{End, POLICY};
use crate::counts::Counts;
use crate::plan::{Call, Plan};

const PASSPHRASE: &str = "only for this run";
const MOST_TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_secs(2);

/// A wallet's folder, and the binary.
#[derive(Debug)]
pub(crate) struct CommandBuyer {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) home: PathBuf,
    farthing: PathBuf,
}

impl CommandBuyer {
    /// Makes the wallet.
    pub(crate) async fn new(farthing: &Path, folder: &Path, rpc: &[String]) -> Result<Self, Failure> {
        let home = folder.join("buyer-fetch");
        let mut buyer =
            Self { name: "fetch".into(), address: String::new(), home, farthing: farthing.to_owned() };
        buyer.must(&["init", "--yes"]).await?;
        let rpc = serde_json::to_string(rpc)?;
        let config = format!("version: 1\nnetworks:\n  base-sepolia: {{rpc: {rpc}}}\n");
        std::fs::write(buyer.home.join("config.yaml"), config)?;
        std::fs::write(buyer.home.join("policy.yaml"), POLICY)?;
        let told = buyer.must(&["address", "--json"]).await?;
        let told: Value = serde_json::from_slice(&told)?;
        buyer.address =
            told["addresses"][0]["address"].as_str().ok_or("the wallet has no address")?.to_owned();
        Ok(buyer)
    }

    /// Makes a call, as often as it takes.
    pub(crate) async fn make(
        &self,
        plan: Plan,
        call: &Call,
        url: &str,
        seen: &Counts,
    ) -> Result<End, Failure> {
        let question = String::from_utf8(plan.question(call))?;
        let mut known: Option<String> = None;
        for tries in 0..MOST_TRIES {
            let mut args = vec!["fetch", url, "--json", "-X", call.route.method];
            if !question.is_empty() {
                args.extend(["-d", &question]);
            }
            args.extend(match &known {
                Some(id) => ["--resume", id],
                None => ["--protocol", call.protocol.as_str()],
            });
            let done = self.run(&args).await?;
            let told: Value = serde_json::from_slice(&done.stdout)?;
            seen.add(&format!("exit {}", done.status.code().unwrap_or(-1)));
            match self.judge(call, done.status.code(), &told, tries) {
                Some(end) => return Ok(end),
                None => known = self.purchase_for(url).await?.or(known),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(End::GaveUp)
    }

    /// How it ended; none to try once more.
    fn judge(&self, call: &Call, code: Option<i32>, told: &Value, tries: u32) -> Option<End> {
        let status = told["status"].as_u64().unwrap_or_default();
        match code {
            Some(0) if call.route.price.is_none() => Some(End::Free),
            Some(0) => Some(End::Answered),
            Some(7) if call.route.price.is_none() => Some(End::Free),
            Some(7) if status < 500 => Some(End::PaidRefusal),
            Some(6) if status == 404 => Some(End::NotCharged),
            Some(6) if matches!(status, 500 | 502) && tries >= call.patience => Some(End::NotCharged),
            Some(1) if call.route.price.is_none() => Some(End::Free),
            // A paid body that broke off: the same payment buys the whole.
            Some(1) if told["cut_off"].is_string() => None,
            Some(3 | 6 | 7) => None,
            _ => Some(End::Odd),
        }
    }

    /// The purchase that was made for an address and can be sent again.
    async fn purchase_for(&self, url: &str) -> Result<Option<String>, Failure> {
        let told: Value = serde_json::from_slice(&self.must(&["history", "-n", "100", "--json"]).await?)?;
        let purchases = told["purchases"].as_array().cloned().unwrap_or_default();
        let found = purchases.iter().find(|purchase| purchase["url"] == url);
        Ok(found.and_then(|purchase| purchase["id"].as_str()).map(str::to_owned))
    }

    /// Asks the chain about everything that is open; returns how much still is.
    pub(crate) async fn reconcile(&self) -> Result<usize, Failure> {
        self.run(&["reconcile", "--json"]).await?;
        let told = self.must(&["history", "-n", "1000", "--unresolved", "--json"]).await?;
        let told: Value = serde_json::from_slice(&told)?;
        Ok(told["purchases"].as_array().map_or(0, Vec::len))
    }

    pub(crate) fn ledger_file(&self) -> PathBuf {
        self.home.join("ledger.db")
    }

    async fn must(&self, args: &[&str]) -> Result<Vec<u8>, Failure> {
        let done = self.run(args).await?;
        if done.status.success() {
            return Ok(done.stdout);
        }
        Err(format!("farthing {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr)).into())
    }

    async fn run(&self, args: &[&str]) -> Result<Output, Failure> {
        let command = Command::new(&self.farthing)
            .args(args)
            .env("FARTHING_HOME", &self.home)
            .env("FARTHING_PASSPHRASE", PASSPHRASE)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        Ok(command.await?)
    }
}
