//! The server's own lock and ours in one queue.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use lock_core::{LockAdmin, LockBackend, LockKey};
use tokio::time::{sleep, timeout};

use crate::support::{Bed, granted, is_held, request, seconds, until, waiter};

/// `etcdctl lock NAME`: prints its key when it is granted the lock, and holds it until it is told to end.
struct Foreign {
    child: Child,
    granted: Receiver<String>,
}

impl Foreign {
    fn lock(bed: &Bed, name: &str) -> Self {
        let name = format!("{}{name}", bed.prefix);
        let mut child = bed.ctl().command(&["lock", &name]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, granted) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, granted }
    }

    fn has_it(&self) -> bool {
        self.granted.try_recv().is_ok()
    }

    /// Ends it as a person does, by an interrupt: it releases.
    fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn fault_44_etcdctl_holds_and_we_wait_and_the_other_way_round() {
    let bed = Bed::new();
    let client = bed.client();
    let foreign = Foreign::lock(&bed, "deploy");
    until("etcdctl has the lock", async || foreign.has_it()).await;
    assert!(is_held(&client, "deploy").await);
    let record = client.inspect(&LockKey::new("deploy").unwrap()).await.unwrap().expect("held");
    assert!(record.token().is_some() && record.owner().is_none() && record.host().is_none(), "{record:?}");
    assert!(record.expires_in().is_some(), "its lease is told");
    let listed = client.list("").await.unwrap();
    assert_eq!(listed.len(), 1);
    foreign.end();
    until("free again", async || !is_held_and_undo(&client, "deploy").await).await;

    let held = request("deploy", 60);
    granted(&client, &held).await;
    let foreign = Foreign::lock(&bed, "deploy");
    until("etcdctl waits", async || bed.queue("deploy").len() == 2).await;
    sleep(Duration::from_millis(300)).await;
    assert!(!foreign.has_it(), "etcdctl was granted a lock that we hold");
    client.release(&held.claim()).await.unwrap();
    until("etcdctl has the lock", async || foreign.has_it()).await;
}

async fn is_held_and_undo(client: &lock_etcd::EtcdBackend, name: &str) -> bool {
    let request = request(name, 60);
    let held = matches!(client.try_acquire(&request).await.unwrap(), lock_core::Attempt::Held(_));
    client.release(&request.claim()).await.unwrap();
    held
}

#[tokio::test]
async fn fault_44_etcdctl_and_we_wait_in_one_queue_in_order() {
    let bed = Bed::new();
    let holder = bed.client();
    let held = request("queue", 60);
    granted(&holder, &held).await;
    // Places 1 and 3 are etcdctl's, 2 and 4 ours.
    let first = Foreign::lock(&bed, "queue");
    until("etcdctl waits", async || bed.queue("queue").len() == 2).await;
    let (client, second) = (Arc::new(bed.client()), request("queue", 60));
    let second_waits = waiter(&client, &second);
    until("we wait behind it", async || bed.queue("queue").len() == 3).await;
    let third = Foreign::lock(&bed, "queue");
    until("etcdctl waits behind us", async || bed.queue("queue").len() == 4).await;
    let (other, fourth) = (Arc::new(bed.client()), request("queue", 60));
    let fourth_waits = waiter(&other, &fourth);
    until("we wait behind it again", async || bed.queue("queue").len() == 5).await;

    holder.release(&held.claim()).await.unwrap();
    until("the first has the lock", async || first.has_it()).await;
    sleep(Duration::from_millis(200)).await;
    assert!(!second_waits.is_finished() && !third.has_it() && !fourth_waits.is_finished());
    first.end();
    timeout(seconds(5), second_waits).await.expect("the second is served").unwrap().unwrap();
    sleep(Duration::from_millis(200)).await;
    assert!(!third.has_it() && !fourth_waits.is_finished());
    client.release(&second.claim()).await.unwrap();
    until("the third has the lock", async || third.has_it()).await;
    sleep(Duration::from_millis(200)).await;
    assert!(!fourth_waits.is_finished());
    third.end();
    timeout(seconds(5), fourth_waits).await.expect("the fourth is served").unwrap().unwrap();
}

#[tokio::test]
async fn lock_of_etcdctl_can_be_broken_by_its_token() {
    let bed = Bed::new();
    let client = bed.client();
    let foreign = Foreign::lock(&bed, "foreign");
    until("etcdctl has the lock", async || foreign.has_it()).await;
    let key = LockKey::new("foreign").unwrap();
    let token = client.inspect(&key).await.unwrap().unwrap().token();
    let broken = client.break_lock(&key, token).await.unwrap();
    assert!(matches!(broken, lock_core::BreakOutcome::Broken(_)), "{broken:?}");
    granted(&client, &request("foreign", 60)).await;
}
