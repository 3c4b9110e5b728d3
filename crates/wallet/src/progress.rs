use std::path::Path;

use farthing_ledger::Purchase;

/// Who is told how far a call has come: to show it, and to know what is at stake when it is broken off. It must be quick.
pub trait Observer: Send + Sync + std::fmt::Debug {
    /// A step begins.
    fn step(&self, step: Step<'_>);
}

/// What a call does next.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Step<'a> {
    /// The seller is asked without payment.
    Asking,
    /// The wallet chooses and decides, and may ask a chain for its balance.
    Deciding,
    /// The payment leaves the machine, for the first time or again: from here on it may be settled.
    Paying(&'a Purchase),
    /// The connection broke; the same payment is sent again after a pause.
    Again,
    /// The seller is still at work on the payment and wants to be asked again.
    SellerAtWork,
    /// The seller has answered; the body goes into this file.
    Keeping(&'a Path),
    /// So many bytes of the paid body have come.
    Receiving(u64),
}
