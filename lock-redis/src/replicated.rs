//! Acquires that count only once replicas have them.

use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use redis::{Cmd, Value, cmd, pipe};
use tokio::sync::oneshot;

use crate::error::Failure;
use crate::link::Link;
use crate::shared::Replication;

/// The connection on which replicas are waited for. What they wait for must not hold up renewals.
///
/// `WAIT` blocks its connection, and speaks of everything that was written on it before: so those who come while
/// others wait go together, in one batch with one `WAIT`, and nobody waits longer than for two.
pub(crate) struct Replicated {
    link: Arc<Link>,
    replication: Replication,
    queue: Mutex<Vec<Job>>,
    /// Of whom a batch is under way.
    turn: tokio::sync::Mutex<()>,
}

/// What a command answered, and how many replicas have what it wrote.
type Answer = Result<(Value, Option<i64>), Failure>;
type Job = (Cmd, oneshot::Sender<Answer>);

impl Replicated {
    pub(crate) fn new(link: Arc<Link>, replication: Replication) -> Arc<Self> {
        Arc::new(Self { link, replication, queue: Mutex::default(), turn: tokio::sync::Mutex::default() })
    }

    pub(crate) async fn run(self: &Arc<Self>, command: Cmd) -> Answer {
        let (tell, told) = oneshot::channel();
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push((command, tell));
        // Not in the caller's own task: one that is dropped would take the answers of the others with it.
        let me = self.clone();
        tokio::spawn(async move {
            let _turn = me.turn.lock().await;
            me.send_queued().await;
        });
        // Nobody tells if the runtime ends.
        told.await.unwrap_or_else(|_| Err(self.link.odd(&"nothing, and the program ends")))
    }

    /// Sends all that have come so far, which may be none: somebody before has sent them.
    async fn send_queued(&self) {
        let mut jobs = take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner));
        jobs.retain(|(_, tell)| !tell.is_closed());
        if jobs.is_empty() {
            return;
        }
        let (commands, tells): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        match self.send(commands).await {
            Ok(answers) => {
                for (tell, answer) in tells.into_iter().zip(answers) {
                    let _ = tell.send(answer);
                }
            }
            Err(failure) => {
                for tell in tells {
                    let _ = tell.send(Err(failure.clone()));
                }
            }
        }
    }

    async fn send(&self, commands: Vec<Cmd>) -> Result<Vec<Answer>, Failure> {
        let Replication { replicas, limit } = self.replication;
        let (count, ms) = (commands.len(), u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1));
        let mut batch = pipe();
        for command in commands {
            batch.add_command(command);
        }
        batch.add_command(cmd("WAIT").arg(replicas).arg(ms).take());
        let mut answers = self.link.send_each(&batch, limit + self.link.limit()).await?;
        let have = match answers.pop() {
            Some(Ok(Value::Int(have))) if answers.len() == count => have,
            Some(Err(failure)) => return Err(failure),
            other => return Err(self.link.odd(&other)),
        };
        Ok(answers.into_iter().map(|answer| answer.map(|value| (value, Some(have)))).collect())
    }
}
