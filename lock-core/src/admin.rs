//! The second trait of a store: looking at its locks, and taking one away.

use async_trait::async_trait;

use crate::{BackendError, FencingToken, LockBackend, LockKey, LockRecord};

/// Looking at a store's locks, and taking one away: what an operator needs.
#[async_trait]
pub trait LockAdmin: Send + Sync + 'static {
    /// Who holds a lock; `None` when it is free.
    ///
    /// # Errors
    /// [`BackendError`] when the store can't be asked.
    async fn inspect(&self, key: &LockKey) -> Result<Option<LockRecord>, BackendError>;

    /// Every lock held whose key begins with `prefix` (all, when it is empty), in the keys' order.
    ///
    /// # Errors
    /// [`BackendError`] when the store can't be asked.
    async fn list(&self, prefix: &str) -> Result<Vec<LockRecord>, BackendError>;

    /// Takes a lock away from its holder: from any holder, or only from the one with the token
    /// `if_token`. The holder sees a loss at its next renewal, and later tokens are greater.
    ///
    /// # Errors
    /// [`BackendError`] when the store can't be asked.
    async fn break_lock(&self, key: &LockKey, if_token: Option<FencingToken>) -> Result<BreakOutcome, BackendError>;

    /// Checks the store before one depends on it. Findings are told even if they end in "unusable".
    async fn preflight(&self) -> Vec<Finding>;
}

/// A store with both traits, as the facade hands it out.
pub trait Store: LockBackend + LockAdmin {}

impl<T: LockBackend + LockAdmin> Store for T {}

/// What became of an attempt to take a lock away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BreakOutcome {
    /// It was taken away from this holder.
    Broken(LockRecord),
    /// Nobody holds it.
    Free,
    /// Another holder has it than the one named by its token.
    TokenDiffers(LockRecord),
}

/// One thing that a preflight found: what, why it matters, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    severity: Severity,
    check: &'static str,
    what: String,
    why: String,
    advice: String,
}

/// How bad a finding is, from good to unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Checked and good.
    Good,
    /// Works, with a risk that the finding names.
    Warning,
    /// Locks can't be trusted to work here.
    Unusable,
    /// The store refuses us.
    Denied,
}

impl Finding {
    /// A check that went well. `check` is a short stable name, such as `directory-mode`.
    pub fn good(check: &'static str, what: impl Into<String>) -> Self {
        Self { severity: Severity::Good, check, what: what.into(), why: String::new(), advice: String::new() }
    }

    /// A check that found something: what was found, why it matters, what to do.
    pub fn new(
        severity: Severity,
        check: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { severity, check, what: what.into(), why: why.into(), advice: advice.into() }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }
    /// The check's short stable name.
    pub fn check(&self) -> &'static str {
        self.check
    }
    /// What was found.
    pub fn what(&self) -> &str {
        &self.what
    }
    /// Why it matters; empty when all is good.
    pub fn why(&self) -> &str {
        &self.why
    }
    /// What to do; empty when all is good.
    pub fn advice(&self) -> &str {
        &self.advice
    }
}
