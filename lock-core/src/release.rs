//! Letting go of whatever an owner has at the store.

use crate::context::Context;
use crate::{BackendError, Claim, Operation, Release, Ttl, schedule};

/// Releases `claim`, trying again while that can help. Bounded by the TTL: after that, the store
/// has let go by itself.
pub(crate) async fn release(context: &Context, claim: &Claim, ttl: Ttl) -> Result<Release, BackendError> {
    let began = context.now();
    let mut failures = 0;
    loop {
        let left = ttl.get().saturating_sub(context.now().since(began));
        let call = context.backend.release(claim);
        match context.call(Operation::Release, claim.key(), context.limits.call.min(left), call).await {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                failures += 1;
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
