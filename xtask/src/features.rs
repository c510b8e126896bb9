//! Which features the tests are built with.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cargo::cargo;

/// The feature of the tests in containers.
const CONTAINERS: &str = "containers";

#[derive(Debug, Deserialize)]
struct Workspace {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    features: BTreeMap<String, Vec<String>>,
}

/// All features of these packages (of none: of all) but the one for containers. Cargo has no word for that.
pub(crate) fn without_containers(packages: &[String]) -> Result<String> {
    let answer = cargo().args(["metadata", "--format-version", "1", "--no-deps"]).output().context("cargo metadata")?;
    if !answer.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&answer.stderr).trim());
    }
    let workspace: Workspace = serde_json::from_slice(&answer.stdout).context("what cargo metadata printed")?;
    Ok(list(&workspace, packages))
}

fn list(workspace: &Workspace, packages: &[String]) -> String {
    let chosen = workspace.packages.iter().filter(|package| packages.is_empty() || packages.contains(&package.name));
    let features = chosen.flat_map(|package| {
        let own = package.features.keys().filter(|feature| *feature != CONTAINERS);
        own.map(move |feature| format!("{}/{feature}", package.name))
    });
    features.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_features_of_the_chosen_packages_but_containers() {
        let text = r#"{"packages": [
            {"name": "lock-core", "features": {"conformance": ["memory"], "memory": []}},
            {"name": "lock-redis", "features": {"containers": ["testbed/containers"], "tls": []}}
        ]}"#;
        let workspace: Workspace = serde_json::from_str(text).unwrap();
        assert_eq!(list(&workspace, &[]), "lock-core/conformance,lock-core/memory,lock-redis/tls");
        assert_eq!(list(&workspace, &["lock-redis".to_owned()]), "lock-redis/tls");
    }
}
