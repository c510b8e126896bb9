//! Commands of tasks that are ready at the same moment, in one write.
//!
//! The driver writes each command by itself: the first one wakes the driver's task, which runs before the next task does.
//! A system call for each command is most of what a busy client would do. So when many calls are under way, commands are
//! collected until all tasks that are ready have run.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult, Value, pipe};
use tokio::sync::oneshot;
use tokio::task::yield_now;

/// So many calls are sent by themselves: there is nothing to collect, and the way through another task costs time.
const ALONE: usize = 4;

/// The commands of one connection that are about to be sent.
#[derive(Default)]
pub(crate) struct Batch(Mutex<State>);

#[derive(Default)]
struct State {
    /// Calls under way by themselves.
    alone: usize,
    /// A task sends what was collected. While it does, everything goes through it: a call that was given up must not be
    /// sent after the one that undoes it.
    sending: bool,
    jobs: Vec<Job>,
}

type Answer = RedisResult<Value>;
type Job = (Cmd, oneshot::Sender<Answer>);

/// A call under way by itself.
struct Alone<'a>(&'a Batch);

/// The task that sends. Should it be dropped with its runtime, those who wait for it are told.
struct Sending {
    batch: Arc<Batch>,
    /// By itself: another one may have begun since.
    ended: bool,
}

impl Batch {
    /// Sends a command, and answers what the server does. A call that is dropped before its command was sent sends nothing.
    pub(crate) async fn call(self: &Arc<Self>, connection: &mut MultiplexedConnection, command: Cmd) -> Answer {
        if let Some(_alone) = self.alone() {
            // Boxed: the driver's future is longer than all the rest of a call.
            return Box::pin(connection.send_packed_command(&command)).await;
        }
        let (tell, told) = oneshot::channel();
        let must_send = {
            let mut state = self.state();
            state.jobs.push((command, tell));
            !std::mem::replace(&mut state.sending, true)
        };
        if must_send {
            // Made here: a runtime that shuts down drops a task before it begins.
            tokio::spawn(send_all(Sending { batch: self.clone(), ended: false }, connection.clone()));
        }
        // Nobody tells if the runtime ends.
        told.await.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::Interrupted).into()))
    }

    fn alone(&self) -> Option<Alone<'_>> {
        let mut state = self.state();
        if state.sending || state.alone >= ALONE {
            return None;
        }
        state.alone += 1;
        Some(Alone(self))
    }

    /// What was collected; `None`, and the next call sends for itself, if nothing was.
    fn collected(&self) -> Option<Vec<Job>> {
        let mut state = self.state();
        state.jobs.retain(|(_, tell)| !tell.is_closed());
        state.sending = !state.jobs.is_empty();
        state.sending.then(|| std::mem::take(&mut state.jobs))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.state().alone -= 1;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.ended {
            let mut state = self.batch.state();
            state.sending = false;
            state.jobs.clear();
        }
    }
}

async fn send_all(mut sending: Sending, connection: MultiplexedConnection) {
    loop {
        // All tasks that are ready run first.
        yield_now().await;
        let Some(jobs) = sending.batch.collected() else {
            sending.ended = true;
            return;
        };
        let mut exchange: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(exchange(connection.clone(), jobs));
        // Polled once, it is with the driver, and later commands come after it.
        if poll_fn(|context| Poll::Ready(exchange.as_mut().poll(context))).await.is_pending() {
            tokio::spawn(exchange);
        }
    }
}

/// Sends the commands together, and tells each caller its answer.
async fn exchange(mut connection: MultiplexedConnection, jobs: Vec<Job>) {
    let mut commands = pipe();
    let tells: Vec<_> = jobs
        .into_iter()
        .map(|(command, tell)| {
            commands.add_command(command);
            tell
        })
        .collect();
    let answers = connection.send_packed_commands(&commands, 0, commands.len()).await;
    match answers {
        Ok(answers) => {
            for (tell, answer) in tells.into_iter().zip(answers) {
                let _ = tell.send(Ok(answer));
            }
        }
        Err(error) => {
            for tell in tells {
                let _ = tell.send(Err(error.clone()));
            }
        }
    }
}
