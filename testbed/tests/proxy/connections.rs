//! Faults of whole connections.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use testbed::proxy::Proxy;

use crate::support::{Client, Heard, Server};

#[test]
fn everything_passes_until_a_fault_is_ordered() {
    let (server, proxy) = Server::behind_proxy();
    let (mut one, mut other) = (Client::connect(&proxy), Client::connect(&proxy));
    assert!(one.is_answered() && other.is_answered() && one.is_answered());
    let counters = proxy.counters();
    assert_eq!((counters.accepted, counters.open, counters.requests), (2, 2, 3));
    assert_eq!((counters.bytes_to_server, counters.bytes_to_client), (6, 9));
    drop((one, other));
    server.until_heard("(end)");
}

#[test]
fn new_connections_are_refused_and_open_ones_go_on() {
    let (_server, proxy) = Server::behind_proxy();
    let mut old = Client::greeted(&proxy);
    for _ in 0..3 {
        proxy.refuse();
        assert_eq!(Client::try_connect(&proxy).err().map(|error| error.kind()), Some(ErrorKind::ConnectionRefused));
        assert!(old.is_answered());
        proxy.heal();
        assert!(Client::connect(&proxy).is_answered());
    }
}

#[test]
fn a_port_is_nobody_elses_while_connections_are_refused() {
    let (_server, proxy) = Server::behind_proxy();
    proxy.refuse();
    let taken = std::net::TcpListener::bind(proxy.address()).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(taken, Err(ErrorKind::AddrInUse));
    proxy.heal();
    assert!(Client::connect(&proxy).is_answered());
}

#[test]
fn a_cut_ends_every_connection_in_order() {
    let (server, proxy) = Server::behind_proxy();
    let mut clients = [Client::greeted(&proxy), Client::greeted(&proxy)];
    proxy.cut();
    assert_eq!(proxy.counters().open, 0);
    assert_eq!(clients.each_mut().map(Client::hear), [Heard::End, Heard::End]);
    server.until_heard("(end)");
    assert!(Client::connect(&proxy).is_answered(), "new connections work");
}

#[test]
fn a_reset_is_heard_as_one_on_both_sides() {
    let (server, proxy) = Server::behind_proxy();
    let mut client = Client::greeted(&proxy);
    proxy.reset();
    assert_eq!(client.hear(), Heard::Reset);
    server.until_heard("(reset)");
    assert!(Client::connect(&proxy).is_answered(), "new connections work");
}

#[test]
fn a_cut_ends_connections_that_the_proxy_has_not_looked_at_yet() {
    let (_server, proxy) = Server::behind_proxy();
    for _ in 0..50 {
        let mut client = Client::connect(&proxy);
        proxy.cut();
        assert_eq!(client.hear(), Heard::End);
    }
}

#[test]
fn in_a_blackhole_nothing_passes_and_all_of_it_comes_at_the_healing() {
    let (server, proxy) = Server::behind_proxy();
    let mut old = Client::greeted(&proxy);
    proxy.blackhole();
    let mut new = Client::connect(&proxy);
    assert_eq!([old.ask("old"), new.ask("new")], [Heard::Silence, Heard::Silence]);
    assert_eq!(server.heard(), ["hello"]);
    proxy.heal();
    assert_eq!(old.hear_at_last(), Heard::Line("+old".to_owned()));
    assert_eq!(new.hear_at_last(), Heard::Line("+new".to_owned()));
}

#[test]
fn a_blackhole_hides_even_the_end_of_a_client_and_cut_loses_what_it_sent() {
    let (server, proxy) = Server::behind_proxy();
    let client = Client::greeted(&proxy);
    proxy.blackhole();
    client.say("lost\n");
    drop(client);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(server.heard(), ["hello"]);
    proxy.cut();
    proxy.heal();
    server.until_heard("(end)");
    assert_eq!(server.heard(), ["hello", "(end)"]);
}

#[test]
fn a_half_open_connection_is_silent_and_new_ones_work() {
    let (server, proxy) = Server::behind_proxy();
    let (mut talking, mut idle) = (Client::greeted(&proxy), Client::greeted(&proxy));
    proxy.half_open();
    assert_eq!(talking.ask("swallowed"), Heard::Silence);
    assert!(Client::greeted(&proxy).is_answered());
    assert!(!server.heard().contains(&"swallowed".to_owned()));
    proxy.heal();
    assert_eq!([talking.hear(), idle.hear()], [Heard::Reset, Heard::Reset], "their peer is gone");
}

#[test]
fn without_a_server_the_clients_connection_is_reset() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::to(nobody);
    assert_eq!(Client::connect(&proxy).hear(), Heard::Reset);
    let server = Server::start();
    proxy.lead_to(server.address);
    assert!(Client::connect(&proxy).is_answered());
}

#[test]
fn a_client_that_has_said_all_still_hears_the_answer() {
    let (_server, proxy) = Server::behind_proxy();
    let stream = std::net::TcpStream::connect(proxy.address()).unwrap();
    std::io::Write::write_all(&mut &stream, b"last\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(std::io::read_to_string(&stream).unwrap(), "+last\n");
}

#[test]
fn dropping_the_proxy_ends_its_connections_and_its_thread() {
    let (server, proxy) = Server::behind_proxy();
    let mut client = Client::greeted(&proxy);
    proxy.blackhole();
    let _waiting = Client::connect(&proxy);
    let address = proxy.address();
    let begin = Instant::now();
    drop(proxy);
    assert!(begin.elapsed() < Duration::from_secs(5), "the drop waits for the thread, which waits for nothing");
    assert_ne!(client.hear(), Heard::Silence);
    server.until_heard("(end)");
    assert!(std::net::TcpStream::connect(address).is_err());
}

/// The proxy has a thread of its own: a test that blocks its executor (a fault of its own) doesn't stop it.
#[tokio::test]
async fn a_blocked_executor_stops_no_proxy() {
    let (_server, proxy) = Server::behind_proxy();
    proxy.delay_replies(Duration::from_millis(50));
    assert!(Client::connect(&proxy).is_answered(), "asked and answered on the executor's only thread");
    proxy.until(|counters| counters.open == 0).await;
}
