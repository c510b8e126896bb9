//! What `doctor` says of agents that aren't as they should be, and what it leaves behind.

use lock_core::{Finding, LockAdmin, Severity};
use testbed::consul::{Agent, Cluster, Settings};

use crate::support::Store;

fn found<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.check() == check).unwrap_or_else(|| panic!("no {check} in {findings:?}"))
}

#[tokio::test]
async fn a_higher_least_ttl_is_a_warning_and_the_rights_are_checked_all_the_same() {
    let settings = Settings { more: r#""session_ttl_min": "30s""#.to_owned(), ..Settings::default() };
    let agent = Agent::dev_with(&settings).unwrap();
    let findings = lock_consul::ConsulBackend::new(agent.address()).unwrap().preflight().await;
    let range = found(&findings, "ttl-range");
    assert_eq!(range.severity(), Severity::Warning, "{findings:?}");
    assert_eq!(found(&findings, "session").severity(), Severity::Good);
    assert_eq!(found(&findings, "key").severity(), Severity::Good);
    assert_eq!(agent.tell("GET", "/v1/session/list", "").unwrap().trim(), "[]");
}

/// That all keys can't be listed in time tells nothing of the locks.
#[tokio::test]
async fn a_store_too_large_to_be_listed_is_no_failure() {
    let store = Store::new();
    let address = format!("http://{}", store.proxy.address());
    let backend = lock_consul::ConsulBackend::new(address).unwrap();
    store.proxy.cut_after_request_containing(b"/v1/kv/?keys");
    let findings = backend.preflight().await;
    assert_eq!(found(&findings, "prefix").severity(), Severity::Warning, "{findings:?}");
}

#[tokio::test]
async fn a_check_that_fails_half_way_leaves_no_key() {
    let store = Store::new();
    store.proxy.cut_after_request_containing(b"%7Echeck");
    let findings = store.through_proxy().preflight().await;
    assert_eq!(found(&findings, "key").severity(), Severity::Unusable, "{findings:?}");
    assert!(store.keys().is_empty(), "{:?}", store.keys());
}

/// The default of agents in client mode.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_leaves_when_it_is_stopped_is_a_warning() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start().unwrap()).await.unwrap();
    let findings = lock_consul::ConsulBackend::new(cluster.client().address()).unwrap().preflight().await;
    let leaves = found(&findings, "leave");
    assert_eq!(leaves.severity(), Severity::Warning, "{findings:?}");
    let findings = Store::new().direct().preflight().await;
    assert!(findings.iter().all(|finding| finding.check() != "leave"), "a server stays: {findings:?}");
}
