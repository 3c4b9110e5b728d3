//! The page as a browser and an attacker meet it, over HTTP; and in Chromium.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod browser;
mod chromium;
mod content;
mod documents;
mod door;
mod hostile;
mod http;
mod world;
