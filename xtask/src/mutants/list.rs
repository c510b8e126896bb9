//! The list of mutants.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// A deliberate fault in the code.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// What is wrong with it, in a few words.
    pub(super) name: String,
    /// Where it is, from the root.
    pub(super) file: String,
    /// The text that is changed. It stands there exactly once.
    pub(super) find: String,
    /// What it is changed to.
    pub(super) replace: String,
    /// The command that must fail then: `cargo test ...` or `cargo xtask chaos ...`.
    pub(super) caught_by: String,
}

impl Mutant {
    /// A text with the mutant's change in it.
    pub(super) fn applied_to(&self, text: &str) -> Result<String> {
        let (name, file, find) = (&self.name, &self.file, &self.find);
        let places = text.matches(find).count();
        ensure!(places == 1, "{name}: {file} has this text {places} times:\n{find}");
        Ok(text.replacen(find, &self.replace, 1))
    }

    /// Sees that the text to be changed is in the tree.
    pub(super) fn find_in(&self, root: &Path) -> Result<()> {
        let text = std::fs::read_to_string(root.join(&self.file));
        self.applied_to(&text.with_context(|| format!("{}: reading {}", self.name, self.file))?).map(drop)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mutant: Vec<Mutant>,
}

/// Reads all lists in a directory, in the order of their names.
pub(super) fn read(directory: &Path) -> Result<Vec<Mutant>> {
    let mut paths = std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let mut mutants: Vec<Mutant> = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path)?;
        let file: File = toml::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        for mutant in file.mutant {
            ensure!(mutants.iter().all(|other| other.name != mutant.name), "two mutants are called {}", mutant.name);
            ensure!(mutant.find != mutant.replace, "the mutant {} changes nothing", mutant.name);
            mutants.push(mutant);
        }
    }
    Ok(mutants)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_of_the_list_has_its_place_in_the_code() {
        let root = crate::cargo::root();
        for mutant in read(&root.join("xtask/mutants")).unwrap() {
            mutant.find_in(root).unwrap();
        }
    }
}
