//! The wallet's keys.
#![forbid(unsafe_code)]
