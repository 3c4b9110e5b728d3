//! What may be paid.
#![forbid(unsafe_code)]

mod limit;

pub use limit::{Denial, DenialCode, Limit, Measure, Period, Usage, Window};
