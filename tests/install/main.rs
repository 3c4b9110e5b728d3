//! `farthing install` and `uninstall` from outside: the real binary on the files of a scratch home.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod command;
mod scratch;
mod terminal;
