//! The proxy's thread: it takes orders, accepts connections, and owns everything that moves.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc as blocking};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::Counters;
use super::door::Door;
use super::relay;
use super::shared::{Seat, Shared};
use super::state::{Newcomers, State};
use super::trap::Trap;

/// How long an order may take until it is in force.
const PROMPT: Duration = Duration::from_secs(10);

/// Edits the state; it is told the number that the next connection will have.
type Edit = Box<dyn FnOnce(&mut State, u64) + Send>;

/// An order, and who waits until it is in force.
type Order = (Edit, blocking::SyncSender<()>);

/// The handle of the thread. Dropping it ends the thread, and with it every task and connection.
#[derive(Debug)]
pub(super) struct Office {
    orders: Option<mpsc::UnboundedSender<Order>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Office {
    pub(super) fn open(upstream: SocketAddr) -> (SocketAddr, Self) {
        let shared = Arc::new(Shared::new(upstream));
        let (orders, inbox) = mpsc::unbounded_channel();
        let (ready, address) = blocking::sync_channel(1);
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("fault proxy".to_owned());
        let thread = thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime for the proxy").block_on(async move {
                let door = Door::open().expect("a port for the proxy");
                ready.send(door.address()).expect("the proxy is waited for");
                serve(door, inbox, own).await;
            });
        });
        let thread = Some(thread.expect("a thread for the proxy"));
        let address = address.recv().expect("the proxy's thread has started");
        (address, Self { orders: Some(orders), shared, thread })
    }

    /// Gives an order, and returns when it is in force.
    pub(super) fn order(&self, edit: impl FnOnce(&mut State, u64) + Send + 'static) {
        let (done, wait) = blocking::sync_channel(1);
        let orders = self.orders.as_ref().expect("only the drop takes it");
        orders.send((Box::new(edit), done)).expect("the proxy's thread lives as long as the proxy");
        wait.recv_timeout(PROMPT).expect("the proxy does promptly what it is ordered");
    }

    pub(super) fn set(&self, trap: Trap) {
        self.shared.traps().set(trap);
    }

    pub(super) fn clear_traps(&self) {
        self.shared.traps().clear();
    }

    pub(super) fn counters(&self) -> Counters {
        self.shared.counters.borrow().clone()
    }

    pub(super) async fn until(&self, wanted: impl FnMut(&Counters) -> bool, patience: Duration) -> Counters {
        let mut counters = self.shared.counters.subscribe();
        let reached = tokio::time::timeout(patience, counters.wait_for(wanted)).await;
        let reached = reached.map(|counters| counters.expect("the sender is ours").clone());
        reached.unwrap_or_else(|_| panic!("not within {patience:?}: the proxy has seen {:?}", self.counters()))
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.orders = None;
        let ended = self.thread.take().map(JoinHandle::join);
        if let (Some(Err(_)), false) = (ended, std::thread::panicking()) {
            panic!("the proxy's thread panicked; see above");
        }
    }
}

/// Runs until the handle is dropped.
async fn serve(mut door: Door, mut orders: mpsc::UnboundedReceiver<Order>, shared: Arc<Shared>) {
    let mut next = 1;
    let mut state = shared.state.subscribe();
    loop {
        tokio::select! {
            biased;
            // A trap may have ordered it.
            changed = state.changed() => {
                changed.expect("the sender is shared");
                set(&mut door, &shared);
            }
            order = orders.recv() => {
                let Some((edit, done)) = order else { return };
                while let Some(client) = door.at_once().await {
                    admit(client, &mut next, &shared);
                }
                obey(edit, next, &mut door, &shared).await;
                // Nobody waits any more if it has taken too long.
                let _ = done.send(());
            }
            client = door.next() => match client {
                Ok(client) => admit(client, &mut next, &shared),
                // Out of descriptors, say: the client waits, and so do we.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

fn admit(client: TcpStream, next: &mut u64, shared: &Arc<Shared>) {
    let seat = Seat::take(*next, shared);
    *next += 1;
    tokio::spawn(relay::run(client, seat, shared.clone()));
}

/// Returns when the order is in force: when everything has ended that has to.
async fn obey(edit: Edit, next: u64, door: &mut Door, shared: &Shared) {
    let mut counters = shared.counters.subscribe();
    shared.state.send_modify(|state| edit(state, next));
    shared.mark_the_half_open();
    set(door, shared);
    while shared.is_behind() {
        counters.changed().await.expect("the sender is shared");
    }
}

fn set(door: &mut Door, shared: &Shared) {
    match shared.state.borrow().newcomers {
        Newcomers::Refuse => door.lock(),
        Newcomers::Serve | Newcomers::Wait => door.unlock().expect("the port is still ours"),
    }
    shared.door.send_replace(());
}
