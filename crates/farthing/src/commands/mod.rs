//! One file per command.

pub(crate) mod address;
pub(crate) mod balance;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod facilitator;
pub(crate) mod fetch;
pub(crate) mod fund;
pub(crate) mod gateway;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod ledger;
pub(crate) mod receipt;
pub(crate) mod reconcile;
pub(crate) mod request;
