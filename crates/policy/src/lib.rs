//! What may be paid.
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
//! let resource = "https://api.example.com/weather";
//! let terms = Terms { host: "api.example.com", payee, asset, amount: BaseUnits::new(2500), resource };
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
//!   max: "$0.10"        # the most per payment; `max: none` to have none
//!   budgets:            # the most that payments may add up to
//!     - {name: day, max: "$5.00", per: day}                  # by the calendar, in UTC
//!     - {name: rolling-hour, max: "$1.00", per: 60 minutes}  # whenever it began
//!     - {name: ever, max: "$100.00", per: lifetime}
//!     - {name: per-host, max: "$1.00", per: day, each: host} # counted for each host, or each: payee
//!   rates:              # the most payments
//!     - {name: pace, max: 30, per: minute}
//!   hosts:              # exact, or all below a domain; a port restricts the entry to it
//!     allow: ["api.example.com", "*.example.org", "localhost:4021"]
//!     deny: ["bad.example.org"]
//!   payees:             # EVM addresses compare decoded; a checksum, if there is one, must be right
//!     deny: ["0x209693Bc6afc0C5328bA36FaF03C514EF312287C"]
//!   networks:           # names, or CAIP-2 identifiers
//!     allow: [base, "eip155:84532"]
//!   assets:             # a symbol, or network/address
//!     allow: [USDC, "base/0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"]
//! # "##;
//! # let policy = farthing_policy::Policy::parse(text)?;
//! # assert_eq!(policy.explain().len(), 11);
//! # Ok::<(), farthing_policy::PolicyError>(())
//! ```
//! Windows (`per`) are `minute`, `hour`, `day`, `week` and `month` by the calendar, `60 seconds`, `60 minutes`,
//! `24 hours`, `7 days` and `30 days` rolling, and `lifetime`. Deny beats allow; without an allow list, everything is
//! allowed that is not denied. `*.example.org` is what lies below `example.org`, not `example.org` itself. Budgets
//! per host count all ports of a host together; hosts below one domain count apart, so put a budget over all beside.
//!
//! `tools:`, `agents:` and conditions will stand beside `payments:`; until then they are unknown keys, so a policy
//! that needs them is refused, not half obeyed.
#![forbid(unsafe_code)]
#![allow(
    clippy::result_large_err,
    reason = "a Denial is rare, and callers read its fields; a box in every signature would buy nothing"
)]

mod error;
mod explain;
mod host;
pub mod json;
mod limit;
mod parse;
mod plan;
mod policy;
mod quantity;
mod read;
mod subject;
pub mod tools;
mod yaml;

pub use error::PolicyError;
pub use limit::{Denial, DenialCode, Limit, Measure, PendingApproval, Period, Usage, Window};
pub use plan::{ApprovalNeed, CallPlan, Charge, Counter, Needs, Refund};
pub use policy::{Clearance, Policy, Terms};
pub use quantity::Quantity;
pub use tools::Call;
