//! A store with one fault, made of the memory store, which has none.

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lock_core::{
    AcquireRequest, Attempt, BackendError, Capabilities, Claim, Contention, ErrorKind, FencingToken, Grant, Lease,
    LockAdmin, LockBackend, LockKey, LockRecord, MemoryBackend, Operation, OwnerId, Release, Renewal, Ttl, async_trait,
};
use tokio::time::sleep;

use crate::fault::Fault as F;
use crate::places::{Leaving, Places};

/// What the clients of one store share.
#[derive(Clone, Default)]
pub(crate) struct World {
    inner: MemoryBackend,
    places: Places,
    /// What this owner asked the inner store, under the key that the fault made of its key.
    asked: Arc<Mutex<HashMap<OwnerId, AcquireRequest>>>,
    answered: Arc<Mutex<HashSet<OwnerId>>>,
    waits: Arc<AtomicU64>,
}

/// One client of a store with a fault.
pub(crate) struct Faulty {
    pub(crate) fault: F,
    world: World,
    grants: AtomicU64,
    one_call_at_a_time: tokio::sync::Mutex<()>,
}

impl Faulty {
    pub(crate) fn new(fault: F, world: World) -> Self {
        Self { fault, world, grants: AtomicU64::new(1), one_call_at_a_time: tokio::sync::Mutex::default() }
    }

    pub(crate) fn inner(&self) -> &MemoryBackend {
        &self.world.inner
    }

    /// The request as the inner store gets it: another one if the fault changes its key.
    fn translated(&self, request: &AcquireRequest) -> AcquireRequest {
        let key = self.folded(request.key());
        let fresh = || if key == *request.key() { request.clone() } else { AcquireRequest::new(key, request.ttl()) };
        self.world.asked.lock().unwrap().entry(request.owner()).or_insert_with(fresh).clone()
    }

    fn translated_claim(&self, claim: &Claim) -> Claim {
        self.world.asked.lock().unwrap().get(&claim.owner()).map_or_else(|| claim.clone(), AcquireRequest::claim)
    }

    fn folded(&self, key: &LockKey) -> LockKey {
        let text = key.as_str();
        let folded = match self.fault {
            F::KeysLoseTheirCase => text.to_lowercase(),
            F::KeysEndAtASeparator => text.split([':', '/']).next().unwrap_or_default().to_owned(),
            F::KeysAreTrimmed => text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned(),
            F::KeysAreDecoded => return LockKey::decode(text).unwrap_or_else(|| key.clone()),
            F::KeysAreCut => text.chars().take(255).collect(),
            _ => return key.clone(),
        };
        LockKey::new(folded).unwrap_or_else(|_| key.clone())
    }

    fn has_naive_queue(&self) -> bool {
        matches!(
            self.fault,
            F::InterruptedWaitersGoToTheEnd
                | F::LastComeFirstServed
                | F::ReleaseKeepsThePlace
                | F::TriesLeaveAPlace
                | F::VanishedWaitersStay
        )
    }

    async fn held(&self, key: &LockKey) -> Result<Attempt, BackendError> {
        let record = self.inner().inspect(key).await?;
        Ok(Attempt::Held(Contention::new(record.unwrap_or_else(|| LockRecord::unknown(key.clone())))))
    }

    /// The grant of the inner store, as the fault tells it and lets it live.
    async fn adopted(&self, request: &AcquireRequest, grant: Grant, ttl: Ttl) -> Result<Grant, BackendError> {
        let (inner, claim, token) = (self.inner().clone(), request.claim(), grant.token());
        let lives = if self.fault == F::LeasesNeverEnd || self.fault == F::ReleaseSparesWhatWasNotAnswered {
            Ttl::new(100 * ttl.get()).unwrap_or(ttl)
        } else {
            ttl
        };
        inner.renew(&Lease::new(claim, token, lives)).await?;
        if self.fault == F::LeasesEndEarly {
            let key = request.key().clone();
            tokio::spawn(async move {
                sleep(ttl.get() / 2).await;
                inner.break_lock(&key, Some(token)).await
            });
        }
        let count = self.grants.fetch_add(1, Ordering::Relaxed);
        Ok(match self.fault {
            F::TokenIsConstant => Grant::new(FencingToken::new(7), ttl),
            F::TokenStartsAnewWithEachClient => Grant::new(FencingToken::new(count), ttl),
            F::AskingAgainGivesANewToken => Grant::new(FencingToken::new(token.get() + count), ttl),
            F::GrantTellsAShorterTtl => Grant::new(token, shorter(ttl)),
            _ => Grant::new(token, ttl).with_takeover(grant.takeover()),
        })
    }
}

#[async_trait]
impl LockBackend for Faulty {
    fn capabilities(&self) -> Capabilities {
        let inner = self.inner().capabilities();
        if self.fault == F::CapabilitiesMakeNoSense {
            return inner.with_ttl_range(Duration::from_millis(1), Ttl::MAX, Duration::ZERO);
        }
        // A range and a unit, so that their cases apply.
        inner.with_ttl_range(Duration::from_millis(100), Duration::from_secs(3_600), Duration::from_millis(50))
    }

    async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        let ttl = match self.capabilities().grantable(request.ttl()) {
            Err(_) if self.fault == F::RangeIsNotChecked => request.ttl(),
            Err(_) if self.fault == F::RangeIsNotTold => {
                return Err(BackendError::new(ErrorKind::Protocol, Operation::Acquire, "invalid expire time"));
            }
            Ok(ttl) if self.fault == F::LongestTtlIsRefused && ttl.get() == self.capabilities().max_ttl() => {
                return Err(BackendError::new(ErrorKind::Protocol, Operation::Acquire, "invalid expire time"));
            }
            checked => checked?,
        };
        let request = self.translated(request);
        let _turn =
            if self.fault == F::WaitBlocksTheClient { Some(self.one_call_at_a_time.lock().await) } else { None };
        let holder = self.inner().inspect(request.key()).await?;
        let again = holder.as_ref().is_some_and(|record| record.owner() == Some(request.owner()));
        match (self.fault, holder) {
            (F::AskingAgainIsRefused, Some(holder)) if again => return Ok(Attempt::Held(Contention::new(holder))),
            (F::AskingAgainRefreshesNothing, Some(holder)) if again => {
                return Ok(Attempt::Granted(Grant::new(holder.token().unwrap(), ttl)));
            }
            (F::LooksBeforeItTakes, None) => {
                sleep(Duration::from_millis(2)).await;
                self.inner().break_lock(request.key(), None).await?;
            }
            _ => {}
        }
        if self.has_naive_queue() && !self.world.places.may_try(&request.claim()) {
            return self.held(request.key()).await;
        }
        match self.inner().try_acquire(&request).await? {
            Attempt::Granted(grant) => {
                self.world.places.leave(&request.claim());
                let grant = self.adopted(&request, grant, ttl).await?;
                if self.fault == F::ReleaseSparesWhatWasNotAnswered {
                    sleep(Duration::from_millis(10)).await;
                }
                self.world.answered.lock().unwrap().insert(request.owner());
                Ok(Attempt::Granted(grant))
            }
            Attempt::Held(seen) => match self.fault {
                F::EveryoneIsGranted => Ok(Attempt::Granted(Grant::new(seen.record().token().unwrap(), ttl))),
                F::HeldTellsNothing => Ok(Attempt::Held(Contention::new(LockRecord::unknown(request.key().clone())))),
                F::TriesLeaveAPlace => {
                    self.world.places.join_last(&request.claim());
                    Ok(Attempt::Held(Contention::new(seen.record().clone())))
                }
                _ => Ok(Attempt::Held(seen)),
            },
        }
    }

    async fn wait(&self, request: &AcquireRequest, seen: &Contention) -> Result<(), BackendError> {
        let (request, claim) = (self.translated(request), self.translated(request).claim());
        let number = self.world.waits.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            F::WaitNeverReturns => return pending().await,
            F::WaitReturnsAtOnce => return Ok(()),
            F::OneWaiterIsForgotten if number == 3 => return pending().await,
            F::WaitMissesEarlierNews if self.inner().inspect(request.key()).await?.is_none() => return pending().await,
            F::WaitBlocksTheClient => {
                let _turn = self.one_call_at_a_time.lock().await;
                return self.inner().wait(&request, seen).await;
            }
            F::NewcomersOvertake => {
                // Watches the lock and stands in no queue.
                while self.inner().inspect(request.key()).await?.is_some() {
                    sleep(Duration::from_millis(5)).await;
                }
                return Ok(());
            }
            _ if !self.has_naive_queue() => return self.inner().wait(&request, seen).await,
            F::LastComeFirstServed => self.world.places.join_first(&claim),
            _ => self.world.places.join_last(&claim),
        }
        let interrupted =
            (self.fault == F::InterruptedWaitersGoToTheEnd).then(|| Leaving(&self.world.places, claim.clone()));
        while self.inner().inspect(request.key()).await?.is_some() || !self.world.places.may_try(&claim) {
            sleep(Duration::from_millis(5)).await;
        }
        std::mem::forget(interrupted);
        Ok(())
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewal, BackendError> {
        let claim = self.translated_claim(lease.claim());
        let ttl = self.capabilities().grantable(lease.ttl())?;
        if self.fault == F::RenewalDoesNothing {
            return Ok(Renewal::Renewed(ttl));
        }
        let answer = self.inner().renew(&Lease::new(claim.clone(), lease.token(), ttl)).await?;
        let holder = self.inner().inspect(claim.key()).await?;
        Ok(match (answer, self.fault) {
            (Renewal::Lost, F::RenewalAlwaysSucceeds) => Renewal::Renewed(ttl),
            (Renewal::Lost, F::RenewalIgnoresTheOwner) if holder.is_some() => Renewal::Renewed(ttl),
            (Renewal::Lost, F::RenewalRevives) if holder.is_none() => {
                self.inner().try_acquire(&AcquireRequest::new(claim.key().clone(), ttl)).await?;
                Renewal::Renewed(ttl)
            }
            (Renewal::Lost, F::RenewalRevivesSilently) if holder.is_none() => {
                self.inner().try_acquire(&AcquireRequest::new(claim.key().clone(), ttl)).await?;
                Renewal::Lost
            }
            (Renewal::Lost, F::RenewalTakesAnothersSilently) => {
                self.inner().break_lock(claim.key(), None).await?;
                Renewal::Lost
            }
            (Renewal::Lost, F::RenewalErrsWhenLost) => {
                return Err(BackendError::new(ErrorKind::Protocol, Operation::Renew, "no such lease"));
            }
            (Renewal::Renewed(ttl), F::RenewalTellsAShorterTtl) => Renewal::Renewed(shorter(ttl)),
            (answer, _) => answer,
        })
    }

    async fn release(&self, claim: &Claim) -> Result<Release, BackendError> {
        let claim = self.translated_claim(claim);
        match self.fault {
            F::ReleaseDoesNothing => return Ok(Release::Released),
            F::ReleaseSparesWhatWasNotAnswered if !self.world.answered.lock().unwrap().contains(&claim.owner()) => {
                return Ok(Release::NotHeld);
            }
            F::ReleaseIgnoresTheOwner => {
                let broken = self.inner().break_lock(claim.key(), None).await?;
                let held = matches!(broken, lock_core::BreakOutcome::Broken(_));
                return Ok(if held { Release::Released } else { Release::NotHeld });
            }
            F::ReleaseTakesAnothersSilently => {
                let answer = self.inner().release(&claim).await?;
                self.inner().break_lock(claim.key(), None).await?;
                return Ok(answer);
            }
            F::ReleaseKeepsThePlace => {}
            _ => self.world.places.leave(&claim),
        }
        let answer = self.inner().release(&claim).await?;
        Ok(if self.fault == F::ReleaseAlwaysSaysReleased { Release::Released } else { answer })
    }
}

fn shorter(ttl: Ttl) -> Ttl {
    Ttl::new(ttl.get() / 2).unwrap_or(ttl)
}
