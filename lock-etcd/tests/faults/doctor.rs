//! What `distlock doctor` says of a cluster: nothing good that isn't so.

use std::fs;
use std::sync::Arc;

use lock_core::{Finding, LockAdmin, Severity};
use lock_etcd::{EtcdBackend, EtcdBackendBuilder};
use testbed::etcd::{Certificates, EtcdOptions};

async fn finding(check: &str, builder: EtcdBackendBuilder) -> Finding {
    let findings = builder.build().unwrap().preflight().await;
    findings.into_iter().find(|finding| finding.check() == check).expect("it is checked")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_counts_on_no_member_that_is_down() {
    let mut cluster = EtcdOptions::default().with_members(3).start().unwrap();
    let quorum = |endpoints: Vec<String>| finding("quorum", EtcdBackend::builder(endpoints));
    // The third is found by what the others say of it.
    let named = cluster.endpoints()[..2].to_vec();
    let all = quorum(named.clone()).await;
    assert!(all.severity() == Severity::Good && all.what() == "of 3 members 1 may fail", "{all:?}");
    cluster.process(2).kill().unwrap();
    let without = quorum(named).await;
    assert!(
        without.severity() == Severity::Warning && without.what().contains("0 may fail, besides m2"),
        "{without:?}"
    );
}

#[tokio::test]
async fn doctor_calls_no_access_good_where_the_user_is_not_asked_for() {
    let certificates = Arc::new(Certificates::make("client").unwrap());
    let server = EtcdOptions::default().with_tls(certificates.clone()).start().unwrap();
    let tls = EtcdBackend::builder(server.endpoints()).with_ca(fs::read(certificates.ca()).unwrap());
    let access = finding("access", tls.with_user("app", "s3cret")).await;
    assert!(access.severity() == Severity::Warning && access.what().contains("authentication is off"), "{access:?}");
}

#[tokio::test]
async fn doctor_tells_that_the_server_raises_a_short_ttl() {
    let slow = ["--heartbeat-interval=500", "--election-timeout=4000"];
    let server = EtcdOptions::default().with_arguments(slow).start().unwrap();
    let floor = finding("ttl-floor", EtcdBackend::builder(server.endpoints())).await;
    assert!(floor.severity() == Severity::Warning && floor.what().contains("no TTL below 6s"), "{floor:?}");
}

#[tokio::test]
async fn doctor_tells_that_data_are_damaged() {
    let server = EtcdOptions::default().start().unwrap();
    let mut etcd = etcd_client::Client::connect(server.endpoints(), None).await.unwrap();
    let member = etcd.status().await.unwrap().header().unwrap().member_id();
    let mut alarm = etcd_client::AlarmOptions::new();
    alarm.with_member(member);
    etcd.alarm(etcd_client::AlarmAction::Activate, etcd_client::AlarmType::Corrupt, Some(alarm)).await.unwrap();
    let alarms = finding("alarms", EtcdBackend::builder(server.endpoints())).await;
    assert!(alarms.severity() == Severity::Unusable && alarms.what().contains("Corrupt"), "{alarms:?}");
}
