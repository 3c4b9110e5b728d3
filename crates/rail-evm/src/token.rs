//! What is asked of a token: its calls, and what its events in a receipt prove.

use alloy_primitives::{Address, B256, Bytes, U64};
use alloy_sol_types::{SolCall, SolEvent};
use farthing_money::{Asset, Network};
use farthing_rail::RailError;
use serde::Deserialize;
use serde_json::json;

use crate::abi::{MULTICALL3, Multicall3, Token as Abi};
use crate::eip3009::{Authorization, domain_separator};
use crate::hexes::bytes_of;
use crate::rpc::Call;

/// A token that takes EIP-3009's authorizations, from the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) address: Address,
    pub(crate) name: String,
    pub(crate) version: String,
    /// The EIP-712 domain separator, computed once.
    pub(crate) separator: B256,
}

impl Token {
    /// The token behind an asset; `None` where the asset cannot be paid by EIP-3009.
    pub(crate) fn of(asset: &Asset) -> Option<Self> {
        let domain = asset.eip712.as_ref()?;
        let address = Address::from(bytes_of::<20>(&asset.address)?);
        let separator =
            domain_separator(&domain.name, &domain.version, asset.network.evm_chain_id()?, address);
        Some(Self { address, name: domain.name.clone(), version: domain.version.clone(), separator })
    }

    /// As [`Self::of`], with an error that says what is missing.
    pub(crate) fn required(asset: &Asset) -> Result<Self, RailError> {
        Self::of(asset).ok_or_else(|| {
            RailError::Unpayable(format!(
                "{} on {} has no EIP-712 domain in the registry of assets, so it cannot be paid by EIP-3009",
                asset.symbol, asset.network
            ))
        })
    }
}

/// `eth_call` of a contract at the latest block.
pub(crate) fn view<C: SolCall>(to: Address, call: &C) -> Call {
    view_at(to, call, None)
}

/// `eth_call` of a contract at this block; `None`: at the latest one.
fn view_at<C: SolCall>(to: Address, call: &C, block: Option<u64>) -> Call {
    let block = block.map_or_else(|| json!("latest"), |number| json!(U64::from(number)));
    Call::new("eth_call", json!([{ "to": to, "data": Bytes::from(call.abi_encode()) }, block]))
}

/// What [`view`] answered.
pub(crate) fn returned<C: SolCall>(data: &Bytes) -> Option<C::Return> {
    C::abi_decode_returns(data).ok()
}

/// Asks in one `eth_call`, so that both are of the same block: the block's time and whether the nonce is used. `block`
/// as in [`view_at`].
pub(crate) fn state_call(token: Address, from: Address, nonce: B256, block: Option<u64>) -> Call {
    let part = |target: Address, data: Vec<u8>| Multicall3::Call3 {
        target,
        allowFailure: false,
        callData: data.into(),
    };
    let time = part(MULTICALL3, Multicall3::getCurrentBlockTimestampCall {}.abi_encode());
    let state = part(token, Abi::authorizationStateCall { authorizer: from, nonce }.abi_encode());
    view_at(MULTICALL3, &Multicall3::aggregate3Call { calls: vec![time, state] }, block)
}

/// What [`state_call`] answered: the block's time in Unix seconds, and whether the nonce is used.
pub(crate) fn read_state(data: &Bytes) -> Option<(u64, bool)> {
    let results = returned::<Multicall3::aggregate3Call>(data)?;
    let [time, state] = results.as_slice() else { return None };
    let time = returned::<Multicall3::getCurrentBlockTimestampCall>(&time.returnData)?;
    let used = returned::<Abi::authorizationStateCall>(&state.returnData)?;
    Some((u64::try_from(time).ok()?, used))
}

/// A transaction's receipt, as far as it is of interest.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    pub(crate) transaction_hash: B256,
    #[serde(default)]
    pub(crate) block_hash: Option<B256>,
    #[serde(default)]
    block_number: Option<U64>,
    status: U64,
    #[serde(default)]
    logs: Vec<Log>,
}

/// An entry of the logs.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Log {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    #[serde(default)]
    pub(crate) transaction_hash: Option<B256>,
}

impl Log {
    /// Whether the token said here that it accepted (not cancelled) an authorization.
    pub(crate) fn is_use(&self) -> bool {
        self.topics.first() == Some(&Abi::AuthorizationUsed::SIGNATURE_HASH)
    }
}

/// What a receipt proves about a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The nonce was used and exactly that amount moved.
    Paid,
    /// The nonce was used, but not that amount moved to that payee.
    Mismatch,
    /// The nonce was not used in it.
    Nothing,
}

impl Receipt {
    pub(crate) fn succeeded(&self) -> bool {
        self.status == U64::from(1)
    }

    /// The number of the block that it is in; a node may leave it out.
    pub(crate) fn block(&self) -> Option<u64> {
        self.block_number.map(|block| block.to())
    }

    /// How many blocks there are from its own to `head`, both counted.
    pub(crate) fn depth(&self, head: u64) -> u64 {
        self.block().map_or(0, |block| (head + 1).saturating_sub(block))
    }

    /// What it proves about a payment in this token.
    pub(crate) fn effect(&self, token: Address, payment: &Authorization) -> Effect {
        let moved = self.events::<Abi::Transfer>(token).any(|transfer| {
            transfer.from == payment.from && transfer.to == payment.to && transfer.value == payment.value
        });
        let used = self
            .events::<Abi::AuthorizationUsed>(token)
            .any(|event| event.authorizer == payment.from && event.nonce == payment.nonce);
        match (self.succeeded() && used, moved) {
            (true, true) => Effect::Paid,
            (true, false) => Effect::Mismatch,
            (false, _) => Effect::Nothing,
        }
    }

    /// Whether anything of this payer moved in this token.
    pub(crate) fn moved_from(&self, token: Address, from: Address) -> bool {
        self.succeeded() && self.events::<Abi::Transfer>(token).any(|transfer| transfer.from == from)
    }

    fn events<E: SolEvent>(&self, token: Address) -> impl Iterator<Item = E> {
        let logs = self.logs.iter().filter(move |log| log.address == token);
        logs.filter_map(|log| E::decode_raw_log(log.topics.iter().copied(), &log.data).ok())
    }
}

/// Addresses of a network's tokens as the registry has them.
pub(crate) fn tokens_of<'a>(
    assets: impl Iterator<Item = &'a std::sync::Arc<Asset>>,
    network: &Network,
) -> Vec<Token> {
    assets.filter(|asset| asset.network == *network).filter_map(|asset| Token::of(asset)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{U256, address};

    const TOKEN: Address = address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e");

    fn payment() -> Authorization {
        Authorization {
            from: Address::repeat_byte(1),
            to: Address::repeat_byte(2),
            value: U256::from(2500),
            valid_after: U256::ZERO,
            valid_before: U256::from(9),
            nonce: B256::repeat_byte(3),
        }
    }

    fn log<E: SolEvent>(address: Address, event: &E) -> Log {
        let data = event.encode_log_data();
        Log { address, topics: data.topics().to_vec(), data: data.data.clone(), transaction_hash: None }
    }

    fn used() -> Abi::AuthorizationUsed {
        Abi::AuthorizationUsed { authorizer: payment().from, nonce: payment().nonce }
    }

    fn transfer(to: u8, value: u64) -> Abi::Transfer {
        Abi::Transfer { from: payment().from, to: Address::repeat_byte(to), value: U256::from(value) }
    }

    fn effect(status: u64, logs: Vec<Log>) -> Effect {
        let (transaction_hash, status) = (B256::ZERO, U64::from(status));
        let receipt = Receipt { transaction_hash, block_hash: None, block_number: None, status, logs };
        receipt.effect(TOKEN, &payment())
    }

    #[test]
    fn only_the_tokens_own_events_prove_a_payment() {
        let other = Address::repeat_byte(9);
        assert_eq!(effect(1, vec![log(TOKEN, &used()), log(TOKEN, &transfer(2, 2500))]), Effect::Paid);
        assert_eq!(effect(0, vec![log(TOKEN, &used()), log(TOKEN, &transfer(2, 2500))]), Effect::Nothing);
        assert_eq!(effect(1, vec![log(other, &used()), log(other, &transfer(2, 2500))]), Effect::Nothing);
        assert_eq!(
            effect(1, vec![log(TOKEN, &transfer(2, 2500))]),
            Effect::Nothing,
            "somebody else's transfer"
        );
        assert_eq!(effect(1, vec![log(TOKEN, &used()), log(other, &transfer(2, 2500))]), Effect::Mismatch);
        assert_eq!(effect(1, vec![log(TOKEN, &used()), log(TOKEN, &transfer(2, 2499))]), Effect::Mismatch);
        assert_eq!(effect(1, vec![log(TOKEN, &used()), log(TOKEN, &transfer(4, 2500))]), Effect::Mismatch);
    }

    #[test]
    fn builtin_tokens_have_the_reference_separators() {
        let registry = farthing_money::Registry::builtin();
        let token = Token::of(registry.usdc(&Network::BASE).unwrap()).unwrap();
        // tests/golden/exact_evm.json
        let golden = "0x02fa7265e7c5d81118673727957699e4d68f74cd74b7db77da710fe8a2c7834f";
        assert_eq!(token.separator.to_string(), golden);
    }
}
