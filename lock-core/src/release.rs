//! Letting go of whatever an owner has at the store.

use crate::context::Context;
use crate::{BackendError, Claim, Operation, Outcome, Release, Ttl, schedule};

/// Releases `claim`, trying again while that can help. Bounded by the TTL: after that, the store
/// has let go by itself.
pub(crate) async fn release(context: &Context, claim: &Claim, ttl: Ttl) -> Result<Release, BackendError> {
    let began = context.now();
    let mut failures = 0;
    let mut may_be_done = false;
    loop {
        let left = ttl.get().saturating_sub(context.now().since(began));
        let call = context.backend.release(claim);
        match context.call(Operation::Release, claim.key(), context.limits.call.min(left), call).await {
            // A release before this one was done and its reply lost: that is not a loss.
            Ok(Release::NotHeld) if may_be_done => return Ok(Release::Released),
            Ok(answer) => return Ok(answer),
            Err(error) => {
                failures += 1;
                may_be_done |= error.outcome() == Outcome::Unknown;
                let pause = schedule::retry_after(failures);
                if !error.is_transient() || context.now().since(began) + pause >= ttl.get() {
                    context.telemetry.release_failed(&error);
                    return Err(error);
                }
                context.telemetry.retried(&error);
                tokio::time::sleep(pause).await;
            }
        }
    }
}
