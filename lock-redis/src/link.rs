//! One connection to one server, made anew whenever it breaks. Every wait in here has a limit.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, PushInfo, PushKind, RedisResult, Value, cmd};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::batch::Batch;
use crate::connector::Connector;
use crate::error::{Failure, shown};
use crate::inbox::Inbox;

/// A connection that many tasks share.
///
/// There is no reconnecting in the background: whoever needs the connection makes it, one at a time, and the others
/// wait for the outcome. So nobody waits longer than the limit, and a server that is down is asked as often as
/// callers try, which they do with growing pauses.
pub(crate) struct Link {
    me: Weak<Self>,
    connector: Connector,
    inbox: Arc<Inbox>,
    /// Subscribed before the connection is used: who is woken on it must hear it.
    channel: Option<String>,
    live: Mutex<Option<Live>>,
    connecting: tokio::sync::Mutex<()>,
    /// How many connections were tried, and why the last one that failed did.
    tried: AtomicU64,
    last_failure: Mutex<Option<(u64, Failure)>>,
}

/// An answer of the driver's within a limit.
type Answer<T> = Result<RedisResult<T>, Elapsed>;

#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    batch: Arc<Batch>,
    number: u64,
}

impl Link {
    pub(crate) fn new(connector: Connector, inbox: Arc<Inbox>, channel: Option<String>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            connector,
            inbox,
            channel,
            live: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            tried: AtomicU64::new(0),
            last_failure: Mutex::default(),
        })
    }

    /// Connects unless there is a connection; answers its number.
    pub(crate) async fn open(&self) -> Result<u64, Failure> {
        Ok(self.live().await?.number)
    }

    /// Sends a command, in one write with those that are sent at the same moment. An error that the server answers is a
    /// failure.
    pub(crate) async fn call(&self, command: Cmd) -> Result<Value, Failure> {
        let Live { mut connection, batch, number } = self.live().await?;
        let limit = self.connector.limit();
        let answer = timeout(limit, batch.call(&mut connection, command)).await;
        self.judge(number, answer.map(|answer| answer.and_then(Value::extract_error)), limit)
    }

    /// Sends a command by itself; an error that the server answers is a failure.
    pub(crate) async fn send(&self, command: &Cmd) -> Result<Value, Failure> {
        self.send_within(command, self.limit()).await
    }

    /// The same with another limit.
    pub(crate) async fn send_within(&self, command: &Cmd, limit: Duration) -> Result<Value, Failure> {
        let live = self.live().await?;
        let mut connection = live.connection;
        let answer = timeout(limit, connection.send_packed_command(command)).await;
        self.judge(live.number, answer.map(|answer| answer.and_then(Value::extract_error)), limit)
    }

    /// Sends commands one after the other; the first error that the server answers is a failure.
    pub(crate) async fn send_all(&self, commands: &Pipeline) -> Result<Vec<Value>, Failure> {
        let limit = self.connector.limit();
        let (number, answer) = self.exchange(commands, limit).await?;
        let all_good = |values: Vec<Value>| values.into_iter().map(Value::extract_error).collect();
        self.judge(number, answer.map(|answer| answer.and_then(all_good)), limit)
    }

    /// The same with a failure for each error, and with a limit of the caller's: some commands wait on the server.
    pub(crate) async fn send_each(
        &self,
        commands: &Pipeline,
        limit: Duration,
    ) -> Result<Vec<Result<Value, Failure>>, Failure> {
        let (number, answer) = self.exchange(commands, limit).await?;
        let answers = self.judge(number, answer, limit)?;
        Ok(answers.into_iter().map(|answer| self.judge(number, Ok(answer.extract_error()), limit)).collect())
    }

    async fn exchange(&self, commands: &Pipeline, limit: Duration) -> Result<(u64, Answer<Vec<Value>>), Failure> {
        let live = self.live().await?;
        let mut connection = live.connection;
        let answer = timeout(limit, connection.send_packed_commands(commands, 0, commands.len())).await;
        Ok((live.number, answer))
    }

    /// An answer of the wrong shape.
    pub(crate) fn odd(&self, answer: &impl std::fmt::Debug) -> Failure {
        Failure::Odd { to: self.connector.shown().clone(), answer: shown(answer) }
    }

    /// What messages call the server.
    pub(crate) fn shown(&self) -> &str {
        self.connector.shown()
    }

    /// How long a call may take.
    pub(crate) fn limit(&self) -> Duration {
        self.connector.limit()
    }

    fn judge<T>(&self, number: u64, answer: Answer<T>, limit: Duration) -> Result<T, Failure> {
        let to = self.connector.shown().clone();
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if error.code().is_some() => {
                // A demoted master: there is another one now, and Sentinel knows it.
                if error.code() == Some("READONLY") {
                    self.forget(number);
                }
                Err(Failure::Refused { to, error })
            }
            Ok(Err(error)) => {
                self.forget(number);
                Err(Failure::Broken { to, error })
            }
            Err(_) => {
                // It may be half open: the next call gets a new one.
                self.forget(number);
                Err(Failure::NoAnswer { to, limit })
            }
        }
    }

    async fn live(&self) -> Result<Live, Failure> {
        match self.current() {
            Some(live) => Ok(live),
            // Boxed: it is long, and seldom runs.
            None => Box::pin(self.reconnect()).await,
        }
    }

    async fn reconnect(&self) -> Result<Live, Failure> {
        let tried_before = self.tried.load(Ordering::Acquire);
        let _turn = self.connecting.lock().await;
        if let Some(live) = self.current() {
            return Ok(live);
        }
        // Somebody tried while this call waited for its turn: it doesn't wait for a second try.
        if let Some((number, failure)) = &*lock(&self.last_failure)
            && *number > tried_before
        {
            return Err(failure.clone());
        }
        let number = self.tried.fetch_add(1, Ordering::AcqRel) + 1;
        let result = self.connect(number).await;
        match &result {
            Ok(live) => *lock(&self.live) = Some(live.clone()),
            Err(failure) => *lock(&self.last_failure) = Some((number, failure.clone())),
        }
        result
    }

    async fn connect(&self, number: u64) -> Result<Live, Failure> {
        let limit = self.connector.limit();
        let to = self.connector.shown();
        let connect = async {
            let (me, inbox) = (self.me.clone(), self.inbox.clone());
            let push = move |info: PushInfo| -> Result<(), std::convert::Infallible> {
                match info.kind {
                    PushKind::Message | PushKind::SMessage => inbox.message(&info.data),
                    // A slot that moved takes its subscriptions with it. The driver takes this for an answer, so the
                    // connection is of no use any more; nothing but subscriptions is ever sent on it.
                    PushKind::Disconnection | PushKind::SUnsubscribe => {
                        if let Some(me) = me.upgrade() {
                            me.forget(number);
                        }
                    }
                    _ => {}
                }
                Ok(())
            };
            let mut connection = self.connector.connect(push).await?;
            if let Some(channel) = &self.channel {
                connection.send_packed_command(cmd("SUBSCRIBE").arg(channel)).await?.extract_error()?;
            }
            Ok(connection)
        };
        // Boxed: it is long, and seldom runs.
        let connect: Pin<Box<dyn Future<Output = RedisResult<MultiplexedConnection>> + Send + '_>> = Box::pin(connect);
        match timeout(limit, connect).await {
            Ok(Ok(connection)) => {
                tracing::debug!(server = self.shown(), number, "connected");
                Ok(Live { connection, batch: Arc::default(), number })
            }
            Ok(Err(error)) => Err(Failure::NoConnection { to: to.clone(), error }),
            Err(_) => Err(Failure::NotConnectedWithin { to: to.clone(), limit }),
        }
    }

    /// Whether there is a connection, as far as is known.
    pub(crate) fn is_live(&self) -> bool {
        lock(&self.live).is_some()
    }

    fn current(&self) -> Option<Live> {
        lock(&self.live).clone()
    }

    /// Calls under way keep the connection; the next one makes another. Who waits makes one at once: until then it hears
    /// nothing, or counts as alive by a connection that nobody reads.
    fn forget(&self, number: u64) {
        let mut live = lock(&self.live);
        if live.as_ref().is_some_and(|live| live.number == number) {
            *live = None;
            drop(live);
            self.inbox.look_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
