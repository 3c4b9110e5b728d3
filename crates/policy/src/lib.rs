//! What may be paid, and which tools may be called.
//!
//! What this crate is for: a person writes down in YAML what an agent may spend, on what, and how fast. The wallet
//! asks [`Policy::check`] about the exact terms of each payment before it signs. What can be decided from the terms
//! alone is decided there; budgets and rates depend on what was spent, so they come back as [`Limit`]s which the
//! ledger reserves against, in one transaction, asking [`Limit::admit`].
//!
//! What it promises: no I/O, no clock, the same answer for the same text and terms. Money is exact. A text is either
//! understood completely or refused with line and column; nothing in it is ignored. Every denial names its rule. A
//! caller's own cap can tighten a policy and never loosen it.
//!
//! ```
//! use farthing_money::{BaseUnits, Network, Registry};
//! use farthing_policy::{DenialCode, Policy, Terms};
//!
//! let policy = Policy::parse(r#"
//! version: 1
//! payments:
//!   max: "$0.10"
//!   budgets:
//!     - {name: hour, max: "$1.00", per: "60 minutes"}
//!   hosts: {allow: ["*.example.com"]}
//! "#)?;
//! let registry = Registry::builtin();
//! let asset = registry.usdc(&Network::BASE).unwrap();
//! let payee = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
//! let terms = Terms {
//!     host: "api.example.com", payee, asset, amount: BaseUnits::new(2500),
//!     method: "GET", resource: "https://api.example.com/weather",
//!     body: None, agent: None, session: None, tool: None, advertised: None, now: "2026-01-31T12:00:00Z".parse().unwrap(),
//! };
//!
//! let clearance = policy.check(&terms).unwrap();
//! assert_eq!(clearance.value.to_string(), "$0.0025");
//! assert_eq!(clearance.limits[0].rule, "hour");
//!
//! let denial = policy.check(&Terms { amount: BaseUnits::new(100_001), ..terms }).unwrap_err();
//! assert_eq!((denial.code, denial.rule.as_str()), (DenialCode::AboveMaximum, "payments.max"));
//!
//! let error = Policy::parse("version: 1\npayments:\n  max: 0.10\n").unwrap_err();
//! assert_eq!(error.in_file("policy.yaml"), "policy.yaml:3:8: write the amount in quotes: \"$0.10\"");
//! # Ok::<(), farthing_policy::PolicyError>(())
//! ```
//!
//! # The language
//! ```
//! # let text = r##"
//! version: 1
//! payments:
//!   min: "$0.0001"      # the least per payment; may be left out
//!   max: "$2.00"        # the most per payment; `max: none` to have none
//!   budgets:            # the most that payments may add up to
//!     - {name: day, max: "$5.00", per: day}                  # by the calendar, in UTC
//!     - {name: rolling-hour, max: "$3.00", per: 60 minutes}  # whenever it began
//!     - {name: ever, max: "$100.00", per: lifetime}
//!     - {name: task, max: "$2.50", per: session}             # as long as the agent's session
//!     - {name: per-host, max: "$2.00", per: day, each: host} # counted for each host
//!     - {name: tight, max: "$1.00", per: day, shadow: true}  # reported, not refused
//!   rates:              # the most payments
//!     - {name: pace, max: 30, per: minute}
//!   new_payees: {max: 3, per: day}         # the most payees that were never paid before
//!   loops: {max: 5, per: 60 seconds}       # the most payments for the same method and address
//!   approve_above: "$1.00"                 # a person has to approve what is more
//!   approval_valid: 30 minutes             # for how long asking, and then the approval, is good
//!   max_over_advertised: "1.5"             # times the advertised price, where that is known
//!   hours:                                 # any of them; to before from is the next day
//!     - {days: [mon-fri], from: "08:00", to: "18:00", zone: Europe/Berlin}
//!     - {days: [sat, sun]}
//!   hosts:              # exact, or all below a domain; a port restricts the entry to it
//!     allow: ["api.example.com", "*.example.org", "localhost:4021"]
//!     deny: ["bad.example.org"]
//!   payees:             # EVM addresses compare decoded; a checksum, if there is one, must be right
//!     deny: ["0x209693Bc6afc0C5328bA36FaF03C514EF312287C"]
//!   networks:           # names, or CAIP-2 identifiers
//!     allow: [base, "eip155:84532"]
//!   assets:             # a symbol, or network/address
//!     allow: [USDC, "base/0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"]
//!   resources:          # with a method or any; a star at the end is all that lies below
//!     deny: ["POST https://api.example.com/v1/admin", "https://api.example.com/beta/*"]
//!   categories:
//!     allow: [search, weather]
//!     shadow: true
//! categories:           # which hosts belong together; a host may be in several
//!   search: ["api.example.com", "*.example.org"]
//!   weather: ["api.example.com"]
//! agents:
//!   team:
//!     payments: {max: "$1.00", budgets: [{name: day, max: "$2.00", per: day}]}
//!   researcher:
//!     parent: team      # all of its parent's rules hold for it as well
//!     expires: "2027-01-01T00:00:00Z"
//!     tools: [search]
//!     payments: {max: "$0.05", hosts: {allow: ["api.example.com"]}}
//! kill: false           # true, or why: everything is denied
//! # "##;
//! # let policy = farthing_policy::Policy::parse(text)?;
//! # assert_eq!(policy.explain().len(), 29, "{:#?}", policy.explain());
//! # assert!(policy.warnings().is_empty(), "{:#?}", policy.warnings());
//! # Ok::<(), farthing_policy::PolicyError>(())
//! ```
//! **Amounts** are quoted text in dollars. Base units are accepted nowhere: no rule is about one asset alone, so a number
//! of them would have no value. Numbers without quotes are errors, as most programs read floats there.
//!
//! **Windows** (`per`) are `minute`, `hour`, `day`, `week` and `month` by the calendar, `60 seconds`, `60 minutes`,
//! `24 hours`, `7 days` and `30 days` rolling, `lifetime`, and `session`. A payment outside of sessions is a session of
//! its own.
//!
//! **Each** is `all`, `agent`, `host`, `payee`, `resource`, `network`, `category` or `tool`. Payments without an agent, a
//! category or a tool count together. A host in several categories counts in each. What an agent spends counts for every
//! agent above it. Budgets per host count all ports of a host together; hosts below one domain count apart, so put a
//! budget over all beside.
//!
//! **Lists**: deny beats allow; without an allow list, everything is allowed that is not denied. `*.example.org` is what
//! lies below `example.org`, not `example.org` itself, and `https://api.example.com/v1/*` what lies below `/v1`; but
//! `https://api.example.com/*` is everything there. Queries are ignored. Where there is a list of resources, an address
//! that can be read in more than one way (`//`, `%2F`) is denied.
//!
//! **Agents**: where the section stands, a name that is not in it is refused. A payment without a name is the owner's,
//! under the policy's own rules alone. An agent's `payments` has the same keys; all rules from the top down to its own
//! hold, so no agent can exceed its parent.
//!
//! What a policy says in vain is found when it is read: [`Policy::warnings`]. [`Policy::bound`] tells how much can be
//! spent at most.
//!
//! **Tools**: `default`, `hide` and `tools` are Intercept's (version "1"), unchanged, with exact numbers and more beside
//! them; the module [`tools`] tells how a call is decided. docs/policy.md is the reference for all of it.
//!
//! ```
//! use farthing_policy::{Call, DenialCode, Policy, json::Json};
//!
//! let policy = Policy::parse(r#"
//! version: "1"
//! tools:
//!   send_payment:
//!     rules:
//!       - {name: small, conditions: [{path: args.cents, op: lte, value: 4000}]}
//!       - {name: pace, rate_limit: 5/60 minutes}
//! "#)?;
//! let call = |arguments: &Json| policy.plan(&Call {
//!     server: "bank",
//!     tool: "send_payment",
//!     arguments: arguments.as_object().unwrap(),
//!     agent: None,
//!     session: "s1",
//!     now: jiff::Timestamp::UNIX_EPOCH,
//! });
//! let denial = call(&Json::parse(br#"{"cents": 4001}"#).unwrap()).unwrap_err();
//! assert_eq!((denial.code, denial.rule.as_str()), (DenialCode::ConditionFailed, "small"));
//! // What depends on counters is decided by the ledger, which takes the charges in the same transaction.
//! let plan = call(&Json::parse(br#"{"cents": 4000}"#).unwrap()).unwrap();
//! assert_eq!(plan.charges[0].counter.scope, "tool:bank/send_payment/_rate_60 minutes");
//! # Ok::<(), farthing_policy::PolicyError>(())
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::result_large_err,
    reason = "a Denial is rare, and callers read its fields; a box in every signature would buy nothing"
)]

mod agents;
mod bound;
mod category;
mod compare;
mod error;
mod explain;
mod host;
mod hours;
pub mod json;
mod limit;
mod parse;
mod payments;
mod plan;
mod policy;
mod quantity;
mod read;
mod resource;
mod subject;
pub mod tools;
mod warning;
mod windows;
mod yaml;

pub use bound::Bound;
pub use error::PolicyError;
pub use limit::{Denial, DenialCode, Limit, Measure, PendingApproval, Period, Usage, Window};
pub use plan::{ApprovalNeed, CallPlan, Charge, Counter, Needs, Refund};
pub use policy::{Clearance, CountedApart, Destination, Policy, Terms};
pub use quantity::Quantity;
pub use tools::Call;
pub use warning::PolicyWarning;
