//! What the wallet's commands share: the folder, the configuration, and a wallet made from them when it is needed.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use farthing_ambient::{OsEntropy, SystemClock, causes};
use farthing_http::Reach;
use farthing_keystore::{Keys, Keystore, PASSPHRASE_VARIABLE, Passphrase, Unlock};
use farthing_ledger::Ledger;
use farthing_money::Network;
use farthing_policy::Policy;
use farthing_rail::{Payer, RailError};
use farthing_rail_evm::{ChainConfig, EvmPayer};
use farthing_wallet::{BodyStore, Client, ClientConfig, LocalWallet, LocalWalletConfig, Wallet, WalletError};
use url::Url;

use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::home::{self, Home};

/// One run of a wallet command.
pub(crate) struct Session {
    home: Home,
    config: Config,
    ledger: OnceLock<Ledger>,
}

impl Session {
    pub(crate) fn new(home: Home) -> Result<Self, Failure> {
        let config = Config::load(&home.config())?;
        Ok(Self { home, config, ledger: OnceLock::new() })
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.home.folder().join(Keystore::FILE_NAME)
    }

    /// The policy in force. A wallet without the file has the starter's small caps.
    pub(crate) fn policy(&self) -> Result<Policy, Failure> {
        policy_at(&self.home.policy())
    }

    /// The ledger, opened once.
    pub(crate) fn ledger(&self) -> Result<Ledger, Failure> {
        if let Some(ledger) = self.ledger.get() {
            return Ok(ledger.clone());
        }
        self.keystore()?;
        let ledger = open_ledger(&self.home.ledger())?;
        Ok(self.ledger.get_or_init(|| ledger).clone())
    }

    /// The wallet's address on every network that it may pay on.
    pub(crate) fn addresses(&self) -> Result<Vec<(Network, String)>, Failure> {
        let address = self.keystore()?.info().evm.to_checksum(None);
        Ok(self.config.networks().into_keys().map(|network| (network, address.clone())).collect())
    }

    /// The endpoints of a network.
    pub(crate) fn endpoints(&self, network: &Network) -> Result<Vec<Url>, Failure> {
        Ok(self.chain(network)?.endpoints)
    }

    /// The endpoints' hosts: the rest of an address may be a key.
    pub(crate) fn endpoint_names(&self, network: &Network) -> Result<Vec<String>, Failure> {
        let name = |url: &Url| match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or("?").to_owned(),
        };
        Ok(self.endpoints(network)?.iter().map(name).collect())
    }

    /// A wallet. Its key stays encrypted until the first signature.
    pub(crate) fn wallet(&self) -> Result<LocalWallet, Failure> {
        self.wallet_under(self.policy()?.into())
    }

    /// A wallet with a policy that may be replaced later.
    pub(crate) fn wallet_under(&self, policy: Arc<Policy>) -> Result<LocalWallet, Failure> {
        self.wallet_of(self.payer(self.keystore()?)?, policy)
    }

    /// A wallet of this payer's, under this policy.
    pub(crate) fn wallet_of(
        &self,
        payer: Arc<dyn Payer>,
        policy: Arc<Policy>,
    ) -> Result<LocalWallet, Failure> {
        Ok(LocalWallet::new(LocalWalletConfig {
            payers: vec![payer],
            registry: self.config.registry()?,
            policy,
            ledger: self.ledger()?,
            preference: self.config.prefer.clone(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        }))
    }

    /// A client that pays out of this wallet.
    pub(crate) fn client(&self, timeout_seconds: Option<u64>) -> Result<Client, Failure> {
        let timeout = timeout_seconds.map_or(self.config.timeout(), Duration::from_secs);
        let config = ClientConfig { timeout, ..self.client_config(Reach::anywhere()) };
        Ok(Client::new(Arc::new(self.wallet()?), config)?)
    }

    /// A client for what agents want to call: neither this machine nor the network around it, but for what config.yaml
    /// allows.
    pub(crate) fn agents_client(
        &self,
        wallet: Arc<dyn Wallet>,
        timeout_seconds: Option<u64>,
    ) -> Result<Client, Failure> {
        let timeout = timeout_seconds.map_or(self.config.timeout(), Duration::from_secs);
        Ok(Client::new(wallet, ClientConfig { timeout, ..self.client_config(self.agents_reach()) })?)
    }

    /// What agents may be led to.
    pub(crate) fn agents_reach(&self) -> Reach {
        Reach::public().and_hosts(self.config.private_hosts.iter().cloned())
    }

    /// Where bodies are kept.
    pub(crate) fn bodies(&self) -> BodyStore {
        BodyStore::new(self.home.folder(), self.config.max_body_bytes())
    }

    fn client_config(&self, reach: Reach) -> ClientConfig {
        ClientConfig {
            timeout: self.config.timeout(),
            bodies: self.bodies(),
            plain_http_hosts: self.config.plain_http_hosts.clone(),
            reach,
            ..ClientConfig::default()
        }
    }

    /// The wallet's keys, still locked.
    pub(crate) fn keystore(&self) -> Result<Keystore, Failure> {
        let folder = self.home.folder();
        if !self.key_file().exists() {
            return Err(Failure::new(Code::Locked, format!("there is no wallet in {}", folder.display()))
                .hint("`farthing init` makes one; FARTHING_HOME names another folder"));
        }
        Keystore::open(folder).map_err(|error| Failure::new(Code::Locked, causes(&error)))
    }

    /// Decrypts the keys with the passphrase that the environment or the configuration gives, or that somebody is asked for.
    pub(crate) fn unlock(&self, keystore: &Keystore) -> Result<Keys, Failure> {
        unlock(self.config.unlock.as_ref(), keystore).map_err(|error| WalletError::from(error).into())
    }

    /// The passphrase that the environment or the configuration gives, or that somebody is asked for.
    pub(crate) fn passphrase(&self, keystore: &Keystore) -> Result<Passphrase, Failure> {
        let given = passphrase(self.config.unlock.as_ref(), keystore);
        given.map_err(|error| WalletError::from(error).into())
    }

    /// Pays from these keys, which stay encrypted until the first signature.
    pub(crate) fn payer(&self, keystore: Keystore) -> Result<Arc<dyn Payer>, Failure> {
        let address = keystore.info().evm.to_checksum(None);
        let configured = self.config.unlock.clone();
        let unlock = move || Ok(*unlock(configured.as_ref(), &keystore)?.evm().secret_key());
        let payer =
            EvmPayer::locked(&address, Box::new(unlock), &self.chains()?, &(Arc::new(OsEntropy) as _));
        Ok(Arc::new(payer.map_err(|error| Failure::new(Code::Configuration, error))?))
    }

    /// Pays from these keys.
    pub(crate) fn unlocked_payer(&self, keys: &Keys) -> Result<Arc<dyn Payer>, Failure> {
        let secret = *keys.evm().secret_key();
        let payer = EvmPayer::new(secret, &self.chains()?, &(Arc::new(OsEntropy) as _));
        Ok(Arc::new(payer.map_err(|error| Failure::new(Code::Configuration, error))?))
    }

    fn chains(&self) -> Result<Vec<ChainConfig>, Failure> {
        self.config.networks().keys().map(|network| self.chain(network)).collect()
    }

    /// A network and how it is reached.
    pub(crate) fn chain(&self, network: &Network) -> Result<ChainConfig, Failure> {
        let networks = self.config.networks();
        let known = networks.get(network).map(|config| config.rpc.as_slice());
        let rpc = known.ok_or_else(|| {
            Failure::new(Code::Configuration, format!("the network {network} is not configured"))
                .hint("`networks` in config.yaml names the networks that may be paid on")
        })?;
        chain(network, rpc)
    }
}

/// The policy in this file; the starter's where there is none.
pub(crate) fn policy_at(path: &Path) -> Result<Policy, Failure> {
    let text = home::read_or(path, Policy::starter())?;
    Policy::parse(&text).map_err(|error| Failure::new(Code::Configuration, error.in_file(path.display())))
}

fn unlock(configured: Option<&Unlock>, keystore: &Keystore) -> Result<Keys, RailError> {
    let passphrase = passphrase(configured, keystore)?;
    keystore.unlock(&passphrase).map_err(|error| RailError::Locked(causes(&error)))
}

fn passphrase(configured: Option<&Unlock>, keystore: &Keystore) -> Result<Passphrase, RailError> {
    // Somebody may be asked now, on a line of its own.
    crate::output::clear_status();
    let environment = std::env::var_os(PASSPHRASE_VARIABLE);
    let passphrase = Unlock::passphrase(configured, keystore.info().evm, environment);
    passphrase.map_err(|error| RailError::Locked(causes(&error)))
}

/// A network at these endpoints; at its public ones where none is given.
pub(crate) fn chain(network: &Network, rpc: &[String]) -> Result<ChainConfig, Failure> {
    if rpc.is_empty() {
        return ChainConfig::public(network).ok_or_else(|| {
            Failure::new(
                Code::Configuration,
                format!("no public endpoint is known for {network}; name one under `rpc`"),
            )
        });
    }
    let endpoint = |text: &String| {
        let url = text.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        // The address may hold a key, so it is not repeated.
        url.ok_or_else(|| {
            Failure::new(Code::Configuration, format!("an `rpc` of {network} is no http or https address"))
        })
    };
    Ok(ChainConfig::new(network.clone(), rpc.iter().map(endpoint).collect::<Result<_, _>>()?))
}

/// Opens the ledger of this name in a private folder, and makes both where they are missing.
pub(crate) fn ledger_in(folder: &Path, name: &str) -> Result<Ledger, Failure> {
    farthing_keystore::private_folder(folder)
        .map_err(|error| Failure::new(Code::Configuration, causes(&error)))?;
    open_ledger(&folder.join(name))
}

/// Opens a ledger that is there already.
pub(crate) fn existing_ledger(path: &Path) -> Result<Ledger, Failure> {
    if !path.exists() {
        return Err(Failure::new(Code::Configuration, format!("there is no ledger at {}", path.display())));
    }
    open_ledger(path)
}

/// Opens a ledger that somebody names. What SQLite says of any other file is that it is damaged.
pub(crate) fn named_ledger(path: &Path) -> Result<Ledger, Failure> {
    const BEGINNING: &[u8] = b"SQLite format 3\0";
    let failed = |error| Failure::new(Code::Configuration, format!("{}: {error}", path.display()));
    let mut beginning = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(BEGINNING.len() as u64).read_to_end(&mut beginning).map_err(failed)?;
    if beginning != BEGINNING {
        return Err(Failure::new(Code::Configuration, format!("{} is no ledger", path.display())));
    }
    open_ledger(path)
}

/// Opens a ledger, in a folder that must be there.
pub(crate) fn open_ledger(path: &Path) -> Result<Ledger, Failure> {
    Ok(Ledger::open(path, Arc::new(SystemClock))?)
}
