//! Verifies and settles payments for sellers.
#![forbid(unsafe_code)]

mod facilitate;

pub use facilitate::{Facilitate, FacilitatorError};
