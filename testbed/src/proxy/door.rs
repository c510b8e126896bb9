//! The address that clients connect to: it can be shut, and be opened again at the same port.

use std::future::{pending, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::Poll;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A listener that keeps its port while nobody listens.
#[derive(Debug)]
pub(super) struct Door {
    address: SocketAddr,
    /// Bound and never listening: as long as it lives the port is nobody else's, and connecting is refused.
    _place: Option<TcpSocket>,
    listener: Option<TcpListener>,
}

impl Door {
    pub(super) fn open() -> io::Result<Self> {
        let place = socket()?;
        place.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = place.local_addr()?;
        // Elsewhere two sockets can't share a port: the listener alone holds it, and risks it while the door is shut.
        let place = cfg!(unix).then_some(place);
        let mut door = Self { address, _place: place, listener: None };
        door.unlock()?;
        Ok(door)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves new connections again.
    pub(super) fn unlock(&mut self) -> io::Result<()> {
        if self.listener.is_none() {
            let socket = socket()?;
            socket.bind(self.address)?;
            self.listener = Some(socket.listen(1024)?);
        }
        Ok(())
    }

    /// New connections are refused from now on.
    pub(super) fn lock(&mut self) {
        self.listener = None;
    }

    /// The next connection. Nothing is lost when it is cancelled.
    pub(super) async fn next(&self) -> io::Result<TcpStream> {
        match &self.listener {
            Some(listener) => listener.accept().await.map(|(client, _)| client),
            None => pending().await,
        }
    }

    /// A connection that is already there, whether the runtime has heard of it or not: a client that got through
    /// before an order was given is subject to it.
    pub(super) async fn at_once(&self) -> Option<TcpStream> {
        let listener = self.listener.as_ref()?;
        // The runtime asks the system for news before a task that has yielded goes on.
        tokio::task::yield_now().await;
        let accepted = poll_fn(|context| match listener.poll_accept(context) {
            Poll::Ready(Ok((client, _))) => Poll::Ready(Some(client)),
            _ => Poll::Ready(None),
        });
        accepted.await
    }
}

fn socket() -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Not `reuseaddr`: with that any process could bind the place while nobody listens there.
    #[cfg(unix)]
    socket.set_reuseport(true)?;
    Ok(socket)
}
