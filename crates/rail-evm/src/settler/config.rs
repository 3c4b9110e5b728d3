use std::time::Duration;

use alloy_primitives::Address;
use farthing_money::Registry;
use secp256k1::SecretKey;

use crate::ChainConfig;

/// How an [`crate::EvmSettler`] works. Every limit bounds what a hostile payer, payee or node can cost.
#[derive(Clone)]
pub struct SettlerConfig {
    /// The networks it settles on.
    pub chains: Vec<ChainConfig>,
    /// The keys that send transactions and pay their gas, each with a lane of its own on every network. No other
    /// program may send from these accounts.
    pub signers: Vec<SecretKey>,
    /// The tokens it settles in; all others are refused.
    pub assets: Registry,
    /// What one unit of gas may cost at most, in wei. Above it nothing is sent.
    pub max_fee_per_gas_wei: u128,
    /// The most gas for one payment of a plain account. A transfer of USDC takes 60,000 to 85,000.
    pub plain_gas_cap: u64,
    /// The most gas for one payment of a smart wallet, whose own signature check it pays for.
    pub wallet_gas_cap: u64,
    /// The most gas for one payment that deploys the payer's wallet first (ERC-6492).
    pub deployment_gas_cap: u64,
    /// Factories that may be called to deploy a payer's wallet (ERC-6492). Empty: no wallet is deployed.
    pub factories: Vec<Address>,
    /// How long [`farthing_rail::Settler::settle`] waits for the receipt before it answers
    /// [`farthing_rail::Settlement::Pending`].
    pub receipt_wait: Duration,
    /// How many transactions of one signer may be on their way at once.
    pub max_in_flight: usize,
    /// How many payments of plain accounts go into one transaction at most.
    pub batch_size: usize,
    /// While a transaction is on its way, how long a payment waits for others to share the next one. It has at least
    /// twice that time to be sent, however short [`Self::receipt_wait`] is.
    pub gather: Duration,
    /// How many payments may wait for one signer; more are refused as busy.
    pub max_waiting: usize,
    /// After this time without a receipt a transaction is replaced by one with higher fees.
    pub stuck_after: Duration,
    /// How many blocks a transaction must be in before its payments are settled, its own block included. The payer
    /// waits for them.
    pub confirmations: u64,
    /// How long a settled payment's transaction is watched for reorganisations, to be sent again if it leaves its
    /// block; zero: not at all.
    pub reorg_watch: Duration,
}

impl SettlerConfig {
    /// One signer with the tokens of [`Registry::builtin`] and limits made for Base: 2 gwei per gas at most, 150,000
    /// gas for a plain payment, 400,000 for a smart wallet's, 1,500,000 with its deployment (allowed for no factory),
    /// 30 s for a receipt, 16 transactions in flight, 50 payments in one, 1,000 waiting, replacement after 12 s, one
    /// confirmation, and a minute's watch for reorganisations.
    #[must_use]
    pub fn new(chains: Vec<ChainConfig>, signer: SecretKey) -> Self {
        Self {
            chains,
            signers: vec![signer],
            assets: Registry::builtin(),
            max_fee_per_gas_wei: 2_000_000_000,
            plain_gas_cap: 150_000,
            wallet_gas_cap: 400_000,
            deployment_gas_cap: 1_500_000,
            factories: Vec::new(),
            receipt_wait: Duration::from_secs(30),
            max_in_flight: 16,
            batch_size: 50,
            gather: Duration::from_millis(100),
            max_waiting: 1000,
            stuck_after: Duration::from_secs(12),
            confirmations: 1,
            reorg_watch: Duration::from_secs(60),
        }
    }
}

impl std::fmt::Debug for SettlerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SettlerConfig")
            .field("chains", &self.chains)
            .field("signers", &self.signers.len())
            .field("max_fee_per_gas_wei", &self.max_fee_per_gas_wei)
            .finish_non_exhaustive()
    }
}
