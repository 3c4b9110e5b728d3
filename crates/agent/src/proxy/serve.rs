//! From an allowed request to the head of its answer: what is paid for already, or a call, paid where that is asked.

use farthing_wallet::{Begun, CallLimits, FetchError, Passed, PassedBody, Request, WalletError};
use http::StatusCode;

use super::bought::{Claim, Found, Serving, Wish};
use super::server::Inner;

/// An answer for a caller.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) passed: Passed,
    /// The purchase that it is from; none for a free call.
    pub(super) serving: Option<Serving>,
    /// An earlier call paid for it.
    pub(super) resent: bool,
}

impl Inner {
    pub(super) async fn serve(
        &self,
        request: Request,
        limits: CallLimits,
        wish: Wish,
    ) -> Result<Served, FetchError> {
        let asking = loop {
            match self.bought.find(wish.clone()) {
                Found::Paid(claim) => {
                    if let Some(served) = self.serve_again(&request, claim).await? {
                        return Ok(served);
                    }
                }
                Found::Perhaps(earlier) => earlier.over().await,
                Found::Nothing(asking) => break asking,
            }
        };
        match self.client.pass(request, limits).await? {
            Begun::Free(passed) => Ok(Served { passed: *passed, serving: None, resent: false }),
            Begun::Paid(call) => {
                let serving = asking.pays(&call);
                Ok(Served { passed: call.head().await?, serving: Some(serving), resent: false })
            }
        }
    }

    /// The answer that is paid for already: as it was kept, or from the seller, with the payment that he has. None where
    /// nothing is owed.
    async fn serve_again(&self, request: &Request, claim: Claim) -> Result<Option<Served>, FetchError> {
        let kept = claim.ending.again().await;
        if claim.is_done(kept.as_ref().map(|(_, bytes)| *bytes)) {
            claim.serving.forget();
            return Ok(None);
        }
        if let Some((passed, _)) = kept {
            return Ok(Some(Served { passed, serving: Some(claim.serving), resent: true }));
        }
        let serving = claim.serving;
        let call = match self.client.pass_again(request.clone(), serving.purchase()).await {
            // It is over: the chain, or somebody else, has had the last word on it.
            Err(FetchError::Wallet(WalletError::NotResumable { .. })) => {
                serving.forget();
                return Ok(None);
            }
            call => call?,
        };
        serving.goes_on(call.ending());
        let passed = call.head().await?;
        let serving = match is_final(&passed) {
            true => {
                serving.forget();
                None
            }
            false => Some(serving),
        };
        Ok(Some(Served { passed, serving, resent: true }))
    }
}

/// Whether the seller says to a payment that came again that there is nothing to be had for it: asking once more would be in
/// vain, so the next call is a new one.
fn is_final(passed: &Passed) -> bool {
    let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    matches!(passed.body, PassedBody::Kept)
        || (passed.status.is_client_error() && !later.contains(&passed.status))
}
