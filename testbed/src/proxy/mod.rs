//! A TCP proxy that does harm on command: what a network, a firewall or a dying server does to a client.
//!
//! ```no_run
//! # async fn example(server: std::net::SocketAddr) {
//! use testbed::proxy::Proxy;
//!
//! let proxy = Proxy::to(server); // a test has its own
//! let url = format!("redis://{}", proxy.address());
//! proxy.cut_after_request_containing(b"EVALSHA"); // applied, and the reply lost
//! // ... the client asks once, and then again ...
//! proxy.until(|counters| counters.fired == 1).await;
//! # }
//! ```
//!
//! | fault | what the client sees |
//! |---|---|
//! | [`refuse`](Proxy::refuse) | connecting fails at once; open connections go on |
//! | [`blackhole`](Proxy::blackhole) | nothing passes and nothing ends; connecting succeeds, and then nothing is answered |
//! | [`half_open`](Proxy::half_open) | connections open now are dead without a sign; new ones work |
//! | [`cut`](Proxy::cut), [`reset`](Proxy::reset) | all connections end now: "end of file", "connection reset" |
//! | [`cut_before_request`](Proxy::cut_before_request) | the connection is reset; the server never saw the request |
//! | [`cut_after_request`](Proxy::cut_after_request) | the connection is reset; the server has done what was asked |
//! | [`deliver_late`](Proxy::deliver_late_request_containing) | the connection is reset; the server does it later, when told |
//! | [`drop_replies`](Proxy::drop_replies) | silence, while the server does all that it is asked |
//! | [`hold_requests`](Proxy::hold_requests), [`hold_replies`](Proxy::hold_replies) | silence, and after the healing all of it at once |
//! | [`delay_requests`](Proxy::delay_requests), [`delay_replies`](Proxy::delay_replies) | every answer comes later |
//! | [`throttle`](Proxy::throttle) | bytes trickle |
//! | [`heal`](Proxy::heal) | all is well again, but connections that lost bytes are reset |
//!
//! A fault that was ordered is in force when its method returns. Faults add up until [`Proxy::heal`].
//!
//! The proxy has a thread with a runtime of its own, and ordinary methods: it works the same in a test that blocks
//! its executor, in one that pauses the runtime's clock, and in a program without any runtime. Dropping it ends all
//! of its connections.

mod counters;
mod direction;
mod door;
mod http2;
mod office;
mod relay;
mod shared;
mod state;
mod talk;
mod trap;

pub use counters::Counters;
pub use state::End;
pub use trap::Trap;

use std::net::SocketAddr;
use std::time::Duration;

use office::Office;
use state::{Newcomers, State};

/// How long [`Proxy::until`] waits before it gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy to one server, with its own address.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    office: Office,
}

impl Proxy {
    /// A proxy to the server at `upstream`, that lets everything pass. It needs no server yet: it connects whenever
    /// a client does, and resets the client's connection when it can't.
    ///
    /// # Panics
    /// If this machine has no port left.
    #[must_use]
    pub fn to(upstream: SocketAddr) -> Self {
        let (address, office) = Office::open(upstream);
        Self { address, office }
    }

    /// Where clients connect to. The port stays, whatever is ordered.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends connections made from now on to another server.
    pub fn lead_to(&self, upstream: SocketAddr) {
        self.change(move |state| state.upstream = upstream);
    }

    /// What has passed so far.
    pub fn counters(&self) -> Counters {
        self.office.counters()
    }

    /// Waits until the counters are as wanted: instead of a sleep that hopes.
    ///
    /// # Panics
    /// If they aren't within 30 seconds; the message shows them.
    pub async fn until(&self, wanted: impl FnMut(&Counters) -> bool) -> Counters {
        self.office.until(wanted, PATIENCE).await
    }

    /// New connections are refused, as if no process listened. Open ones go on.
    pub fn refuse(&self) {
        self.change(|state| state.newcomers = Newcomers::Refuse);
    }

    /// Nothing passes, in either direction, as in a partition of the network: not even the end of a connection. New
    /// connections are accepted (by the kernel) and nothing is heard on them.
    ///
    /// What the two sides send is kept and delivered at the healing, as TCP repeats it. [`Proxy::cut`] first, if it
    /// is to be lost.
    pub fn blackhole(&self) {
        self.change(|state| {
            state.newcomers = Newcomers::Wait;
            state.requests.held = true;
            state.replies.held = true;
        });
    }

    /// The connections that are open now are dead, and nobody knows it: what is sent on them is swallowed, and no
    /// end is ever told, as when a firewall has forgotten them. New connections work. Healing resets the dead ones.
    pub fn half_open(&self) {
        self.office.order(|state, next| state.half_open_below = next);
    }

    /// All connections that are open now end in order (FIN), as when a server shuts down. When this returns, they
    /// have ended.
    pub fn cut(&self) {
        self.office.order(|state, next| state.cut_below = (next, End::Fin));
    }

    /// All connections that are open now are reset (RST), as by a firewall.
    pub fn reset(&self) {
        self.office.order(|state, next| state.cut_below = (next, End::Reset));
    }

    /// Resets the connection on which the `number`th request from now comes (1 is the next), before it is forwarded:
    /// the server has done nothing.
    ///
    /// A request is what a client sends after the last reply: pipelined ones count as one. On HTTP/2 (known by its
    /// preface) it is a DATA frame, so that pings and settings don't count.
    pub fn cut_before_request(&self, number: u64) {
        self.set(Trap::on_request(number).cut_before());
    }

    /// Resets the connection on which the `number`th request from now comes (1 is the next), after the server has
    /// answered it: what was asked is done, and the reply is lost.
    pub fn cut_after_request(&self, number: u64) {
        self.set(Trap::on_request(number).cut_after());
    }

    /// [`Proxy::cut_before_request`] for the next request that has these bytes in it.
    pub fn cut_before_request_containing(&self, bytes: impl AsRef<[u8]>) {
        self.set(Trap::on_request_containing(bytes).cut_before());
    }

    /// [`Proxy::cut_after_request`] for the next request that has these bytes in it.
    pub fn cut_after_request_containing(&self, bytes: impl AsRef<[u8]>) {
        self.set(Trap::on_request_containing(bytes).cut_after());
    }

    /// Resets the connection on which the next request with these bytes comes, and keeps the request: the server
    /// gets it at [`Proxy::deliver_late`], when its client has long gone on.
    pub fn deliver_late_request_containing(&self, bytes: impl AsRef<[u8]>) {
        self.set(Trap::on_request_containing(bytes).deliver_late());
    }

    /// Gives the server the requests that were kept. Returns when it has answered them, so they have been applied.
    pub fn deliver_late(&self) {
        self.change(|state| state.late_round += 1);
    }

    /// Sets a trap: the general form of the five methods above. Of several, the first set that fits acts.
    pub fn set(&self, trap: Trap) {
        self.office.set(trap);
    }

    /// Requests pass, replies are swallowed, on every connection. Healing resets those that lost some.
    pub fn drop_replies(&self) {
        self.change(|state| state.replies.swallowed = true);
    }

    /// Requests are kept until [`Proxy::heal`], and then applied, however late.
    pub fn hold_requests(&self) {
        self.change(|state| state.requests.held = true);
    }

    /// Requests pass and are applied; replies are kept until [`Proxy::heal`], and then come, however late.
    pub fn hold_replies(&self) {
        self.change(|state| state.replies.held = true);
    }

    /// From now on requests arrive this much later.
    pub fn delay_requests(&self, by: Duration) {
        self.change(move |state| state.requests.delay = by);
    }

    /// From now on replies arrive this much later.
    pub fn delay_replies(&self, by: Duration) {
        self.change(move |state| state.replies.delay = by);
    }

    /// Each connection passes so many bytes a second at most, in each direction.
    ///
    /// # Panics
    /// If it is zero: that is a [`Proxy::blackhole`].
    pub fn throttle(&self, bytes_per_second: u32) {
        assert_ne!(bytes_per_second, 0, "no bytes a second: that is a blackhole");
        self.change(move |state| {
            state.requests.rate = Some(bytes_per_second);
            state.replies.rate = Some(bytes_per_second);
        });
    }

    /// Ends all faults: traps are taken away, what was held is delivered, new connections are served. Connections
    /// that lost bytes (or their peer, by [`Proxy::half_open`]) are reset. Requests kept for late delivery stay kept.
    pub fn heal(&self) {
        self.office.clear_traps();
        self.change(State::heal);
    }

    fn change(&self, edit: impl FnOnce(&mut State) + Send + 'static) {
        self.office.order(|state, _| edit(state));
    }
}
