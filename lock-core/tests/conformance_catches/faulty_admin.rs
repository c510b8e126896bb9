//! The faults of administration.

use lock_core::{
    BackendError, BreakOutcome, FencingToken, Finding, LockAdmin, LockKey, LockRecord, Severity, async_trait,
};

use crate::fault::Fault;
use crate::faulty::Faulty;

#[async_trait]
impl LockAdmin for Faulty {
    async fn inspect(&self, key: &LockKey) -> Result<Option<LockRecord>, BackendError> {
        let record = self.inner().inspect(key).await?;
        Ok(match self.fault {
            Fault::InspectTellsNothing => record.map(|_| LockRecord::unknown(key.clone())),
            Fault::InspectTellsOldNews => record.or_else(|| Some(LockRecord::unknown(key.clone()))),
            _ => record,
        })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<LockRecord>, BackendError> {
        match self.fault {
            Fault::ListIsUnsorted => Ok(self.inner().list(prefix).await?.into_iter().rev().collect()),
            Fault::ListTakesAnyPlace => {
                let all = self.inner().list("").await?;
                Ok(all.into_iter().filter(|record| record.key().as_str().contains(prefix)).collect())
            }
            _ => self.inner().list(prefix).await,
        }
    }

    async fn break_lock(&self, key: &LockKey, if_token: Option<FencingToken>) -> Result<BreakOutcome, BackendError> {
        let holder = self.inner().inspect(key).await?;
        match (self.fault, holder) {
            (Fault::BreakDoesNothing, Some(holder)) => Ok(BreakOutcome::Broken(holder)),
            (Fault::BreakIgnoresTheToken, _) => self.inner().break_lock(key, None).await,
            (Fault::BreakTakesAnotherSilently, Some(_)) => {
                let answer = self.inner().break_lock(key, if_token).await;
                self.inner().break_lock(key, None).await?;
                answer
            }
            (Fault::BreakOfAFreeLockSaysBroken, None) => Ok(BreakOutcome::Broken(LockRecord::unknown(key.clone()))),
            _ => self.inner().break_lock(key, if_token).await,
        }
    }

    async fn preflight(&self) -> Vec<Finding> {
        match self.fault {
            Fault::PreflightSaysUnusable => vec![Finding::new(Severity::Unusable, "memory", "it is full", "", "")],
            _ => self.inner().preflight().await,
        }
    }
}
