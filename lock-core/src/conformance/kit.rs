//! What the cases stand on: two clients, keys and TTLs, and calls that check their answer.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Client, Harness, HarnessError};
use crate::{
    AcquireRequest, Attempt, BackendError, Capabilities, Contention, ErrorKind, Grant, Lease, LockAdmin, LockKey,
    LockRecord, Release, Renewal, Ttl,
};

/// What every upper bound adds for a loaded machine. Lower bounds add nothing.
pub(super) const SLACK: Duration = Duration::from_secs(2);

/// Why a case stopped.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The store broke the rule; says what was seen.
    Broken(String),
    /// The machine was so slow that a lease expired under the case, or that the store had no time to answer: nothing was
    /// proven, it is run again. Says what was too slow.
    TooSlow(String),
}

/// Stops the case with what was seen, unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($seen:tt)+) => {
        if !$condition {
            return Err($crate::conformance::kit::Trouble::Broken(format!($($seen)+)));
        }
    };
}
pub(super) use ensure;

/// What a case works with.
pub(super) struct Kit<'a> {
    pub(super) a: Client,
    pub(super) b: Client,
    pub(super) capabilities: Capabilities,
    /// For leases that are to expire.
    pub(super) ttl: Ttl,
    /// For leases that are not.
    pub(super) long: Ttl,
    pub(super) tolerance: Duration,
    pub(super) wake_up_within: Duration,
    harness: &'a dyn Harness,
    attempt: u32,
}

impl<'a> Kit<'a> {
    pub(super) async fn start(harness: &'a dyn Harness, attempt: u32) -> Result<Self, HarnessError> {
        let (a, b) = (harness.client().await?, harness.client().await?);
        let capabilities = a.backend().capabilities();
        let (min, max) = (capabilities.min_ttl(), capabilities.max_ttl());
        let within =
            |ttl: Duration| Ttl::new(ttl.max(min).min(max)).map(|ttl| ttl.round_up_to(capabilities.granularity()));
        let ttl = within(harness.ttl())?;
        let long = within((10 * ttl.get()).max(Duration::from_secs(60)))?;
        let (tolerance, wake_up_within) = (harness.tolerance(), capabilities.wake_up_within());
        Ok(Self { a, b, capabilities, ttl, long, tolerance, wake_up_within, harness, attempt })
    }

    pub(super) async fn client(&self) -> Result<Client, Trouble> {
        self.harness.client().await.map_err(|error| Trouble::Broken(format!("the harness can't connect: {error}")))
    }

    /// A key of this run of the case.
    pub(super) fn key(&self, name: &str) -> LockKey {
        let text = if self.attempt == 0 { name.to_owned() } else { format!("{name} again {}", self.attempt) };
        LockKey::new(text).expect("the kit's own keys are valid")
    }

    /// A new owner's request, whose lease doesn't expire during the case.
    pub(super) fn request(&self, key: &LockKey) -> AcquireRequest {
        AcquireRequest::new(key.clone(), self.long)
    }

    /// A new owner's request, whose lease is to expire.
    pub(super) fn short_request(&self, key: &LockKey) -> AcquireRequest {
        AcquireRequest::new(key.clone(), self.ttl)
    }

    /// Within this time a waiter learns that a lock is free.
    pub(super) fn soon(&self) -> Duration {
        self.wake_up_within + SLACK
    }

    /// Within this time so many waiters that let go at once are served one after the other.
    pub(super) fn in_turn(&self, waiters: u32) -> Duration {
        waiters * self.wake_up_within + SLACK
    }

    /// Within this time an abandoned short lease is granted to another.
    pub(super) fn after_expiry(&self) -> Duration {
        self.ttl.get() + self.tolerance + SLACK
    }

    /// Gives up this attempt unless a short lease that began after `since` is certainly still good.
    pub(super) fn in_time(&self, since: Instant) -> Result<(), Trouble> {
        if since.elapsed() < self.ttl.get() { Ok(()) } else { Err(Trouble::expired()) }
    }

    /// Waits until `count` waiters stand in the queue of a lock that is held; for a while, if the store doesn't tell.
    pub(super) async fn until_waiting(&self, key: &LockKey, count: u64) -> Result<(), Trouble> {
        for _ in 0..50 {
            let seen = self.a.refused(&self.request(key)).await?;
            if seen.waiters() == Some(count) {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

/// Each call says what it expects; any other answer stops the case.
impl Client {
    pub(super) async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, Trouble> {
        Ok(self.backend().try_acquire(request).await?)
    }

    pub(super) async fn granted(&self, request: &AcquireRequest) -> Result<Grant, Trouble> {
        match self.try_acquire(request).await? {
            Attempt::Granted(grant) => Ok(grant),
            Attempt::Held(by) => Err(Trouble::Broken(format!(
                "\"{}\" should be granted, but is held by {}",
                shown(request.key()),
                by.record()
            ))),
        }
    }

    pub(super) async fn refused(&self, request: &AcquireRequest) -> Result<Contention, Trouble> {
        match self.try_acquire(request).await? {
            Attempt::Held(seen) => Ok(seen),
            Attempt::Granted(grant) => Err(Trouble::Broken(format!(
                "\"{}\" should be refused, but was granted with token {}",
                shown(request.key()),
                grant.token()
            ))),
        }
    }

    /// Tries until granted, often: for whoever wants to know when a lock becomes free.
    pub(super) async fn granted_within(&self, request: &AcquireRequest, bound: Duration) -> Result<Grant, Trouble> {
        let start = Instant::now();
        loop {
            let asked_at = start.elapsed();
            match self.try_acquire(request).await? {
                Attempt::Granted(grant) => return Ok(grant),
                Attempt::Held(by) => ensure!(
                    asked_at < bound,
                    "\"{}\" should be free within {bound:?}, but is held by {}",
                    shown(request.key()),
                    by.record()
                ),
            }
            sleep((bound / 100).clamp(Duration::from_millis(2), Duration::from_millis(50))).await;
        }
    }

    /// Tries and waits in turn until granted, as the supervisor does: what may pass is asked again. The case's limit bounds
    /// it.
    pub(super) async fn acquire(&self, request: &AcquireRequest) -> Result<Grant, Trouble> {
        loop {
            match self.try_and_wait(request).await {
                Ok(Some(grant)) => return Ok(grant),
                Ok(None) => {}
                Err(error) if error.is_transient() => sleep(Duration::from_millis(20)).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn try_and_wait(&self, request: &AcquireRequest) -> Result<Option<Grant>, BackendError> {
        match self.backend().try_acquire(request).await? {
            Attempt::Granted(grant) => Ok(Some(grant)),
            Attempt::Held(seen) => self.backend().wait(request, &seen).await.map(|()| None),
        }
    }

    /// As [`acquire`](Self::acquire), in a task that ends with its handle.
    pub(super) fn acquiring(&self, request: &AcquireRequest) -> Task<Result<Grant, Trouble>> {
        let (client, request) = (self.clone(), request.clone());
        Task::spawn(async move { client.acquire(&request).await })
    }

    pub(super) async fn wait(&self, request: &AcquireRequest, seen: &Contention) -> Result<(), Trouble> {
        Ok(self.backend().wait(request, seen).await?)
    }

    pub(super) async fn release(&self, request: &AcquireRequest) -> Result<Release, Trouble> {
        Ok(self.backend().release(&request.claim()).await?)
    }

    pub(super) async fn released(&self, request: &AcquireRequest) -> Result<(), Trouble> {
        let answer = self.release(request).await?;
        ensure!(answer == Release::Released, "the holder's release of \"{}\" said {answer:?}", shown(request.key()));
        Ok(())
    }

    pub(super) async fn not_held(&self, request: &AcquireRequest) -> Result<(), Trouble> {
        let answer = self.release(request).await?;
        ensure!(answer == Release::NotHeld, "the release of \"{}\", not held, said {answer:?}", shown(request.key()));
        Ok(())
    }

    pub(super) async fn renew(&self, request: &AcquireRequest, grant: &Grant) -> Result<Renewal, Trouble> {
        Ok(self.backend().renew(&Lease::new(request.claim(), grant.token(), request.ttl())).await?)
    }

    pub(super) async fn renewed(&self, request: &AcquireRequest, grant: &Grant) -> Result<Ttl, Trouble> {
        match self.renew(request, grant).await? {
            Renewal::Renewed(ttl) => Ok(ttl),
            Renewal::Lost => Err(Trouble::Broken(format!(
                "the holder's renewal of \"{}\" should succeed, but said Lost",
                shown(request.key())
            ))),
        }
    }

    pub(super) async fn lost(&self, request: &AcquireRequest, grant: &Grant) -> Result<(), Trouble> {
        let answer = self.renew(request, grant).await?;
        ensure!(
            answer == Renewal::Lost,
            "the renewal of \"{}\" should say Lost, but said {answer:?}",
            shown(request.key())
        );
        Ok(())
    }

    /// The administration; cases that need it say so in the list.
    pub(super) fn administration(&self) -> Result<&dyn LockAdmin, Trouble> {
        self.admin().map(|admin| &**admin).ok_or_else(|| Trouble::Broken("this client has no LockAdmin".to_owned()))
    }

    pub(super) async fn inspect(&self, key: &LockKey) -> Result<Option<LockRecord>, Trouble> {
        Ok(self.administration()?.inspect(key).await?)
    }
}

/// A key as a message can bear it.
fn shown(key: &LockKey) -> String {
    let mut text: String = key.to_string().chars().take(60).collect();
    if text.len() < key.as_str().len() {
        text.push('…');
    }
    text
}

impl Trouble {
    pub(super) fn expired() -> Self {
        Self::TooSlow("a few calls took longer than the harness' TTL: raise Harness::ttl".to_owned())
    }
}

impl From<BackendError> for Trouble {
    fn from(error: BackendError) -> Self {
        match error.kind() {
            ErrorKind::TimedOut => Self::TooSlow(format!("the store had no answer in time: {error}")),
            _ => Self::Broken(format!("an error where an answer was due: {error}")),
        }
    }
}

/// A task that is stopped when its handle is dropped, so that no case leaves one running.
pub(super) struct Task<T>(JoinSet<T>);

impl<T: Send + 'static> Task<Result<T, Trouble>> {
    pub(super) fn spawn(future: impl Future<Output = Result<T, Trouble>> + Send + 'static) -> Self {
        let mut set = JoinSet::new();
        set.spawn(future);
        Self(set)
    }

    /// Its value, which must come within `bound`; `what` says what it is for, if it doesn't.
    pub(super) async fn within(mut self, bound: Duration, what: &str) -> Result<T, Trouble> {
        match tokio::time::timeout(bound, self.0.join_next()).await {
            Ok(Some(Ok(result))) => result,
            Ok(other) => Err(Trouble::Broken(format!("{what}: the task ended with {}", other.is_some()))),
            Err(_) => Err(Trouble::Broken(format!("{what}: not within {bound:?}"))),
        }
    }

    /// The same for all of these. The first that fails is told: those that wait behind it would say only that they did.
    pub(super) async fn all_within(tasks: Vec<Self>, bound: Duration, what: &str) -> Result<(), Trouble> {
        let mut all = JoinSet::new();
        for (n, task) in tasks.into_iter().enumerate() {
            let what = format!("{what}: number {n}");
            all.spawn(async move { task.within(bound, &what).await });
        }
        while let Some(ended) = all.join_next().await {
            ended.map_err(|error| Trouble::Broken(format!("{what}: {error}")))??;
        }
        Ok(())
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.0.try_join_next().is_none()
    }
}
