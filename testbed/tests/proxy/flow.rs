//! Faults of the flow of bytes.

use std::time::{Duration, Instant};

use crate::support::{Client, Heard, Server};

fn line(text: &str) -> Heard {
    Heard::Line(text.to_owned())
}

#[test]
fn with_replies_dropped_requests_are_done_and_the_connection_stays() {
    let (server, proxy) = Server::behind_proxy();
    let (mut client, mut idle) = (Client::greeted(&proxy), Client::greeted(&proxy));
    proxy.drop_replies();
    assert_eq!([client.ask("one"), client.ask("two")], [Heard::Silence, Heard::Silence]);
    assert_eq!(server.heard()[2..], ["one", "two"]);
    proxy.heal();
    assert_eq!(client.hear(), Heard::Reset, "bytes are missing in its stream");
    assert!(idle.is_answered(), "and in this one none");
}

#[test]
fn held_requests_are_done_at_the_healing() {
    let (server, proxy) = Server::behind_proxy();
    let mut client = Client::greeted(&proxy);
    proxy.hold_requests();
    assert_eq!(client.ask("late"), Heard::Silence);
    assert_eq!(server.heard(), ["hello"]);
    proxy.heal();
    assert_eq!(client.hear_at_last(), line("+late"));
}

#[test]
fn held_replies_come_at_the_healing_and_the_requests_were_done_long_before() {
    let (server, proxy) = Server::behind_proxy();
    let mut client = Client::greeted(&proxy);
    proxy.hold_replies();
    assert_eq!(client.ask("one"), Heard::Silence);
    assert_eq!(server.heard(), ["hello", "one"]);
    proxy.heal();
    assert_eq!(client.hear_at_last(), line("+one"));
}

#[test]
fn delays_are_of_one_direction_each_and_hold_nobody_up_behind() {
    let delay = Duration::from_millis(150);
    let (server, proxy) = Server::behind_proxy();
    let mut client = Client::greeted(&proxy);
    proxy.delay_requests(delay);
    client.say("one\n");
    std::thread::sleep(delay / 3);
    assert_eq!(server.heard(), ["hello"], "on its way");
    client.say("two\n");
    let begin = Instant::now();
    assert_eq!([client.hear_at_last(), client.hear_at_last()], [line("+one"), line("+two")]);
    assert!(begin.elapsed() < delay * 2, "each has its own way, not one after the other: {:?}", begin.elapsed());
    proxy.heal();
    proxy.delay_replies(delay);
    let begin = Instant::now();
    client.say("three\n");
    server.until_heard("three");
    assert_eq!(client.hear_at_last(), line("+three"));
    assert!(begin.elapsed() >= delay, "{:?}", begin.elapsed());
}

#[test]
fn a_throttled_connection_trickles() {
    let (_server, proxy) = Server::behind_proxy();
    let mut client = Client::greeted(&proxy);
    proxy.throttle(1000);
    let begin = Instant::now();
    client.say(&format!("{}\n", "x".repeat(199)));
    assert!(matches!(client.hear_at_last(), Heard::Line(_)));
    // 200 bytes there, 201 back.
    assert!(begin.elapsed() >= Duration::from_millis(380), "{:?}", begin.elapsed());
}

#[test]
fn a_megabyte_passes_through_a_delay() {
    let (_server, proxy) = Server::behind_proxy();
    proxy.delay_requests(Duration::from_millis(5));
    let mut client = Client::greeted(&proxy);
    let text = "y".repeat(1 << 20);
    client.say(&format!("{text}\n"));
    assert_eq!(client.hear_at_last(), line(&format!("+{text}")));
}
