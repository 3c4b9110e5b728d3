use std::time::Duration;

use farthing_http::Reach;
use farthing_money::Registry;

/// How far discovery goes.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which addresses may be asked.
    pub reach: Reach,
    /// The tokens whose worth is known.
    pub registry: Registry,
    /// How long one document or one route may take, redirects and body included.
    pub timeout: Duration,
    /// How many origins or indexes are asked at once.
    pub origins_at_once: usize,
    /// How many routes of one origin are asked at once.
    pub probes_at_once: usize,
    /// How many routes of one origin are asked for their live price, at most.
    pub max_probes: usize,
    /// Whether priced routes of other methods than GET and HEAD are asked too, without a body: for who has them under
    /// his care. Where a price is missing, such a request does what it does.
    pub all_methods: bool,
}

impl Default for Config {
    /// Anywhere, USDC, 10 seconds; 8 origins, 4 routes at once; 50 routes; GET and HEAD.
    fn default() -> Self {
        Self {
            reach: Reach::anywhere(),
            registry: Registry::builtin(),
            timeout: Duration::from_secs(10),
            origins_at_once: 8,
            probes_at_once: 4,
            max_probes: 50,
            all_methods: false,
        }
    }
}

/// Why nothing can be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The HTTP client cannot be set up.
    #[error("cannot speak HTTP: {0}")]
    Http(String),
}
