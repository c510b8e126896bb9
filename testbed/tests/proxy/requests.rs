//! Faults of single requests.

use testbed::proxy::{End, Proxy, Trap};

use crate::support::{Client, Heard, Server};

fn line(text: &str) -> Heard {
    Heard::Line(text.to_owned())
}

#[test]
fn a_request_cut_before_was_never_heard() {
    let (server, proxy) = Server::behind_proxy();
    let mut client = Client::greeted(&proxy);
    proxy.cut_before_request(2);
    assert_eq!([client.ask("one"), client.ask("two")], [line("+one"), Heard::Reset]);
    assert_eq!(Client::connect(&proxy).ask("three"), line("+three"));
    assert!(!server.heard().contains(&"two".to_owned()), "{:?}", server.heard());
    assert_eq!(proxy.counters().fired, 1);
}

#[test]
fn a_request_cut_after_was_done_and_its_reply_is_lost() {
    let (server, proxy) = Server::behind_proxy();
    let mut client = Client::greeted(&proxy);
    proxy.cut_after_request(1);
    assert_eq!(client.ask("one"), Heard::Reset);
    assert!(server.heard().contains(&"one".to_owned()), "done before the client knows of the cut");
    assert_eq!(Client::connect(&proxy).ask("two"), line("+two"));
}

#[test]
fn requests_are_counted_over_all_connections() {
    let (_server, proxy) = Server::behind_proxy();
    let (mut one, mut other) = (Client::greeted(&proxy), Client::greeted(&proxy));
    proxy.cut_before_request(3);
    assert_eq!([one.ask("a"), other.ask("b"), one.ask("c")], [line("+a"), line("+b"), Heard::Reset]);
    assert!(other.is_answered());
}

#[test]
fn a_request_is_known_by_its_bytes_wherever_its_reads_are_split() {
    let (server, proxy) = Server::behind_proxy();
    let mut client = Client::greeted(&proxy);
    proxy.cut_after_request_containing(b"acquire k");
    assert_eq!(client.ask("acquire other"), line("+acquire other"));
    client.say("acq");
    // Read by itself: the proxy has counted it.
    while proxy.counters().bytes_to_server < 23 {
        std::thread::yield_now();
    }
    client.say("uire k\n");
    assert_eq!(client.hear(), Heard::Reset);
    assert_eq!(server.heard()[2], "acquire k");
}

#[test]
fn a_request_cut_before_by_bytes_was_never_heard() {
    let (server, proxy) = Server::behind_proxy();
    let mut client = Client::greeted(&proxy);
    proxy.cut_before_request_containing("renew");
    assert_eq!([client.ask("acquire"), client.ask("renew")], [line("+acquire"), Heard::Reset]);
    assert_eq!(Client::connect(&proxy).ask("renew"), line("+renew"), "once only");
    assert_eq!(server.heard().iter().filter(|heard| *heard == "renew").count(), 1);
}

#[test]
fn a_trap_may_act_every_time_and_end_in_order() {
    let (server, proxy) = Server::behind_proxy();
    proxy.set(Trap::on_request_containing("acquire").and("mine").cut_after().by(End::Fin).every_time());
    for _ in 0..3 {
        assert_eq!(Client::connect(&proxy).ask("acquire mine"), Heard::End);
        assert_eq!(Client::connect(&proxy).ask("acquire yours"), line("+acquire yours"));
    }
    assert_eq!(server.heard().iter().filter(|heard| *heard == "acquire mine").count(), 3);
    proxy.heal();
    assert_eq!(Client::connect(&proxy).ask("acquire mine"), line("+acquire mine"));
}

#[test]
fn after_the_cut_nobody_gets_in() {
    let (server, proxy) = Server::behind_proxy();
    let next = Trap::on_request(1);
    for trap in [next.clone().cut_before(), next.clone().cut_after(), next.deliver_late()] {
        let mut client = Client::connect(&proxy);
        proxy.set(trap.then_refuse());
        assert_eq!(client.ask("x"), Heard::Reset);
        assert!(Client::try_connect(&proxy).is_err(), "no gap between the cut and the refusal");
        proxy.heal();
    }
    assert_eq!(server.heard().iter().filter(|heard| *heard == "x").count(), 1);
}

#[test]
fn a_late_request_is_done_when_its_client_has_gone_on() {
    let (server, proxy) = Server::behind_proxy();
    let mut client = Client::greeted(&proxy);
    proxy.deliver_late_request_containing("acquire");
    assert_eq!(client.ask("acquire"), Heard::Reset);
    assert_eq!(Client::connect(&proxy).ask("release"), line("+release"));
    assert!(!server.heard().contains(&"acquire".to_owned()));
    assert_eq!(proxy.counters().kept, 1);
    // Whatever else happens, it is kept.
    proxy.cut();
    proxy.heal();
    proxy.deliver_late();
    assert!(server.heard().contains(&"acquire".to_owned()), "done when the order has returned");
    assert_eq!(proxy.counters().kept, 0);
}

#[test]
fn pipelined_requests_are_cut_together() {
    let (server, proxy) = Server::behind_proxy();
    let mut client = Client::greeted(&proxy);
    proxy.cut_before_request(1);
    client.say("a\nb\n");
    assert_eq!(client.hear(), Heard::Reset);
    assert_eq!(server.heard()[0], "hello");
    assert!(!server.heard().contains(&"a".to_owned()));
}

#[tokio::test]
async fn until_waits_for_a_trap_to_act() {
    let (_server, proxy) = Server::behind_proxy();
    proxy.cut_after_request(1);
    let asking = {
        let client = Client::connect(&proxy);
        client.say("x\n");
        client
    };
    let counters = proxy.until(|counters| counters.fired == 1).await;
    assert_eq!((counters.accepted, counters.requests), (1, 1));
    drop(asking);
}

#[test]
#[should_panic(expected = "counted from 1")]
fn there_is_no_request_0() {
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    Proxy::to(nobody).cut_before_request(0);
}
