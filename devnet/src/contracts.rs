//! The devnet's contracts, compiled from `devnet/contracts` when the crate was built.

/// A compiled contract.
#[derive(Clone, Copy)]
pub struct Contract {
    /// Its name in the source.
    pub name: &'static str,
    /// Its ABI, as JSON.
    pub abi: &'static str,
    /// What deploys it: append the constructor's arguments (see [`Base::deploy`](crate::Base::deploy)).
    pub creation: &'static [u8],
    /// What stands on the chain once deployed, for [`Base::set_code`](crate::Base::set_code).
    pub runtime: &'static [u8],
}

impl std::fmt::Debug for Contract {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Contract({})", self.name)
    }
}

macro_rules! contract {
    ($name:literal) => {
        Contract {
            name: $name,
            abi: include_str!(concat!(env!("OUT_DIR"), "/", $name, ".abi.json")),
            creation: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".creation.bin")),
            runtime: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".runtime.bin")),
        }
    };
}

/// The stand-in for USDC. After deploying another one, `initialize(operator)` has to be called once.
pub const USDC: Contract = contract!("Usdc");

/// Many calls in one.
pub const MULTICALL3: Contract = contract!("Multicall3");

/// An ERC-1271 wallet of one owner; its constructor takes the owner's address.
pub const SMART_WALLET: Contract = contract!("SmartWallet");

/// Makes smart wallets at addresses known beforehand (CREATE2), for ERC-6492.
pub const SMART_WALLET_FACTORY: Contract = contract!("SmartWalletFactory");

/// Hostile: an ERC-1271 wallet whose check burns all gas that it is given. With a signature that starts with 0x01 it
/// approves in the end, otherwise it fails.
pub const GAS_BURNER_WALLET: Contract = contract!("GasBurnerWallet");

/// Hostile: a token that accepts every authorization, moves nothing and logs nothing.
pub const FAKE_USDC: Contract = contract!("FakeUsdc");
