//! What fuzzing found worth keeping, read again: every file of the corpus by its target's function.

#[allow(unreachable_pub, reason = "a crate of its own, read here as a module")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// More would be a burden to whoever clones the project.
const MOST_BYTES: u64 = 200 * 1024;

fn fuzz(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(part)
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn every_file_of_the_corpus_passes() {
    for (name, target) in targets::TARGETS {
        let files = entries(&fuzz("corpus").join(name));
        assert!(files.len() >= 3, "the corpus of {name} is all but empty");
        for path in files {
            println!("{}", path.display());
            let data = std::fs::read(&path).expect("the file");
            target(&data);
            // And what is near it, as a fuzzer would begin.
            for at in 0..data.len().min(300) {
                target(&data[..at]);
                let mut other = data.clone();
                other[at] ^= 1 << (at % 8);
                target(&other);
            }
        }
    }
}

#[test]
fn every_target_has_a_program_and_a_corpus_and_the_corpus_is_small() {
    let names: BTreeSet<String> = targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let stems = |part: &str| -> BTreeSet<String> {
        let stem = |path: &PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        entries(&fuzz(part)).iter().filter_map(stem).collect()
    };
    assert_eq!(stems("fuzz_targets"), names);
    assert_eq!(stems("corpus"), names);
    let files = entries(&fuzz("corpus")).into_iter().flat_map(|directory| entries(&directory));
    let bytes: u64 = files.map(|path| path.metadata().expect("the file").len()).sum();
    assert!(bytes < MOST_BYTES, "the corpus has {bytes} bytes; `cargo fuzz cmin` makes it smaller");
}
