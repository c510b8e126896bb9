//! Which features the tests are built with.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cargo::cargo;

/// The feature of the tests in containers.
const CONTAINERS: &str = "containers";
/// The feature of the benchmarks that builds other crates which lock. No test needs it.
const PEERS: &str = "peers";

#[derive(Debug, Deserialize)]
struct Workspace {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    features: BTreeMap<String, Vec<String>>,
}

/// All features of these packages (of none: of all) that tests need, with or without those in containers. Cargo has no
/// word for that.
pub(crate) fn of_tests(packages: &[String], containers: bool) -> Result<String> {
    let answer = cargo().args(["metadata", "--format-version", "1", "--no-deps"]).output().context("cargo metadata")?;
    if !answer.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&answer.stderr).trim());
    }
    let workspace: Workspace = serde_json::from_slice(&answer.stdout).context("what cargo metadata printed")?;
    Ok(list(&workspace, packages, containers))
}

fn list(workspace: &Workspace, packages: &[String], containers: bool) -> String {
    let wanted = |feature: &str| feature != PEERS && (containers || feature != CONTAINERS);
    let chosen = workspace.packages.iter().filter(|package| packages.is_empty() || packages.contains(&package.name));
    let features = chosen.flat_map(|package| {
        let own = package.features.keys().filter(|feature| wanted(feature.as_str()));
        own.map(move |feature| format!("{}/{feature}", package.name))
    });
    features.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_features_of_the_chosen_packages_but_peers_and_perhaps_containers() {
        let text = r#"{"packages": [
            {"name": "bench", "features": {"peers": ["dep:rslock"]}},
            {"name": "lock-core", "features": {"conformance": ["memory"], "memory": []}},
            {"name": "lock-redis", "features": {"containers": ["testbed/containers"], "tls": []}}
        ]}"#;
        let workspace: Workspace = serde_json::from_str(text).unwrap();
        assert_eq!(list(&workspace, &[], false), "lock-core/conformance,lock-core/memory,lock-redis/tls");
        let redis = ["lock-redis".to_owned()];
        assert_eq!(list(&workspace, &redis, false), "lock-redis/tls");
        assert_eq!(list(&workspace, &redis, true), "lock-redis/containers,lock-redis/tls");
    }
}
