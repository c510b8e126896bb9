//! Two datacenters: the agent of one, the locks of the other.

use std::time::{Duration, Instant};

use lock_consul::ConsulBackend;
use lock_core::{ErrorKind, LockAdmin, LockBackend, Severity};
use testbed::consul::{Agent, Settings};

use crate::support::{acquire, destroy_at, granted, request, supervisor};

/// An agent of `here`, and one of `there`, which knows the first.
fn joined() -> (Agent, Agent) {
    let settings = |more: String| Settings { more, wan: true, ..Settings::default() };
    let here = Agent::dev_with(&settings(r#""datacenter": "here", "node_name": "h""#.to_owned())).unwrap();
    let join = here.wan().unwrap();
    let more = format!(r#""datacenter": "there", "node_name": "t", "retry_join_wan": ["{join}"]"#);
    let there = Agent::dev_with(&settings(more)).unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while here.ask("GET", "/v1/status/leader?dc=there", "").unwrap().status != 200 {
        assert!(Instant::now() < end, "the datacenters don't find each other");
        std::thread::sleep(Duration::from_millis(50));
    }
    (here, there)
}

/// A session belongs to a node of its datacenter: the agent's own is unknown there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_of_another_datacenter_are_kept_by_its_servers() {
    let (here, there) = tokio::task::spawn_blocking(joined).await.unwrap();
    let backend = || ConsulBackend::builder(here.address()).datacenter("there").build().unwrap();
    let (far, near) = (backend(), ConsulBackend::new(there.address()).unwrap());
    let (first, second, third) = (request("a"), request("a"), request("a"));
    granted(&far, &first).await;
    assert_eq!(near.list("").await.unwrap().len(), 1, "it is there");
    assert!(ConsulBackend::new(here.address()).unwrap().list("").await.unwrap().is_empty(), "and not here");
    let waiting = tokio::spawn(async move { acquire(&near, &second).await });
    far.release(&first.claim()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(3), waiting).await.expect("handed over").unwrap();
    let findings = far.preflight().await;
    assert!(findings.iter().all(|finding| finding.severity() < Severity::Unusable), "{findings:?}");
    // Its loss is heard of, too.
    let guard = supervisor(backend()).lock("b").ttl(Duration::from_secs(60)).acquire().await.unwrap();
    let entry = there.tell("GET", "/v1/kv/b/.lock", "").unwrap();
    let entry: serde_json::Value = serde_json::from_str(&entry).unwrap();
    destroy_at(&there, entry[0]["Session"].as_str().unwrap());
    tokio::time::timeout(Duration::from_secs(3), guard.lost()).await.expect("told");
    let nowhere = ConsulBackend::builder(here.address()).datacenter("nowhere").build().unwrap();
    let error = nowhere.try_acquire(&third).await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::InvalidConfiguration, false), "{error}");
}
