//! Every await point in turn: a future is polled so many times and then dropped, and nothing may be left behind.
//! What is left would show as a TTL that the next one has to wait.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use lock_core::simulation::Simulation;
use tokio::time::{Instant, sleep, timeout};

const TTL: Duration = Duration::from_secs(15);

/// A little more than any of these futures is ever polled.
const POLLS: u32 = 24;

/// Polls a future `limit` times at most; whether it came to its end.
async fn polled<F: Future>(limit: u32, future: F) -> Option<F::Output> {
    let (mut future, mut polls) = (Box::pin(future), 0);
    poll_fn(|context| {
        if polls == limit {
            return Poll::Ready(None);
        }
        polls += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls == limit => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Runs `first` on a client that then lives on, and sees that another is granted the lock at once.
fn leaves_nothing<P>(held_by_another: bool, seed: u64, first: impl FnOnce(lock_core::Supervisor) -> P + Send + 'static)
where
    P: Future<Output = ()> + Send + 'static,
{
    let mut simulation = Simulation::new(seed);
    simulation.client(move |client| async move {
        sleep(Duration::from_secs(1)).await;
        let locks = client.supervisor();
        first(locks.clone()).await;
        sleep(TTL * 3).await;
        drop(locks);
        Ok(())
    });
    simulation.client(move |client| async move {
        let locks = client.supervisor();
        if held_by_another {
            let guard = locks.lock("k").ttl(TTL).acquire().await?;
            sleep(Duration::from_secs(2)).await;
            guard.release().await?;
        }
        sleep(Duration::from_secs(4)).await;
        let began = Instant::now();
        let guard = timeout(TTL * 2, locks.lock("k").ttl(TTL).acquire()).await??;
        if began.elapsed() > Duration::from_secs(1) {
            return Err(format!("something was left behind for {:?}", began.elapsed()).into());
        }
        Ok(guard.release().await?)
    });
    let outcome = simulation.run();
    assert!(outcome.ended_well(), "{outcome}{}", outcome.log().collect::<Vec<_>>().join("\n"));
}

#[test]
fn an_acquire_dropped_at_each_await_point_leaves_nothing() {
    for held_by_another in [false, true] {
        let completed = Arc::new(AtomicU32::new(0));
        for polls in 0..POLLS {
            for seed in 0..4 {
                let completed = completed.clone();
                leaves_nothing(held_by_another, seed, move |locks| async move {
                    let acquire = locks.lock("k").ttl(TTL).acquire();
                    if polled(polls, acquire).await.is_some() {
                        completed.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        }
        assert!(completed.load(Ordering::Relaxed) >= 4, "the last of them come to their end: the sweep is whole");
    }
}

#[test]
fn a_release_dropped_at_each_await_point_leaves_nothing() {
    let completed = Arc::new(AtomicU32::new(0));
    for polls in 0..POLLS {
        for seed in 0..4 {
            let completed = completed.clone();
            leaves_nothing(false, seed, move |locks| async move {
                let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
                if polled(polls, guard.release()).await.is_some() {
                    completed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }
    assert!(completed.load(Ordering::Relaxed) >= 4, "the last of them come to their end: the sweep is whole");
}
