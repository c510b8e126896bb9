//! Every fault of the project's list has a test that bears its number: `fn fault_NN_...`, or several:
//! `fn faults_NN_NN_and_NN_...`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The supervisor's, the keys', the backends' and the command's.
fn wanted() -> impl Iterator<Item = u32> {
    1..=72
}

#[test]
fn every_fault_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = BTreeSet::new();
    scan(root, &mut found);
    let missing: Vec<u32> = wanted().filter(|number| !found.contains(number)).collect();
    assert!(missing.is_empty(), "no test is named fault_NN_... for the faults {missing:?}");
}

fn scan(directory: &Path, found: &mut BTreeSet<u32>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                scan(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(faults(&fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The numbers of the test functions in a file: those below an attribute that makes a test.
fn faults(text: &str) -> Vec<u32> {
    let mut is_test = false;
    let mut numbers = Vec::new();
    for line in text.lines().map(str::trim) {
        let name = ["fn ", "async fn "].iter().find_map(|start| line.strip_prefix(start));
        if let Some(name) = name {
            let named = name.strip_prefix("fault_").or_else(|| name.strip_prefix("faults_")).unwrap_or_default();
            let words = named.split('_').filter(|word| *word != "and").map_while(|word| word.parse::<u32>().ok());
            numbers.extend(words.filter(|_| is_test));
        }
        is_test = match line {
            "#[test]" => true,
            attribute if attribute.starts_with("#[") => is_test || attribute.starts_with("#[tokio::test"),
            comment if comment.starts_with("//") => is_test,
            _ => false,
        };
    }
    numbers
}

#[test]
fn only_tests_count() {
    let text =
        "#[test]\nfn fault_01_a() {}\n#[tokio::test(start_paused = true)]\n#[ignore]\nasync fn fault_02_b() {}\n";
    assert_eq!(faults(text), [1, 2]);
    assert_eq!(faults("#[test]\nfn faults_27_28_and_63_a() {}\n"), [27, 28, 63]);
    assert_eq!(faults("fn fault_03_helper() {}\n#[test]\nfn other() {}\n"), []);
}
