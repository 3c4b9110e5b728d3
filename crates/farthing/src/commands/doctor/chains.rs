//! The chains: whether every endpoint answers, is of that chain, and is up to date; and this machine's clock against theirs.

use std::sync::Arc;
use std::time::Duration;

use farthing_ambient::{Clock as _, Entropy, OsEntropy, SystemClock, Timestamp, is_this_machine};
use farthing_money::Network;
use farthing_rail::RailError;
use farthing_rail_evm::{ChainConfig, EndpointReport, probe};
use futures::future::join_all;
use url::Url;

use super::{Check, Health};
use crate::exit::Code;
use crate::output::printable;
use crate::session::Session;

/// How long an endpoint is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// How old the latest block of a chain may be that makes one every few seconds, in seconds.
const OLD: i64 = 60;
/// How far the clock may be off before it is worth a word, and before signatures may be over when they arrive.
const OFF: i64 = 5;
const FAR_OFF: i64 = 60;

pub(super) async fn look(session: &Session) -> Vec<Check> {
    let networks: Vec<_> = session.config().networks().into_keys().collect();
    let configured = networks.iter().filter_map(|network| session.chain(network).ok());
    let configured: Vec<_> =
        configured.map(|chain| ChainConfig { request_timeout: PATIENCE, ..chain }).collect();
    let (looked, dates) = futures::join!(
        join_all(configured.iter().map(one)),
        join_all(configured.iter().flat_map(|chain| &chain.endpoints).map(date)),
    );
    let (checks, blocks): (Vec<_>, Vec<_>) = looked.into_iter().unzip();
    let ahead = dates.into_iter().chain(blocks.into_iter().flatten()).flatten().collect();
    checks.into_iter().flatten().chain([clock(ahead)]).collect()
}

/// One network's endpoints, and how far each block's time is before ours. The network fails when no endpoint is of use.
async fn one(config: &ChainConfig) -> (Vec<Check>, Vec<Option<i64>>) {
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let reports = match probe(config, &entropy).await {
        Ok(reports) => reports,
        Err(error) => {
            let hint = "see `networks` in config.yaml";
            return (vec![Check::fail("chain", Code::Configuration, error.to_string(), hint)], Vec::new());
        }
    };
    let now = SystemClock.now();
    let mut checks: Vec<_> = reports
        .iter()
        .zip(&config.endpoints)
        .map(|(report, url)| endpoint(&config.network, report, is_this_machine(url), now))
        .collect();
    // One that answers is enough: the others are asked when it does not.
    let any = checks.iter().any(|check| check.health == Health::Ok);
    for check in checks.iter_mut().filter(|check| any && check.health == Health::Fail) {
        check.health = Health::Warn;
    }
    (
        checks,
        reports.iter().zip(&config.endpoints).map(|(report, url)| before_ours(report, url, now)).collect(),
    )
}

/// How many seconds a chain's latest block is before our clock. A development chain's clock is its own.
fn before_ours(report: &EndpointReport, url: &Url, now: Timestamp) -> Option<i64> {
    let latest = report.latest.as_ref().ok().filter(|_| !is_this_machine(url))?;
    Some(latest.at.as_second().saturating_sub(now.as_second()))
}

fn endpoint(network: &Network, report: &EndpointReport, is_local: bool, now: Timestamp) -> Check {
    let at = format!("{} at {}", network.display_name(), printable(&report.host));
    let latest = match &report.latest {
        Ok(latest) => latest,
        Err(error) => {
            let why = match error {
                RailError::Unavailable { why, .. } => why.clone(),
                error => error.to_string(),
            };
            let what = format!("{at}: {}", printable(&why));
            return Check::fail(
                "chain",
                Code::Unreachable,
                what,
                "name another endpoint under `networks` in config.yaml",
            );
        }
    };
    let age = now.as_second().saturating_sub(latest.at.as_second());
    // A development chain makes a block when there is something to put into it.
    if age > OLD && !is_local {
        let what = format!("{at}: its latest block, {}, is {age} s old", latest.number);
        return Check::fail(
            "chain",
            Code::Unreachable,
            what,
            "the endpoint lags behind, or the clock is wrong",
        );
    }
    Check::ok("chain", format!("{at}: block {}, {} ms", latest.number, report.took.as_millis()))
}

/// How many seconds an https server's clock is before ours, by what its answers say of the date.
async fn date(endpoint: &Url) -> Option<i64> {
    if endpoint.scheme() != "https" {
        return None;
    }
    let client = farthing_http::caller().ok()?.timeout(PATIENCE).build().ok()?;
    let answer = client.head(endpoint.clone()).send().await.ok()?;
    let date = answer.headers().get(http::header::DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(theirs.as_second().saturating_sub(SystemClock.now().as_second()))
}

/// The clock, against the middle one of the others', each so many seconds ahead of it.
fn clock(mut ahead: Vec<i64>) -> Check {
    ahead.sort_unstable();
    let Some(off) = ahead.get(ahead.len() / 2).copied() else {
        return Check::ok("clock", "not compared: no endpoint elsewhere tells the time");
    };
    let hint = "set it, or turn on NTP: payments expire by the clock";
    let what = format!("{} s {}", off.abs(), if off > 0 { "behind" } else { "ahead" });
    match off.abs() {
        0..=OFF => Check::ok("clock", "right, as far as servers' clocks tell"),
        d if d <= FAR_OFF => Check::warn("clock", what, hint),
        _ => Check::fail("clock", Code::Unexpected, what, hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_rail_evm::LatestBlock;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn health(age: i64, is_local: bool) -> Health {
        let latest = Ok(LatestBlock { number: 7, at: at(1_000 - age) });
        let report = EndpointReport { host: "rpc.example".to_owned(), took: Duration::ZERO, latest };
        endpoint(&Network::BASE, &report, is_local, at(1_000)).health
    }

    #[test]
    fn a_chain_that_stands_still_is_not_well() {
        assert_eq!(
            (health(2, false), health(600, false), health(600, true)),
            (Health::Ok, Health::Fail, Health::Ok)
        );
        let why = "silent\u{1b}[31m".to_owned();
        let latest = Err(RailError::Unavailable { network: Network::BASE, why });
        let report = EndpointReport { host: "rpc.example".to_owned(), took: Duration::ZERO, latest };
        let check = endpoint(&Network::BASE, &report, false, at(1_000));
        assert!(check.health == Health::Fail && !check.message.contains('\u{1b}'));
    }

    #[test]
    fn one_wrong_clock_among_others_decides_nothing() {
        for (ahead, health) in [
            (vec![0, 1, 9_999], Health::Ok),
            (vec![-20, -19, 0], Health::Warn),
            (vec![120], Health::Fail),
            (vec![], Health::Ok),
        ] {
            assert_eq!(clock(ahead.clone()).health, health, "{ahead:?}");
        }
    }
}
