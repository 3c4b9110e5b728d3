//! A payment's checks that need the chain, in one batched round trip where nothing is wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{Revert, SolCall, SolError};
use farthing_protocol::x402::Reason;
use farthing_rail::{RailError, VerifyError};
use serde_json::json;
use tokio::time::Instant;

use super::payment::{Payment, Signature, invalid};
use super::revert::reason_of;
use crate::abi::{MULTICALL3, Multicall3, Token as Abi};
use crate::rpc::{Answer, Call, Rpc, printable};
use crate::token::{Token, returned, view};

/// How long an account that had no code is taken to have none. A plain account can get code by EIP-7702 at any time;
/// within this span only the simulation and the receipt see it.
const PLAIN_AGE: Duration = Duration::from_secs(30);

/// How long a token that was found in order is taken to be so.
const TOKEN_AGE: Duration = Duration::from_secs(600);

/// How many accounts are remembered.
const MAX_FACTS: usize = 10_000;

/// How a payment goes onto the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// From a plain account: cheap, predictable, shares a transaction with others.
    Plain,
    /// From a smart wallet, whose code runs: alone, so that it can harm nobody else.
    Wallet,
    /// From a wallet that is deployed first: alone.
    Deployment,
}

/// Gas limits and the allow list, from the configuration.
#[derive(Debug, Clone)]
pub(super) struct Caps {
    pub(super) plain_gas: u64,
    pub(super) wallet_gas: u64,
    pub(super) deployment_gas: u64,
    pub(super) max_fee_per_gas_wei: u128,
    pub(super) factories: Vec<Address>,
}

/// One network: its endpoints, its tokens, and what is known about both.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) rpc: Rpc,
    pub(super) tokens: Vec<Arc<Token>>,
    pub(super) caps: Caps,
    pub(super) log_range: u64,
    pub(super) block_time: Duration,
    /// How many blocks make a receipt final, at least 1.
    pub(super) confirmations: u64,
    /// Whom simulations are sent from.
    pub(super) sender: Address,
    pub(super) plain: Facts,
    pub(super) sound: Facts,
}

/// What was true of an address not long ago.
#[derive(Debug)]
pub(super) struct Facts {
    since: Mutex<HashMap<Address, Instant>>,
    age: Duration,
}

impl Facts {
    pub(super) fn plain_accounts() -> Self {
        Self { since: Mutex::default(), age: PLAIN_AGE }
    }

    pub(super) fn sound_tokens() -> Self {
        Self { since: Mutex::default(), age: TOKEN_AGE }
    }

    fn holds(&self, address: Address) -> bool {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.get(&address).is_some_and(|since| since.elapsed() < self.age)
    }

    fn note(&self, address: Address, holds: bool) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if !holds {
            since.remove(&address);
            return;
        }
        if since.len() >= MAX_FACTS {
            since.retain(|_, since| since.elapsed() < self.age);
        }
        if since.len() >= MAX_FACTS {
            since.clear();
        }
        since.insert(address, Instant::now());
    }
}

/// One round trip's questions; what is known is not asked.
struct Questions {
    calls: Vec<Call>,
    token: bool,
    code: bool,
    simulation: bool,
}

impl Chain {
    /// Whether the payment would settle now, and how.
    pub(super) async fn check(&self, payment: &mut Payment) -> Result<Route, VerifyError> {
        let plain = self.plain.holds(payment.authorization.from);
        if plain {
            self.admit_plain(payment)?;
        }
        let questions = self.questions(payment, plain);
        let mut answers = self.rpc.get_all(&questions.calls).await?.into_iter();
        if questions.token {
            self.read_token(&payment.token, answers.next(), answers.next())?;
        }
        let has_code = questions.code && self.read_code(payment, answers.next())?;
        if !has_code {
            self.admit_plain(payment)?;
        } else if let Signature::Undeployed { inner, .. } = &payment.signature {
            // Deployed by now: from here on it is a wallet like any other.
            payment.signature = Signature::Wallet(inner.clone());
            return Box::pin(self.check(payment)).await;
        }
        let route = route_of(payment, has_code);
        match answers.next().filter(|_| questions.simulation) {
            Some(answer) => self.read_simulation(payment, route, answer).await.map(|()| route),
            None => Err(VerifyError::Rail(self.rpc.nonsense("eth_call", "no answer"))),
        }
    }

    /// What an account without code can be admitted with: its own signature, or a deployment by an allowed factory.
    fn admit_plain(&self, payment: &Payment) -> Result<(), VerifyError> {
        let payer = Some(payment.authorization.from);
        match &payment.signature {
            Signature::Own(_) => Ok(()),
            Signature::Wallet(_) => Err(invalid(
                Reason::EVM_SIGNATURE,
                "the signature is not the payer's over these fields",
                payer,
            )),
            Signature::Undeployed { factory, .. } if self.caps.factories.contains(factory) => Ok(()),
            Signature::Undeployed { factory, .. } => {
                let message = format!("the factory {factory} is not allowed to deploy wallets here");
                Err(invalid(Reason::EIP6492_FACTORY_NOT_ALLOWED, message, payer))
            }
        }
    }

    fn questions(&self, payment: &Payment, plain: bool) -> Questions {
        let (token, code) = (!self.sound.holds(payment.token.address), !plain);
        let mut calls = Vec::with_capacity(4);
        if token {
            calls.push(code_call(payment.token.address));
            calls.push(view(payment.token.address, &Abi::DOMAIN_SEPARATORCall {}));
        }
        if code {
            calls.push(code_call(payment.authorization.from));
        }
        let simulation = self.simulation(payment, plain);
        let asked = simulation.is_some();
        calls.extend(simulation);
        Questions { calls, token, code, simulation: asked }
    }

    /// The call that tries it; `None` where a factory would be called that is not allowed.
    fn simulation(&self, payment: &Payment, plain: bool) -> Option<Call> {
        let (to, data, gas) = match &payment.signature {
            Signature::Own(_) if plain => {
                (payment.token.address, payment.transfer_call(), self.caps.plain_gas)
            }
            Signature::Own(_) | Signature::Wallet(_) => {
                (payment.token.address, payment.transfer_call(), self.caps.wallet_gas)
            }
            Signature::Undeployed { factory, .. } if self.caps.factories.contains(factory) => {
                (MULTICALL3, together(&parts(payment, true)), self.caps.deployment_gas)
            }
            Signature::Undeployed { .. } => return None,
        };
        let gas = U256::from(gas);
        Some(Call::new(
            "eth_call",
            json!([{ "from": self.sender, "to": to, "data": data, "gas": gas }, "latest"]),
        ))
    }

    fn read_token(
        &self,
        token: &Token,
        code: Option<Answer>,
        separator: Option<Answer>,
    ) -> Result<(), VerifyError> {
        let (Some(code), Some(separator)) = (code, separator) else {
            return Err(VerifyError::Rail(self.rpc.nonsense("eth_getCode", "no answer")));
        };
        let code: Bytes = self.rpc.read("eth_getCode", &code)?;
        if code.is_empty() {
            let message = format!("there is no contract at {} on {}", token.address, self.rpc.network);
            return Err(invalid(Reason::ASSET_NOT_DEPLOYED_CONTRACT, message, None));
        }
        // A token without this function is judged by the simulation alone.
        let found = self.rpc.read::<Bytes>("DOMAIN_SEPARATOR", &separator).ok();
        let found = found.and_then(|data| returned::<Abi::DOMAIN_SEPARATORCall>(&data));
        if found.is_some_and(|found| found != token.separator) {
            let message =
                format!("{} signs under another domain than the registry has for it", token.address);
            return Err(invalid(Reason::EVM_TOKEN_NAME_MISMATCH, message, None));
        }
        self.sound.note(token.address, true);
        Ok(())
    }

    fn read_code(&self, payment: &Payment, answer: Option<Answer>) -> Result<bool, RailError> {
        let answer = answer.ok_or_else(|| self.rpc.nonsense("eth_getCode", "no answer"))?;
        let code: Bytes = self.rpc.read("eth_getCode", &answer)?;
        self.plain.note(payment.authorization.from, code.is_empty());
        Ok(!code.is_empty())
    }

    async fn read_simulation(
        &self,
        payment: &Payment,
        route: Route,
        answer: Answer,
    ) -> Result<(), VerifyError> {
        match answer {
            Err(error) if error.is_execution() => Err(self.explain(payment, error.words()).await),
            Err(error) => Err(VerifyError::Rail(self.rpc.refused("eth_call", &error))),
            Ok(_) if route != Route::Deployment => Ok(()),
            Ok(raw) => {
                let data: Bytes = self.rpc.read("eth_call", &Ok(raw))?;
                self.read_deployment(payment, &data).await
            }
        }
    }

    /// What a simulated deployment with the transfer after it came to. Where the wallet is there already, the
    /// deployment may fail and the transfer succeed.
    async fn read_deployment(&self, payment: &Payment, data: &Bytes) -> Result<(), VerifyError> {
        let parts = returned::<Multicall3::aggregate3Call>(data).unwrap_or_default();
        match parts.as_slice() {
            [_, transfer] if transfer.success => Ok(()),
            [deployment, transfer] if deployment.success => {
                let words = Revert::abi_decode(&transfer.returnData).map(|revert| revert.reason);
                let words = words.unwrap_or_else(|_| "the deployed wallet or the token refuses".to_owned());
                Err(self.explain(payment, printable(&words)).await)
            }
            _ => {
                let (reason, payer) = (Reason::SMART_WALLET_DEPLOYMENT_FAILED, payment.authorization.from);
                Err(invalid(reason, "the payer's wallet cannot be deployed", Some(payer)))
            }
        }
    }

    /// Why a simulation failed: by the token's own words, or by asking about what usually is the matter.
    async fn explain(&self, payment: &Payment, words: String) -> VerifyError {
        let payer = Some(payment.authorization.from);
        if let Some(reason) = reason_of(&words) {
            return invalid(reason, words, payer);
        }
        let reason = self.diagnose(payment).await.unwrap_or(Reason::EVM_TRANSACTION_SIMULATION_FAILED);
        invalid(reason, words, payer)
    }

    /// What the reference asks for after a failed simulation, in its order.
    async fn diagnose(&self, payment: &Payment) -> Option<Reason> {
        let (token, payer) = (payment.token.address, payment.authorization.from);
        let state = Abi::authorizationStateCall { authorizer: payer, nonce: payment.authorization.nonce };
        let calls = [
            view(token, &state),
            view(token, &Abi::nameCall {}),
            view(token, &Abi::versionCall {}),
            view(token, &Abi::balanceOfCall { account: payer }),
        ];
        let answers = self.rpc.get_all(&calls).await.ok()?;
        let data: Vec<Option<Bytes>> =
            answers.iter().map(|answer| self.rpc.read("eth_call", answer).ok()).collect();
        let [state, name, version, balance] = data.as_slice() else { return None };
        match returned::<Abi::authorizationStateCall>(state.as_ref().unwrap_or(&Bytes::new())) {
            None => return Some(Reason::EVM_EIP3009_NOT_SUPPORTED),
            Some(true) => return Some(Reason::EVM_NONCE_ALREADY_USED),
            Some(false) => {}
        }
        let name = name.as_ref().and_then(returned::<Abi::nameCall>);
        if name.is_some_and(|name| name != payment.token.name) {
            return Some(Reason::EVM_TOKEN_NAME_MISMATCH);
        }
        let version = version.as_ref().and_then(returned::<Abi::versionCall>);
        if version.is_some_and(|version| version != payment.token.version) {
            return Some(Reason::EVM_TOKEN_VERSION_MISMATCH);
        }
        let balance = balance.as_ref().and_then(returned::<Abi::balanceOfCall>)?;
        (balance < payment.authorization.value).then_some(Reason::EVM_INSUFFICIENT_BALANCE)
    }
}

fn route_of(payment: &Payment, has_code: bool) -> Route {
    match (&payment.signature, has_code) {
        (Signature::Own(_), false) => Route::Plain,
        (Signature::Undeployed { .. }, _) => Route::Deployment,
        _ => Route::Wallet,
    }
}

fn code_call(address: Address) -> Call {
    Call::new("eth_getCode", json!([address, "latest"]))
}

/// The calls that settle a payment. `tolerant`: the transfer may fail without undoing the rest.
pub(super) fn parts(payment: &Payment, tolerant: bool) -> Vec<Multicall3::Call3> {
    let transfer = Multicall3::Call3 {
        target: payment.token.address,
        allowFailure: tolerant,
        callData: payment.transfer_call(),
    };
    match &payment.signature {
        Signature::Undeployed { factory, data, .. } => {
            // Somebody may deploy the wallet before us; the transfer then still works.
            let deploy = Multicall3::Call3 { target: *factory, allowFailure: true, callData: data.clone() };
            vec![deploy, transfer]
        }
        _ => vec![transfer],
    }
}

/// Several calls in one, by Multicall3.
pub(super) fn together(calls: &[Multicall3::Call3]) -> Bytes {
    Multicall3::aggregate3Call { calls: calls.to_vec() }.abi_encode().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn facts_grow_old_and_stay_few() {
        let facts = Facts::plain_accounts();
        facts.note(Address::ZERO, true);
        assert!(facts.holds(Address::ZERO));
        tokio::time::advance(PLAIN_AGE).await;
        assert!(!facts.holds(Address::ZERO));
        for number in 0..MAX_FACTS + 5 {
            facts.note(Address::from_word(U256::from(number).into()), true);
        }
        assert!(facts.since.lock().unwrap().len() <= MAX_FACTS);
        facts.note(Address::ZERO, true);
        facts.note(Address::ZERO, false);
        assert!(!facts.holds(Address::ZERO));
    }
}
