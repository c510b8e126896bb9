//! A renewal's reply that finds the lease ended revives nothing. (Deadlines have guards of their
//! own before this one; a shutdown while a renewal is under way has not.)

mod support;

use std::time::Duration;

use lock_core::{LostReason, Operation};
use support::{Fault, Faulty, TTL};
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn a_renewal_answered_after_the_shutdown_revives_nothing() {
    let store = Faulty::new(|call, _| match call.operation {
        Operation::Renew => Fault::DelayReply(Duration::from_secs(1)),
        _ => Fault::None,
    });
    let locks = store.supervisor().build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    while store.calls(Operation::Renew).is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(locks.shutdown().await.unreleased(), 0);
    assert!(!guard.is_held());
    assert!(matches!(guard.lost().await.reason(), LostReason::ShutDown));
    sleep(Duration::from_secs(2)).await;
    assert!(!guard.is_held());
    assert_eq!(guard.remaining(), Duration::ZERO);
}
