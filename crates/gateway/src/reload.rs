//! Prices that change while calls are served.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use sha2::{Digest, Sha256};

use crate::{Config, ConfigError, Notice, Pricing, UpstreamDocument};

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The prices in force. Reading them takes no lock; cloning gives another handle to the same prices.
#[derive(Debug, Clone)]
pub struct SharedPricing {
    prices: Arc<ArcSwap<Pricing>>,
    /// What the upstream says of its operations, as far as that is known.
    upstream: Arc<ArcSwapOption<UpstreamDocument>>,
}

impl SharedPricing {
    /// Shares these prices.
    #[must_use]
    pub fn new(pricing: Pricing) -> Self {
        Self { prices: Arc::new(ArcSwap::from_pointee(pricing)), upstream: Arc::default() }
    }

    /// Puts other prices in force. Calls that have begun end under the old ones.
    pub fn replace(&self, pricing: Pricing) {
        self.prices.store(Arc::new(pricing));
        // What is not told of the upstream has been said when its document came.
        drop(self.describe());
    }

    /// Merges the prices into this document of the API that is sold, now and whenever prices change. Gives what is not told
    /// of it now, if something is not.
    ///
    /// ```
    /// # use farthing_gateway::{Config, Pricing, SharedPricing, UpstreamDocument};
    /// # let config = Config::parse("gateway.yaml", r#"
    /// # public_url: https://api.example.com
    /// # pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
    /// # accepts: [base]
    /// # routes:
    /// #   - {match: "GET /weather/{city}", price: "$0.002"}
    /// # "#)?;
    /// let pricing = SharedPricing::new(Pricing::new(&config)?);
    /// // As utoipa, aide and others make it of an axum router.
    /// let own = br#"{"openapi": "3.1.0", "info": {"title": "Weather", "version": "2"},
    ///     "paths": {"/weather/{city}": {"get": {"summary": "The weather now"}}, "/admin": {"get": {}}}}"#;
    /// pricing.describe_with(UpstreamDocument::parse(own)?);
    ///
    /// let openapi = pricing.documents().ok_or("discovery is switched off")?.openapi.clone();
    /// let openapi: serde_json::Value = serde_json::from_slice(openapi.body())?;
    /// let weather = &openapi["paths"]["/weather/{city}"]["get"];
    /// assert_eq!(weather["summary"], "The weather now");
    /// assert_eq!(weather["x-payment-info"]["price"]["amount"], "0.002");
    /// assert!(openapi["paths"].get("/admin").is_none(), "it is not let through, and so not told");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn describe_with(&self, document: UpstreamDocument) -> Option<Notice> {
        self.upstream.store(Some(Arc::new(document)));
        self.describe()
    }

    /// The documents that tell buyers what the prices in force are for; none where they are switched off.
    #[must_use]
    pub fn documents(&self) -> Option<Arc<crate::Documents>> {
        self.prices.load().documents()
    }

    /// Each change is stored before this looks at both: of two at once, the later look sees what both have stored.
    fn describe(&self) -> Option<Notice> {
        let upstream = self.upstream.load();
        self.prices.load().describe_with(upstream.as_ref()?)
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Pricing>> {
        self.prices.load()
    }
}

impl From<Pricing> for SharedPricing {
    fn from(pricing: Pricing) -> Self {
        Self::new(pricing)
    }
}

/// Watches `gateway.yaml` and puts its prices in force when it changes.
///
/// It compares the file's text, so it notices renames, swapped symbolic links and mounted secrets, on every file
/// system. A file that cannot be used changes nothing: the old prices stay, and the log says what is wrong with it.
#[derive(Debug)]
pub struct Watcher {
    path: PathBuf,
    pricing: SharedPricing,
    /// What the last look found.
    seen: Option<[u8; 32]>,
    /// The keys that only a restart changes.
    started_with: Config,
}

impl Watcher {
    /// Watches the file that `config` was read from.
    #[must_use]
    pub fn new(path: &Path, config: Config, pricing: SharedPricing) -> Self {
        Self { path: path.to_owned(), pricing, seen: fingerprint(path), started_with: config }
    }

    /// Looks once; whether other prices are in force now.
    ///
    /// # Errors
    /// [`ConfigError`] when the file changed into one that cannot be used.
    pub fn look(&mut self) -> Result<bool, ConfigError> {
        let found = fingerprint(&self.path);
        if found == self.seen {
            return Ok(false);
        }
        self.seen = found;
        let config = Config::load(&self.path)?;
        self.pricing.replace(Pricing::new(&config)?);
        if !config.same_besides_prices(&self.started_with) {
            tracing::warn!(path = %self.path.display(), "keys besides the prices changed; they need a restart");
        }
        Ok(true)
    }

    /// Looks every second until it is dropped.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let looked = tokio::task::spawn_blocking(move || {
                let result = self.look();
                (self, result)
            });
            let Ok((watcher, result)) = looked.await else { return };
            self = watcher;
            match result {
                Ok(true) => tracing::info!(path = %self.path.display(), "new prices are in force"),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "the file cannot be used; the old prices stay in force")
                }
            }
        }
    }
}

/// The file's content; none while it is not there. Files are small, and its metadata lies more often.
fn fingerprint(path: &Path) -> Option<[u8; 32]> {
    std::fs::read(path).ok().map(|text| Sha256::digest(text).into())
}
