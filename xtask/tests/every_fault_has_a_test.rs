//! Every fault of the project's list has a test that bears its number: `fn fault_NN_...`, or several:
//! `fn faults_NN_NN_and_NN_...`. docs/faults.md says which, and is held against the code here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// By file, the names of the tests that bear a number.
type Tests = BTreeMap<u32, BTreeMap<String, BTreeSet<String>>>;

const FAULTS: std::ops::RangeInclusive<u32> = 1..=72;

#[test]
fn every_fault_has_a_test_and_the_table_says_which() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut tests = Tests::new();
    scan(root, root, &mut tests);
    let missing: Vec<u32> = FAULTS.filter(|number| !tests.contains_key(number)).collect();
    assert!(missing.is_empty(), "no test is named fault_NN_... for the faults {missing:?}");

    let page = root.join("docs/faults.md");
    let text = fs::read_to_string(&page).unwrap();
    // Or a fault whose row is gone, or a test that isn't in the table, would be missed by nobody.
    let rows: Vec<u32> = text.lines().filter_map(row).collect();
    assert_eq!(rows, FAULTS.collect::<Vec<_>>(), "a row for each fault, in their order");
    let wanted = filled_in(&text, &tests);
    if std::env::var_os("WRITE_FAULTS").is_some() {
        fs::write(&page, wanted).unwrap();
    } else {
        assert!(
            text == wanted,
            "docs/faults.md isn't what the tests are: WRITE_FAULTS=1 cargo test -p xtask writes it"
        );
    }
}

/// The page, with the tests of each row's number in its last column.
fn filled_in(page: &str, tests: &Tests) -> String {
    let mut text = String::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split(" | ").collect();
        match row(line).and_then(|number| tests.get(&number)) {
            Some(files) => {
                let told = files.iter().map(|(file, names)| {
                    let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                    format!("{file}: {names}")
                });
                let told = told.collect::<Vec<_>>().join("; ");
                writeln!(text, "{} | {} | {told} |", cells[0], cells[1]).unwrap();
            }
            None => writeln!(text, "{line}").unwrap(),
        }
    }
    text
}

/// The number of a row of the table.
fn row(line: &str) -> Option<u32> {
    line.split(" | ").next()?.strip_prefix("| ")?.parse().ok()
}

fn scan(root: &Path, directory: &Path, tests: &mut Tests) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                scan(root, &path, tests);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.strip_prefix(root).unwrap().display().to_string();
            for (number, name) in faults(&fs::read_to_string(&path).unwrap()) {
                tests.entry(number).or_default().entry(file.clone()).or_default().insert(name);
            }
        }
    }
}

/// The numbers and names of the test functions in a file: those below an attribute that makes a test, and that run unasked.
fn faults(text: &str) -> Vec<(u32, String)> {
    let (mut is_test, mut is_ignored) = (false, false);
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        let name = ["fn ", "async fn "].iter().find_map(|start| line.strip_prefix(start));
        if let Some(name) = name {
            let named = name.strip_prefix("fault_").or_else(|| name.strip_prefix("faults_")).unwrap_or_default();
            let words = named.split('_').filter(|word| *word != "and").map_while(|word| word.parse::<u32>().ok());
            let whole = name.split(['(', '<']).next().unwrap_or_default();
            found.extend(words.filter(|_| is_test && !is_ignored).map(|number| (number, whole.to_owned())));
        }
        let above = line.starts_with("#[") || line.starts_with("//");
        is_ignored = above && (is_ignored || line.starts_with("#[ignore") || line.contains(", ignore"));
        is_test = match line {
            "#[test]" => true,
            attribute if attribute.starts_with("#[") => is_test || attribute.starts_with("#[tokio::test"),
            comment if comment.starts_with("//") => is_test,
            _ => false,
        };
    }
    found
}

#[test]
fn only_tests_count() {
    let numbers = |text: &str| faults(text).into_iter().map(|(number, _)| number).collect::<Vec<_>>();
    let text = "#[test]\nfn fault_01_a() {}\n#[tokio::test(start_paused = true)]\nasync fn fault_02_b() {}\n";
    assert_eq!(faults(text), [(1, "fault_01_a".to_owned()), (2, "fault_02_b".to_owned())]);
    for ignored in ["#[ignore]", "#[ignore = \"slow\"]", "#[cfg_attr(unix, ignore)]"] {
        assert_eq!(numbers(&format!("#[test]\n{ignored}\nfn fault_04_c() {{}}\n")), [], "{ignored}");
        assert_eq!(numbers(&format!("{ignored}\n#[test]\nfn fault_04_c() {{}}\n")), [], "{ignored}");
    }
    assert_eq!(numbers("#[test]\n#[ignore]\nfn fault_04_c() {}\n#[test]\nfn fault_05_d() {}\n"), [5]);
    assert_eq!(numbers("#[test]\nfn faults_27_28_and_63_a() {}\n"), [27, 28, 63]);
    assert_eq!(numbers("fn fault_03_helper() {}\n#[test]\nfn other() {}\n"), []);
}
