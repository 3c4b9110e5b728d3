//! One file per command, and what several of them say or print (`body`, `go_on`, `request`).

pub(crate) mod address;
pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod balance;
mod body;
pub(crate) mod check;
pub(crate) mod config;
mod described;
pub(crate) mod discover;
pub(crate) mod facilitator;
pub(crate) mod fetch;
pub(crate) mod freeze;
pub(crate) mod fund;
pub(crate) mod gateway;
mod go_on;
pub(crate) mod guard;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod ledger;
pub(crate) mod mcp;
pub(crate) mod policy;
pub(crate) mod proxy;
pub(crate) mod receipt;
pub(crate) mod reconcile;
pub(crate) mod request;
pub(crate) mod search;
