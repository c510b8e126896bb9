//! Sixty-four waiters in eight processes: their order, and what a hand-off costs the server.
//!
//! The processes are this test binary once more, which the variable below turns into a group of waiters.

#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use lock_core::{Attempt, LockBackend};
use support::{LONG, acquire, connect, granted, release, request, until_waiting};
use testbed::redis::RedisServer;

const PORT: &str = "LOCK_REDIS_TEST_PORT";
const PROCESSES: usize = 8;
const EACH: usize = 8;
/// What isn't part of a hand-off: the last release, which hands to nobody, takes four commands, and a script that runs for
/// the first time costs two more.
const LAST: u64 = 4 + 2;

/// A process with `EACH` waiters, killed with the test.
struct Group {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Group {
    fn start(port: u16) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "group", "--nocapture", "--test-threads=1"])
            .env(PORT, port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn say(&mut self, word: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{word}").unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        while self.out.read_line(&mut line).unwrap() > 0 {
            if let Some((_, said)) = line.split_once("group: ") {
                return said.trim().to_owned();
            }
            line.clear();
        }
        panic!("the group ended without a word");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(line: impl std::fmt::Display) {
    println!("group: {line}");
}

/// Not a test of its own: without the variable it is over at once. Each line of the input lets one more waiter try and
/// wait; at the end, the tokens in the order of the waiters.
#[test]
fn group() {
    let Ok(port) = std::env::var(PORT) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let backend = std::sync::Arc::new(connect(port.parse().unwrap()).await);
        say("ready");
        let mut waiting = Vec::new();
        while waiting.len() < EACH {
            // Never on the runtime's only thread: those in line must hear.
            let line = tokio::task::spawn_blocking(|| {
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).map(|_| line)
            });
            assert_eq!(line.await.unwrap().unwrap().trim(), "wait");
            let backend = backend.clone();
            waiting.push(tokio::spawn(async move {
                let request = request("k", LONG).with_waiting(true);
                let grant = acquire(&backend, &request).await.unwrap();
                release(&backend, &request).await;
                grant.token()
            }));
        }
        for waiter in waiting {
            say(waiter.await.unwrap());
        }
    });
}

fn calls(server: &RedisServer) -> (u64, String) {
    let counts = server.commands().unwrap();
    // Those of the test aside. (The scripts count the queue for nobody who stands in it.)
    let counted = counts.iter().filter(|(name, _)| !matches!(name.as_str(), "info" | "config|resetstat" | "llen"));
    (counted.clone().map(|(_, count)| count).sum(), format!("{:?}", counted.collect::<Vec<_>>()))
}

/// The commands of looks, which come by the clock, whoever is handed the lock: five each, or two when the turn has just come.
/// Tries and releases read the lock as well, `others` of them. Who is told of its turn more than half a second after its last
/// look asks, for three: on a busy machine some do.
fn of_looks(server: &RedisServer, others: u64) -> u64 {
    let counts = server.commands().unwrap();
    let count = |name: &str| counts.iter().find(|(named, _)| *named == name).map_or(0, |(_, count)| *count);
    let asked = count("pexpire") - count("lpos");
    5 * count("lpos") + 2 * (count("get") - others - count("lpos")) + asked
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_waiters_are_served_in_order_for_ten_commands_each() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let holder = request("k", LONG);
    let first = granted(&backend, &holder).await;
    let mut groups: Vec<_> = (0..PROCESSES).map(|_| Group::start(server.port())).collect();
    for group in &mut groups {
        assert_eq!(group.hear(), "ready");
    }
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    let mut standing = 0;
    // One process after the other, so that neighbours in the queue are never of one process.
    for _ in 0..EACH {
        for group in &mut groups {
            group.say("wait");
            standing += 1;
            while server.command(&["LLEN", "{distlock:k}:queue"]).unwrap() != standing.to_string() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    assert_eq!(release(&backend, &holder).await, lock_core::Release::Released);
    let mut tokens = vec![Vec::new(); PROCESSES];
    for _ in 0..EACH {
        for (group, tokens) in groups.iter_mut().zip(&mut tokens) {
            tokens.push(group.hear().parse::<u64>().unwrap());
        }
    }
    let handed = (PROCESSES * EACH) as u64;
    let (all, by_name) = calls(&server);
    // While the test lets them in slowly, one by one, some look.
    let looks = of_looks(&server, 2 * handed + 1);
    let in_order: Vec<_> = (0..EACH).flat_map(|n| tokens.iter().map(move |tokens| tokens[n])).collect();
    assert!(in_order.is_sorted() && in_order[0] > first.token().get(), "the order wasn't kept: {in_order:?}");

    // From the refused try, which is also the request to stand in line, to the release.
    let each = (all - looks).saturating_sub(LAST) as f64 / handed as f64;
    println!("{by_name}, {looks} of looks: {each} commands a hand-off");
    assert!(all - looks <= 10 * handed + LAST, "{each} commands a hand-off: {by_name}, {looks} of looks");
}

#[tokio::test]
async fn the_cost_of_a_hand_off_does_not_grow_with_the_waiters() {
    for waiters in [2_u64, 16, 128] {
        let server = RedisServer::start(&[]).unwrap();
        let backend = connect(server.port()).await;
        let requests: Vec<_> = (0..=waiters).map(|_| request("k", LONG)).collect();
        granted(&backend, &requests[0]).await;
        let wait = async {
            let all = requests[1..].iter().map(|request| async {
                acquire(&backend, request).await.unwrap();
                release(&backend, request).await;
            });
            futures_join(all).await;
        };
        let go = async {
            until_waiting(&backend, "k", waiters).await;
            server.command(&["CONFIG", "RESETSTAT"]).unwrap();
            release(&backend, &requests[0]).await;
        };
        tokio::join!(wait, go);
        let (count, by_name) = calls(&server);
        let count = count - of_looks(&server, waiters + 1);
        assert!(count <= 8 * waiters + LAST, "{waiters} waiters: {count} commands, {by_name}");
    }
}

#[tokio::test]
async fn the_only_waiter_costs_no_more_than_one_of_many() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let (rounds, mut holder) = (20_u64, request("k", LONG));
    granted(&backend, &holder).await;
    // The first time, the server has no scripts.
    for round in 0..=rounds {
        let waiter = request("k", LONG).with_waiting(true);
        let Attempt::Held(seen) = backend.try_acquire(&waiter).await.unwrap() else { panic!("granted") };
        let (turn, _) = tokio::join!(backend.wait(&waiter, &seen), release(&backend, &holder));
        turn.unwrap();
        granted(&backend, &waiter).await;
        holder = waiter;
        if round == 0 {
            server.command(&["CONFIG", "RESETSTAT"]).unwrap();
        }
    }
    let (all, by_name) = calls(&server);
    let looks = of_looks(&server, 2 * rounds);
    assert!(all - looks <= 10 * rounds, "{rounds} hand-offs: {by_name}, {looks} of looks");
}

/// Polls all of them, in the order in which they were made.
async fn futures_join(futures: impl IntoIterator<Item = impl Future<Output = ()>>) {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
