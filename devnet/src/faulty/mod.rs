//! An RPC endpoint that fails, lies, stalls and reorders: a real HTTP server in front of a real chain.
//!
//! [`FaultyRpc`] passes everything on to its chain until a [`Rule`] says otherwise. Rules are added and taken away
//! while programs are connected, so that a test can break the endpoint half way and heal it again.
//!
//! ```no_run
//! use farthing_devnet::{Base, faulty::{Fault, FaultyRpc, Rule}};
//!
//! # async fn example() -> Result<(), farthing_devnet::Error> {
//! let chain = Base::builder().start().await?;
//! let rpc = FaultyRpc::before(chain.rpc_url()).await?;
//! rpc.add(Rule::on("eth_sendRawTransaction", Fault::ResetAfter).times(1));
//! println!("give {} to the program under test", rpc.url());
//! rpc.heal();
//! # Ok(())
//! # }
//! ```

mod answers;
mod http;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{Error, rpc::Rpc};

/// Turns a call and its true result into what is answered.
type Liar = Arc<dyn Fn(&Value, Value) -> Value + Send + Sync>;

/// What an endpoint does wrong.
#[derive(Clone)]
pub enum Fault {
    /// Takes the request and stays silent; the chain hears nothing of it.
    Hang,
    /// Passes the request on and stays silent.
    HangAfter,
    /// Resets the connection; the chain hears nothing of it.
    ResetBefore,
    /// Passes the request on and resets the connection.
    ResetAfter,
    /// Answers this late.
    Slow(Duration),
    /// Answers with this HTTP status and body, and with `Retry-After` in seconds.
    Http {
        /// The status.
        status: u16,
        /// The header's value.
        retry_after_s: Option<u64>,
        /// The body.
        body: &'static str,
    },
    /// Answers the calls that the rule is for with this error object; the chain hears nothing of them.
    Error(Value),
    /// Answers the whole request, also a batch, with this one error object.
    OneError(Value),
    /// Cuts the answer in half, and calls that half the whole.
    Truncated,
    /// Announces the whole answer, sends half of it and resets the connection.
    Broken,
    /// Fills the answer up with white space to so many bytes.
    Oversized(usize),
    /// Answers a batch in the opposite order.
    Reversed,
    /// Leaves out the last answer of a batch.
    Partial,
    /// Answers under the ids of other calls.
    WrongIds,
    /// Answers the calls that the rule is for with something else than the chain's result.
    Lie(Liar),
    /// Is behind its chain by so many blocks, but passes transactions on.
    Behind(u64),
}

impl Fault {
    /// A [`Fault::Lie`]: `lie` gets the call and the chain's result.
    pub fn lie(lie: impl Fn(&Value, Value) -> Value + Send + Sync + 'static) -> Self {
        Self::Lie(Arc::new(lie))
    }

    /// A JSON-RPC error.
    #[must_use]
    pub fn error(code: i64, message: &str) -> Self {
        Self::Error(serde_json::json!({ "code": code, "message": message }))
    }

    /// An HTTP status with a page for people, as proxies in front of nodes answer.
    #[must_use]
    pub fn page(status: u16) -> Self {
        let body = "<html><head><title>Sorry</title></head><body>try again later</body></html>";
        Self::Http { status, retry_after_s: None, body }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) | Self::OneError(error) => write!(f, "Error({error})"),
            Self::Http { status, .. } => write!(f, "Http({status})"),
            Self::Slow(late) => write!(f, "Slow({late:?})"),
            Self::Oversized(bytes) => write!(f, "Oversized({bytes})"),
            Self::Behind(blocks) => write!(f, "Behind({blocks})"),
            Self::Hang => f.write_str("Hang"),
            Self::HangAfter => f.write_str("HangAfter"),
            Self::ResetBefore => f.write_str("ResetBefore"),
            Self::ResetAfter => f.write_str("ResetAfter"),
            Self::Truncated => f.write_str("Truncated"),
            Self::Broken => f.write_str("Broken"),
            Self::Reversed => f.write_str("Reversed"),
            Self::Partial => f.write_str("Partial"),
            Self::WrongIds => f.write_str("WrongIds"),
            Self::Lie(_) => f.write_str("Lie(..)"),
        }
    }
}

/// When an endpoint does what wrong.
#[derive(Debug, Clone)]
#[must_use]
pub struct Rule {
    method: Option<&'static str>,
    left: Option<usize>,
    fault: Fault,
}

impl Rule {
    /// With every request that has a call of this method in it.
    pub fn on(method: &'static str, fault: Fault) -> Self {
        Self { method: Some(method), left: None, fault }
    }

    /// With every request.
    pub fn always(fault: Fault) -> Self {
        Self { method: None, left: None, fault }
    }

    /// With the first so many of those requests only.
    pub fn times(mut self, times: usize) -> Self {
        self.left = Some(times);
        self
    }

    fn is_for(&self, call: &Value) -> bool {
        self.method.is_none_or(|method| call["method"] == method)
    }

    /// Whether it is for this request; if so, one of its times is used up.
    fn strikes(&mut self, calls: &[Value]) -> bool {
        let strikes = self.left != Some(0) && calls.iter().any(|call| self.is_for(call));
        if let (true, Some(left)) = (strikes, self.left.as_mut()) {
            *left -= 1;
        }
        strikes
    }
}

/// An endpoint in front of a chain. It stops when it is dropped.
#[derive(Debug)]
pub struct FaultyRpc {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

/// What the endpoint's handle and its connections share.
#[derive(Debug)]
struct Shared {
    chain: Rpc,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Value>>,
}

impl FaultyRpc {
    /// Starts a faultless endpoint in front of the chain at `url`, on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn before(url: &str) -> Result<Self, Error> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(Error::Listen)?;
        let address = listener.local_addr().map_err(Error::Listen)?;
        let shared = Arc::new(Shared {
            chain: Rpc::at(url.to_owned()),
            rules: Mutex::default(),
            seen: Mutex::default(),
        });
        let server = tokio::spawn(http::serve(listener, shared.clone()));
        Ok(Self { shared, address, server })
    }

    /// Where it listens. The path looks like a provider's key, which no program may show.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v2/SECRETKEY", self.address)
    }

    /// Adds a fault. The first rule that strikes decides.
    pub fn add(&self, rule: Rule) {
        self.shared.rules().push(rule);
    }

    /// Takes all rules away.
    pub fn heal(&self) {
        self.shared.rules().clear();
    }

    /// Every call of a method that has reached the endpoint, whatever became of it.
    #[must_use]
    pub fn calls(&self, method: &str) -> Vec<Value> {
        self.shared.seen().iter().filter(|call| call["method"] == method).cloned().collect()
    }

    /// How many calls have reached it.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.seen().len()
    }
}

impl Drop for FaultyRpc {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Value>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rule that strikes this request.
    fn strike(&self, calls: &[Value]) -> Option<Rule> {
        self.rules().iter_mut().find_map(|rule| rule.strikes(calls).then(|| rule.clone()))
    }
}
