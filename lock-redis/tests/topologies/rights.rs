//! The ACL rule in the documents: it is enough, and each word of it that is missing is told.

use lock_core::{ErrorKind, Finding, LockAdmin, LockBackend, Severity};
use lock_redis::{RedisBackend, RedisBuilder};
use testbed::redis::{RedisSentinels, RedisServer, RedisShards};

use crate::access::refuses;
use crate::support::{LONG, acquire, granted, release, request, until_waiting};

/// Needed in a cluster alone; with `min_replicas`; through Sentinel; in another database.
const SOMETIMES: [&str; 7] = ["spublish", "ssubscribe", "cluster|slots", "asking", "wait", "role", "select"];

/// The rule in docs/backends/redis.md, for a new user of this name whose password is "secret".
fn rule(user: &str) -> Vec<String> {
    let page = include_str!("../../../docs/backends/redis.md");
    let rule =
        page.split_once("ACL SETUSER app on >PASSWORD ").expect("the rule").1.split_once("```").expect("its end").0;
    let words = ["ACL", "SETUSER", user, "reset", "on", ">secret"].into_iter().chain(rule.split_whitespace());
    words.map(str::to_owned).collect()
}

/// The commands that the rule allows.
fn allowed() -> Vec<String> {
    let commands: Vec<_> = rule("").iter().filter_map(|word| word.strip_prefix('+')).map(str::to_owned).collect();
    assert!(commands.len() > 20, "{commands:?}");
    commands
}

/// Makes the user anew, by the rule and what follows it.
fn allow(server: &RedisServer, more: &[&str]) {
    let rule = rule("app");
    let words: Vec<_> = rule.iter().map(String::as_str).chain(more.iter().copied()).collect();
    server.command(&words).unwrap();
}

fn app(builder: RedisBuilder) -> RedisBuilder {
    builder.with_user("app").with_password("secret")
}

fn at(server: &RedisServer) -> RedisBuilder {
    app(RedisBackend::server("127.0.0.1", server.port()))
}

fn denials(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.severity() == Severity::Denied).collect()
}

/// What the check says to a user that lacks a right, or what it is told when it isn't let in at all.
async fn told(builder: RedisBuilder) -> String {
    match builder.connect().await {
        Ok(backend) => {
            let findings = backend.preflight().await;
            let lines: Vec<_> =
                denials(&findings).iter().map(|finding| format!("{} ({})", finding.what(), finding.advice())).collect();
            lines.join("\n")
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            error.to_string()
        }
    }
}

#[tokio::test]
async fn the_rule_in_the_documents_is_enough_and_less_is_permission_denied() {
    let server = RedisServer::start(&[]).unwrap();
    allow(&server, &[]);
    let (a, b) = (at(&server).connect().await.unwrap(), at(&server).connect().await.unwrap());
    let (holder, waiter) = (request("k", LONG), request("k", LONG));
    let grant = granted(&a, &holder).await;
    let (next, ()) = tokio::join!(acquire(&b, &waiter), async {
        until_waiting(&a, "k", 1).await;
        release(&a, &holder).await;
    });
    assert!(next.unwrap().token() > grant.token());
    assert_eq!(a.list("").await.unwrap().len(), 1);
    let findings = a.preflight().await;
    assert!(findings.iter().all(|finding| finding.severity() <= Severity::Warning), "{findings:?}");
    server.command(&["ACL", "SETUSER", "app", "-evalsha"]).unwrap();
    refuses(&a.try_acquire(&request("k", LONG)).await.unwrap_err(), ErrorKind::PermissionDenied);
    server.command(&["ACL", "SETUSER", "app", "+evalsha", "resetkeys", "~other:*"]).unwrap();
    refuses(&a.try_acquire(&request("k", LONG)).await.unwrap_err(), ErrorKind::PermissionDenied);
    server.command(&["ACL", "SETUSER", "app", "resetchannels"]).unwrap();
    refuses(&at(&server).connect().await.unwrap_err(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn each_command_of_the_rule_that_is_missing_is_named_by_the_check() {
    let server = RedisServer::start(&[]).unwrap();
    for command in allowed() {
        allow(&server, &[&format!("-{command}")]);
        let told = told(at(&server)).await;
        if SOMETIMES.contains(&command.as_str()) {
            assert_eq!(told, "", "without {command}");
        } else {
            assert!(told.contains(&format!("ACL SETUSER USER +{command}`")), "without {command}: {told}");
        }
        // The tries leave nothing, whatever isn't allowed.
        assert_eq!(server.command(&["KEYS", "*:queue"]).unwrap(), "", "without {command}");
    }
    // All that is missing, at once.
    allow(&server, &["-pexpire", "-lpop", "-eval"]);
    let many = told(at(&server)).await;
    assert!(many.contains("run eval, pexpire, lpop") && many.contains("USER +eval +pexpire +lpop`"), "{many}");
    allow(&server, &["resetkeys", "~distlock:*"]);
    let keys = told(at(&server)).await;
    assert!(keys.contains("ACL SETUSER USER ~distlock:* ~{distlock:*`"), "{keys}");
}

#[tokio::test]
async fn what_is_needed_only_sometimes_is_named_where_it_is() {
    let server = RedisServer::start(&[]).unwrap();
    allow(&server, &["-wait"]);
    let replicated = at(&server).with_min_replicas(1, std::time::Duration::from_millis(100));
    let wait = told(replicated).await;
    assert!(wait.contains("ACL SETUSER USER +wait`"), "{wait}");
    allow(&server, &["-select"]);
    let select = told(at(&server).with_database(1)).await;
    assert!(select.contains("ACL SETUSER USER +select`"), "{select}");

    let shards = RedisShards::start(1).unwrap();
    for command in ["spublish", "ssubscribe", "cluster|slots", "asking"] {
        allow(&shards.servers()[0], &[&format!("-{command}")]);
        let told = told(app(RedisBackend::cluster(shards.addresses()))).await;
        assert!(told.contains(&format!("ACL SETUSER USER +{command}`")), "without {command}: {told}");
    }
    allow(&shards.servers()[0], &[]);
    assert_eq!(told(app(RedisBackend::cluster(shards.addresses()))).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn through_sentinel_a_user_who_may_not_ask_for_the_role_is_told() {
    let mut sentinels = RedisSentinels::start().unwrap();
    let (addresses, name) = (sentinels.addresses(), sentinels.name());
    let master = sentinels.first_master();
    allow(master, &[]);
    let at = || app(RedisBackend::sentinel(addresses.clone(), name));
    granted(&at().connect().await.unwrap(), &request("k", LONG)).await;
    allow(master, &["-role"]);
    let role = told(at()).await;
    assert!(role.contains("ACL SETUSER USER +role`"), "{role}");
}
