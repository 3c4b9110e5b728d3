//! The seam between the guard and what decides.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use farthing_policy::json::Json;

use super::Client;

/// What decides about calls. Must answer at once: what has to wait for a database or a person comes back as
/// [`Decided::Later`].
pub trait Gate: Send + Sync + 'static {
    /// Decides about a call before the server sees it.
    fn call(&self, call: &Call<'_>, client: &Client) -> Decided;

    /// Whether a tool is taken out of `tools/list`. A call of it still comes to [`Self::call`].
    fn hides(&self, tool: &str) -> bool;

    /// Why a payment is refused that comes with anything but a call, such as `resources/read`; none lets it pass.
    fn stray_payment(&self) -> Option<String> {
        None
    }

    /// Whether the answer to the call with this ticket has to be parsed and told to [`Self::ended`]. If not, it passes as
    /// the bytes it came in, and the ticket has no end.
    fn reads(&self, _: &Ticket, _answer: &[u8]) -> bool {
        true
    }

    /// Whether an answer that can't be read strictly must not pass. Asked only for calls with a ticket.
    fn withholds(&self, _answer: &[u8]) -> bool {
        false
    }

    /// How a call ended that was allowed with a ticket; told once for each ticket. May change the answer: the whole
    /// JSON-RPC answer, with its id. None: the client gets it as it came. Only [`End::Answered`] has one to change.
    fn ended(&self, ticket: Ticket, end: End<'_>) -> Option<Json>;
}

/// A call of a tool, as the server would get it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The tool's name.
    pub tool: &'a str,
    /// The arguments: an object, empty if the client sent none.
    pub arguments: &'a Json,
    /// `_meta`, if the client sent it.
    pub meta: Option<&'a Json>,
}

/// What became of a call.
pub enum Decided {
    /// The server gets it. With a ticket, its end is told to [`Gate::ended`].
    Allow(Option<Ticket>),
    /// The client gets this answer, the server nothing.
    Deny(Refusal),
    /// To be awaited. It goes on when the client cancels meanwhile, and an [`Decided::Allow`] is then told as
    /// [`End::Failed`]. It is dropped without an end when the process leaves.
    Later(Pin<Box<dyn Future<Output = Self> + Send>>),
}

/// What the gate wants back when the call has ended.
pub struct Ticket(pub Box<dyn Any + Send>);

/// Why a call is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For the agent to read.
    pub text: String,
    /// For a program to read: `_meta["farthing/denial"]` of the result.
    pub structure: Option<Json>,
}

/// How a call ended.
#[derive(Debug)]
pub enum End<'a> {
    /// The server answered: the whole JSON-RPC answer, with `result` (see `isError` in it) or `error`.
    Answered(&'a Json),
    /// It is known not to have run: it was never sent, or the transport refused it.
    Failed,
    /// Nobody knows: the server died, gave no answer in time or one that can't be read, or the client cancelled.
    Lost,
}

impl std::fmt::Debug for Decided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Allow(ticket) => f.debug_tuple("Allow").field(&ticket.is_some()).finish(),
            Self::Deny(refusal) => f.debug_tuple("Deny").field(refusal).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket")
    }
}
