//! The map from the conformance checklist to the tests, `tests/conformance/map.txt`: complete, and
//! true.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The parts of the checklist that the map covers, and how many rules each has.
const PARTS: [(&str, usize); 9] = [
    ("P", 26), // parsing of HTTP
    ("H", 43), // opening handshake, server
    ("C", 34), // opening handshake, client
    ("F", 32), // frames
    ("U", 13), // UTF-8
    ("K", 9),  // ping and pong
    ("X", 25), // closing
    ("D", 39), // permessage-deflate
    ("A", 7),  // interface
];

/// One rule of the checklist.
#[derive(Debug)]
struct Rule {
    id: String,
    title: String,
    tests: Vec<String>,
    not: Option<String>,
}

fn rules(map: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for line in map.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(entry) = line.strip_prefix("    ") {
            let rule = rules.last_mut().expect("a rule comes before its tests");
            match entry.strip_prefix("not:") {
                Some(reason) => {
                    let before = rule.not.replace(reason.trim().to_owned());
                    assert_eq!(before, None, "{} says twice why not", rule.id);
                }
                None => rule.tests.push(entry.to_owned()),
            }
        } else {
            let (id, title) = line.split_once(' ').unwrap_or((line, ""));
            let (id, title) = (id.to_owned(), title.to_owned());
            rules.push(Rule { id, title, tests: Vec::new(), not: None });
        }
    }
    rules
}

/// What is wrong with the map.
fn faults(rules: &[Rule], root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    let mut missing: BTreeSet<String> = PARTS
        .iter()
        .flat_map(|(part, count)| (1..=*count).map(move |n| format!("{part}-{n}")))
        .collect();
    let mut seen = BTreeSet::new();
    let mut files = BTreeMap::new();
    for Rule { id, title, tests, not } in rules {
        if !seen.insert(id) {
            faults.push(format!("{id} is there twice"));
        } else if !missing.remove(id) {
            faults.push(format!("{id} is no rule of the checklist"));
        }
        if title.is_empty() {
            faults.push(format!("{id} has no title"));
        }
        match not {
            None if tests.is_empty() => {
                faults.push(format!("{id} has neither a test nor a reason why there is none"));
            }
            Some(_) if !tests.is_empty() => faults.push(format!("{id} has tests and a `not:`")),
            Some(reason) if reason.len() < 20 => faults.push(format!("{id} has no real reason")),
            _ => {}
        }
        let mut named = BTreeSet::new();
        for test in tests {
            if !named.insert(test) {
                faults.push(format!("{id} names {test} twice"));
            }
            let Some((module, function)) = test.rsplit_once("::") else {
                faults.push(format!("{id}: {test} names no file"));
                continue;
            };
            let source = files.entry(module).or_insert_with(|| source(root, module));
            match source {
                None => faults.push(format!("{id}: there is no file for {test}")),
                Some(source) if !has_test(source, function) => {
                    faults.push(format!("{id}: there is no test {test}"));
                }
                Some(_) => {}
            }
        }
    }
    faults.extend(missing.iter().map(|id| format!("{id} is missing")));
    faults
}

/// The text of the file that the module of a test is in.
pub(super) fn source(root: &Path, module: &str) -> Option<String> {
    let path: PathBuf = module.split("::").collect();
    let path = if path.starts_with("src") { path } else { Path::new("tests").join(path) };
    let candidates = [path.with_extension("rs"), path.join("mod.rs"), path.join("main.rs")];
    candidates.iter().find_map(|path| fs::read_to_string(root.join(path)).ok())
}

/// Whether `source` has a function of this name with an attribute that makes it a test.
pub(super) fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let rest = line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name));
        rest.is_some_and(|rest| rest.starts_with('('))
            && lines[..at]
                .iter()
                .rev()
                .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
                .map(|line| line.replacen("::tokio", "tokio", 1))
                .any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test"))
    })
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every rule is there once, with tests that exist or a reason why it has none.
#[test]
fn every_rule_has_a_test() {
    let map = fs::read_to_string(root().join("tests/conformance/map.txt")).unwrap();
    let faults = faults(&rules(&map), root());
    assert!(faults.is_empty(), "tests/conformance/map.txt:\n{}", faults.join("\n"));
}

/// What the check above rests on: each kind of fault is found.
#[test]
fn faults_are_found() {
    let map = "\
# a comment
P-1 A title
    meta::conformance::faults_are_found
P-1 The same again
    meta::conformance::no_such_test
P-2 A function that is no test
    meta::conformance::has_test
P-3 No such file
    nowhere::at_all
P-4 Nothing at all
P-5 Both
    src::wire::close::payloads
    not: a reason that is long enough
P-6 No reason
    not: no
P-7
    not: a reason that is long enough
Q-1 No such rule
    not: a reason that is long enough
P-8 Twice the same
    meta::conformance::every_rule_has_a_test
    meta::conformance::every_rule_has_a_test
P-9 A test without a file
    some_test
";
    let faults = faults(&rules(map), root());
    let expected = [
        "P-1 is there twice",
        "P-1: there is no test meta::conformance::no_such_test",
        "P-2: there is no test meta::conformance::has_test",
        "P-3: there is no file for nowhere::at_all",
        "P-4 has neither a test nor a reason why there is none",
        "P-5 has tests and a `not:`",
        "P-6 has no real reason",
        "P-7 has no title",
        "Q-1 is no rule of the checklist",
        "P-8 names meta::conformance::every_rule_has_a_test twice",
        "P-9: some_test names no file",
    ];
    assert_eq!(faults[..expected.len()], expected);
    let missing = PARTS.iter().map(|(_, count)| count).sum::<usize>() - 9;
    assert_eq!(faults.len(), expected.len() + missing);
    assert!(faults.last().unwrap().ends_with(" is missing"));
}
