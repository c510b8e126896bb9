//! One call's way to the node that has a slot.

use std::sync::Arc;

use super::Cluster;
use super::slots::moved_to;
use crate::connector::Address;
use crate::error::Failure;
use crate::node::Node;

/// How often a call is sent to another node than the one before.
const REDIRECTIONS: u32 = 3;

/// One call's way to a master:
///
/// ```text
/// loop {
///     let node = way.node().await?;
///     if let Some(answer) = way.judge(node.call().await) { return answer; }
/// }
/// ```
pub(crate) struct Way<'a> {
    cluster: &'a Cluster,
    slot: u16,
    /// Who was asked last.
    asked: Option<Address>,
    /// Whom that one named instead.
    named: Option<Address>,
    /// Whether the call can be sent to a node that is only receiving the slot, and whether it is.
    may_ask: bool,
    asks: bool,
    redirections: u32,
}

impl<'a> Way<'a> {
    pub(super) fn new(cluster: &'a Cluster, slot: u16) -> Self {
        Self { cluster, slot, asked: None, named: None, may_ask: false, asks: false, redirections: REDIRECTIONS }
    }

    /// Of a call that needs the lock's key alone. One that needs several waits until the slot has moved: they may be in two
    /// places, and waiters don't listen at the new one yet.
    pub(crate) fn that_may_ask(self) -> Self {
        Self { may_ask: true, ..self }
    }

    pub(crate) async fn node(&mut self) -> Result<Arc<Node>, Failure> {
        let address = match self.named.take() {
            Some(address) => address,
            None => self.cluster.master_of(self.slot).await?,
        };
        let node = self.cluster.node(&address);
        self.asked = Some(address);
        Ok(node)
    }

    /// Whether the node is asked for what it only receives.
    pub(crate) fn asks(&self) -> bool {
        self.asks
    }

    /// The answer, unless it is that another node has the lock now: then that one is asked next.
    pub(crate) fn judge<T>(&mut self, answer: Result<T, Failure>) -> Option<Result<T, Failure>> {
        let (Err(failure), Some(asked)) = (&answer, &self.asked) else { return Some(answer) };
        self.asks = false;
        if failure.code() == Some("MOVED") {
            // The calls after this one learn who has which slots now.
            self.cluster.map().ranges.retain(|(first, last, _)| !(*first..=*last).contains(&self.slot));
            if self.redirections > 0
                && let Some(address) = failure.detail().and_then(|detail| moved_to(detail, asked))
            {
                self.redirections -= 1;
                self.named = Some(address);
                return None;
            }
        } else if failure.code() == Some("ASK") {
            // The slot is the same master's until it has moved as a whole.
            if self.may_ask
                && self.redirections > 0
                && let Some(address) = failure.detail().and_then(|detail| moved_to(detail, asked))
            {
                self.redirections -= 1;
                self.named = Some(address);
                self.asks = true;
                return None;
            }
        } else if failure.is_of_the_connection() {
            // The node may be gone for good: the next call asks who follows it. The others have nothing to do with it.
            self.cluster.map().ranges.retain(|(_, _, master)| master != asked);
        }
        Some(answer)
    }
}
