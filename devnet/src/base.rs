use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U64, U256, address, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    Error, Receipt,
    abi::IUsdc,
    accounts::{self, OPERATOR},
    contracts::{self, Contract},
    process::Process,
    rpc::Rpc,
};

/// Base's chain id.
pub const BASE: u64 = 8453;

/// Base Sepolia's chain id.
pub const BASE_SEPOLIA: u64 = 84532;

/// Where Multicall3 is, on every chain.
pub const MULTICALL3: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");

/// How long a transaction may take to get into a block; block times are a few seconds at most.
const MINED_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a receipt is asked for: the chain is local and mines at once by default.
const RECEIPT_INTERVAL: Duration = Duration::from_millis(3);

/// The storage slots of Usdc.sol's first two variables.
const BALANCES_SLOT: U256 = U256::ZERO;
const TOTAL_SUPPLY_SLOT: U256 = U256::ONE;

/// How a local chain is to be; made by [`Base::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    chain_id: u64,
    port: u16,
    block_time_s: u64,
}

/// A local chain that plays Base or Base Sepolia. It stops when this handle is dropped.
///
/// Share it between tasks by reference or `Arc`; every method takes `&self`.
#[derive(Debug)]
pub struct Base {
    rpc: Rpc,
    chain_id: u64,
    usdc: Address,
    block_time_s: u64,
    /// The node chooses a nonce when it gets a transaction: two at once from one account would get the same.
    submitting: Mutex<()>,
    /// Last, so that it outlives whatever else talks to it.
    process: Process,
}

// === impl Builder ===

impl Builder {
    /// Which chain to play: [`BASE`] or [`BASE_SEPOLIA`] (the default).
    pub fn chain_id(mut self, chain_id: u64) -> Self {
        self.chain_id = chain_id;
        self
    }

    /// Where to listen, on 127.0.0.1. 0, the default, takes any free port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Mines a block every so many seconds, as Base does every 2. 0, the default, mines each transaction at once.
    pub fn block_time_s(mut self, block_time_s: u64) -> Self {
        self.block_time_s = block_time_s;
        self
    }

    /// Starts the chain; it is ready when this returns.
    ///
    /// # Errors
    /// For an unknown chain id, a taken port, or an anvil that doesn't start.
    pub async fn start(self) -> Result<Base, Error> {
        let usdc = usdc_of(self.chain_id)?;
        let process = Process::start(self.chain_id, self.port).await?;
        let base = Base {
            rpc: Rpc::new(process.port()),
            chain_id: self.chain_id,
            usdc,
            block_time_s: self.block_time_s,
            submitting: Mutex::new(()),
            process,
        };
        base.prepare().await?;
        Ok(base)
    }
}

fn usdc_of(chain_id: u64) -> Result<Address, Error> {
    match chain_id {
        BASE => Ok(address!("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913")),
        BASE_SEPOLIA => Ok(address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e")),
        other => Err(Error::UnknownChain(other)),
    }
}

// === impl Base: the chain itself ===

impl Base {
    /// A chain yet to be started: Base Sepolia on a free port that mines each transaction at once, unless told otherwise.
    pub fn builder() -> Builder {
        Builder { chain_id: BASE_SEPOLIA, port: 0, block_time_s: 0 }
    }

    /// Makes the chain ready: the right one answers, quietly, with the contracts in place.
    async fn prepare(&self) -> Result<(), Error> {
        let found: U64 = self.rpc.ask("eth_chainId", json!([])).await?;
        if found != U64::from(self.chain_id) {
            return Err(Error::WrongChain { expected: self.chain_id, found: found.to() });
        }
        // Its log of every call goes nowhere, but would cost time.
        self.command("anvil_setLoggingEnabled", json!([false])).await?;
        self.set_code(MULTICALL3, contracts::MULTICALL3.runtime).await?;
        self.set_code(self.usdc, contracts::USDC.runtime).await?;
        self.operate(IUsdc::initializeCall { operator: OPERATOR.address }).await?;
        self.start_mining().await
    }

    /// Where the chain answers JSON-RPC: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn rpc_url(&self) -> &str {
        self.rpc.url()
    }

    /// The chain's id.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The chain's name as CAIP-2 has it: `eip155:84532`.
    #[must_use]
    pub fn network(&self) -> String {
        format!("eip155:{}", self.chain_id)
    }

    /// Where USDC is: the same address as on the real chain.
    #[must_use]
    pub fn usdc(&self) -> Address {
        self.usdc
    }

    /// The process id of anvil itself.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Stops the chain; its process is gone when this returns. One that has already ended is fine too.
    pub async fn stop(self) {
        // Waiting for a process blocks its thread. The task only fails if the runtime is ending, and drops it then.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// Calls any JSON-RPC method, for what has no method here: `rpc("txpool_content", json!([]))`.
    ///
    /// # Errors
    /// If the chain doesn't answer, or answers with an error.
    pub async fn rpc(&self, method: &str, params: Value) -> Result<Value, Error> {
        self.rpc.ask(method, params).await
    }

    /// Calls a method whose result says nothing.
    async fn command(&self, method: &str, params: Value) -> Result<(), Error> {
        self.rpc(method, params).await.map(drop)
    }
}

// === impl Base: money ===

impl Base {
    /// Makes USDC for an account, in base units (1 USDC is 1,000,000), by a transaction of the operator that logs a
    /// Transfer. It waits for a block: while mining is stopped, use [`Base::set_balance`].
    ///
    /// # Errors
    /// If the token refuses (paused, account denied, amount zero) or the chain doesn't answer.
    pub async fn mint(&self, to: Address, base_units: u64) -> Result<Receipt, Error> {
        self.operate(IUsdc::mintCall { to, amount: U256::from(base_units) }).await
    }

    /// An account's USDC, in base units.
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn balance_of(&self, account: Address) -> Result<U256, Error> {
        self.call(self.usdc, IUsdc::balanceOfCall { account }).await
    }

    /// Sets an account's USDC at once, without a transaction or a log, whether blocks are mined or not.
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn set_balance(&self, account: Address, base_units: u64) -> Result<(), Error> {
        let (old, new) = (self.balance_of(account).await?, U256::from(base_units));
        let supply = self.call(self.usdc, IUsdc::totalSupplyCall {}).await?;
        self.set_storage(self.usdc, balance_slot(account), new).await?;
        self.set_storage(self.usdc, TOTAL_SUPPLY_SLOT, supply - old + new).await
    }

    /// An account's ETH, in wei.
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn eth_balance_of(&self, account: Address) -> Result<U256, Error> {
        self.rpc.ask("eth_getBalance", json!([account, "latest"])).await
    }

    /// Sets an account's ETH at once, in wei.
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn set_eth_balance(&self, account: Address, wei: U256) -> Result<(), Error> {
        self.command("anvil_setBalance", json!([account, wei])).await
    }

    /// Whether an authorization of EIP-3009 is used or cancelled.
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn authorization_state(&self, authorizer: Address, nonce: B256) -> Result<bool, Error> {
        self.call(self.usdc, IUsdc::authorizationStateCall { authorizer, nonce }).await
    }

    /// Pauses the token: every transfer fails with "Pausable: paused".
    ///
    /// # Errors
    /// If the chain doesn't answer, or mines no block.
    pub async fn pause(&self) -> Result<(), Error> {
        self.operate(IUsdc::pauseCall {}).await.map(drop)
    }

    /// Ends the pause.
    ///
    /// # Errors
    /// If the chain doesn't answer, or mines no block.
    pub async fn unpause(&self) -> Result<(), Error> {
        self.operate(IUsdc::unpauseCall {}).await.map(drop)
    }

    /// Puts an account on the token's deny list: it can neither send nor receive.
    ///
    /// # Errors
    /// If the chain doesn't answer, or mines no block.
    pub async fn blacklist(&self, account: Address) -> Result<(), Error> {
        self.operate(IUsdc::blacklistCall { account }).await.map(drop)
    }

    /// Takes an account off the token's deny list.
    ///
    /// # Errors
    /// If the chain doesn't answer, or mines no block.
    pub async fn unblacklist(&self, account: Address) -> Result<(), Error> {
        self.operate(IUsdc::unBlacklistCall { account }).await.map(drop)
    }

    /// Sends a call to the token from its operator.
    async fn operate<C: SolCall>(&self, call: C) -> Result<Receipt, Error> {
        self.send(OPERATOR.address, self.usdc, call).await
    }
}

fn balance_slot(account: Address) -> U256 {
    keccak256((account, BALANCES_SLOT).abi_encode()).into()
}

// === impl Base: calls, transactions, contracts ===

impl Base {
    /// Asks a contract, changing nothing.
    ///
    /// # Errors
    /// With [`Error::Rpc`] if the contract reverts; [`Error::revert_reason`] has its words.
    pub async fn call<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, Error> {
        self.call_from(Address::ZERO, to, call).await
    }

    /// Asks a contract as if from an account.
    ///
    /// # Errors
    /// With [`Error::Rpc`] if the contract reverts; [`Error::revert_reason`] has its words.
    pub async fn call_from<C: SolCall>(
        &self,
        from: Address,
        to: Address,
        call: C,
    ) -> Result<C::Return, Error> {
        let transaction = json!({ "from": from, "to": to, "data": Bytes::from(call.abi_encode()) });
        let answer: Bytes = self.rpc.ask("eth_call", json!([transaction, "latest"])).await?;
        C::abi_decode_returns(&answer).map_err(|error| Error::answer(C::SIGNATURE, error))
    }

    /// Sends a call to a contract and waits until it is mined. `from` may be any account, also a contract or one whose
    /// key nobody has; it needs ETH for the gas.
    ///
    /// # Errors
    /// If it would revert ([`Error::revert_reason`] has the contract's words), did revert, or isn't mined in 30 s.
    pub async fn send<C: SolCall>(&self, from: Address, to: Address, call: C) -> Result<Receipt, Error> {
        let hash = self.submit(from, Some(to), call.abi_encode().into()).await?;
        self.success(hash).await
    }

    /// Hands a transaction to the chain without waiting for a block; `to` is `None` for a deployment. To send one that
    /// reverts on the chain, name its gas with `rpc("eth_sendTransaction", …)`.
    ///
    /// # Errors
    /// If it would revert, or the chain doesn't answer.
    pub async fn submit(&self, from: Address, to: Option<Address>, data: Bytes) -> Result<B256, Error> {
        let _one_at_a_time = self.submitting.lock().await;
        let mut transaction = json!({ "from": from, "to": to, "data": data });
        // Without it, anvil takes a whole block's gas for each, so that two never share a block; and a refusal here
        // has the contract's own words. The pending block counts: a transaction may build on one that waits.
        let gas: U64 = self.rpc.ask("eth_estimateGas", json!([transaction, "pending"])).await?;
        transaction["gas"] = json!(gas + gas / U64::from(4));
        if accounts::ALL.iter().any(|account| account.address == from) {
            return self.rpc.ask("eth_sendTransaction", json!([transaction])).await;
        }
        self.command("anvil_impersonateAccount", json!([from])).await?;
        let hash = self.rpc.ask("eth_sendTransaction", json!([transaction])).await;
        self.command("anvil_stopImpersonatingAccount", json!([from])).await?;
        hash
    }

    /// A transaction's receipt, if it is in a block by now.
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn receipt(&self, hash: B256) -> Result<Option<Receipt>, Error> {
        self.rpc.ask("eth_getTransactionReceipt", json!([hash])).await
    }

    /// Waits, at most 30 s, until a transaction is in a block, whether it succeeded or reverted there.
    ///
    /// # Errors
    /// With [`Error::NotMined`] if it isn't by then.
    pub async fn wait_for(&self, hash: B256) -> Result<Receipt, Error> {
        let since = Instant::now();
        loop {
            if let Some(receipt) = self.receipt(hash).await? {
                return Ok(receipt);
            }
            if since.elapsed() > MINED_TIMEOUT {
                return Err(Error::NotMined { hash, waited: MINED_TIMEOUT });
            }
            tokio::time::sleep(RECEIPT_INTERVAL).await;
        }
    }

    async fn success(&self, hash: B256) -> Result<Receipt, Error> {
        let receipt = self.wait_for(hash).await?;
        if receipt.succeeded() { Ok(receipt) } else { Err(Error::Reverted { hash }) }
    }

    /// Deploys a contract from the operator; `arguments` are the constructor's, ABI-encoded:
    /// `(owner,).abi_encode_params()`, or nothing.
    ///
    /// # Errors
    /// If the constructor reverts, or the chain mines no block.
    pub async fn deploy(&self, contract: &Contract, arguments: &[u8]) -> Result<Address, Error> {
        let code = [contract.creation, arguments].concat();
        let hash = self.submit(OPERATOR.address, None, code.into()).await?;
        let receipt = self.success(hash).await?;
        receipt
            .contract_address
            .ok_or_else(|| Error::answer("eth_getTransactionReceipt", "no contractAddress"))
    }

    /// Puts code at an address at once, keeping its storage: a contract's `runtime`, or `0xef0100` and an address for
    /// an account that delegates by EIP-7702.
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn set_code(&self, at: Address, runtime: &[u8]) -> Result<(), Error> {
        self.command("anvil_setCode", json!([at, Bytes::copy_from_slice(runtime)])).await
    }

    async fn set_storage(&self, at: Address, slot: U256, value: U256) -> Result<(), Error> {
        self.command("anvil_setStorageAt", json!([at, slot, B256::from(value)])).await
    }

    /// Throws a waiting transaction away, as a real network may; tells whether it was still waiting.
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn drop_transaction(&self, hash: B256) -> Result<bool, Error> {
        let dropped: Option<B256> = self.rpc.ask("anvil_dropTransaction", json!([hash])).await?;
        Ok(dropped.is_some())
    }
}

// === impl Base: blocks and time ===

impl Base {
    /// Stops mining: transactions wait until [`Base::mine`] or [`Base::start_mining`].
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn stop_mining(&self) -> Result<(), Error> {
        self.command("evm_setIntervalMining", json!([0])).await?;
        self.command("evm_setAutomine", json!([false])).await
    }

    /// Mines again, in the way that the chain was started with.
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn start_mining(&self) -> Result<(), Error> {
        if self.block_time_s > 0 {
            return self.command("evm_setIntervalMining", json!([self.block_time_s])).await;
        }
        self.command("evm_setAutomine", json!([true])).await
    }

    /// Mines one block now, with what is waiting.
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn mine(&self) -> Result<(), Error> {
        self.command("evm_mine", json!([])).await
    }

    /// The number of the last block.
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn block_number(&self) -> Result<u64, Error> {
        let number: U64 = self.rpc.ask("eth_blockNumber", json!([])).await?;
        Ok(number.to())
    }

    /// The time of the last block, in seconds since 1970.
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn timestamp_s(&self) -> Result<u64, Error> {
        let block = self.rpc("eth_getBlockByNumber", json!(["latest", false])).await?;
        let timestamp: Result<U64, _> = serde_json::from_value(block["timestamp"].clone());
        timestamp
            .map(|timestamp| timestamp.to())
            .map_err(|error| Error::answer("eth_getBlockByNumber", error))
    }

    /// Sets the time of the next block, in seconds since 1970; it has to be later than the last block's.
    ///
    /// # Errors
    /// If it isn't, or the chain doesn't answer.
    pub async fn set_next_block_timestamp_s(&self, timestamp_s: u64) -> Result<(), Error> {
        self.command("evm_setNextBlockTimestamp", json!([timestamp_s])).await
    }

    /// Moves the chain's clock forward and mines a block, so that calls see the new time too.
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn increase_time_s(&self, seconds: u64) -> Result<(), Error> {
        self.command("evm_increaseTime", json!([seconds])).await?;
        self.mine().await
    }

    /// Remembers the whole state, for [`Base::revert`].
    ///
    /// # Errors
    /// If the chain doesn't answer.
    pub async fn snapshot(&self) -> Result<U256, Error> {
        self.rpc.ask("evm_snapshot", json!([])).await
    }

    /// Goes back to a snapshot, which is used up by that; blocks since then are gone, as in a reorganisation.
    ///
    /// # Errors
    /// If there is no such snapshot, or the chain doesn't answer.
    pub async fn revert(&self, snapshot: U256) -> Result<(), Error> {
        let done: bool = self.rpc.ask("evm_revert", json!([snapshot])).await?;
        if done { Ok(()) } else { Err(Error::answer("evm_revert", format!("no snapshot {snapshot}"))) }
    }
}
