//! The page of promises, `tests/README.md`: each is beside tests and commands that are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::conformance::{has_test, root, source};

/// What the proof of a promise may begin with, if it is no test.
const COMMANDS: [&str; 3] = ["cargo ", "bash ", "python3 "];

/// What is wrong with the page.
fn faults(page: &str, root: &Path) -> Vec<String> {
    let ci = fs::read_to_string(root.join(".ci/run")).unwrap();
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (promise, proofs) in page.lines().filter_map(row) {
        if !seen.insert(promise) {
            faults.push(format!("\"{promise}\" is there twice"));
        }
        let proofs: Vec<&str> = proofs.split('`').skip(1).step_by(2).collect();
        if proofs.is_empty() {
            faults.push(format!("\"{promise}\" has no proof"));
        }
        let wrong = proofs.iter().filter_map(|proof| fault(proof, root, &ci));
        faults.extend(wrong.map(|fault| format!("\"{promise}\": {fault}")));
    }
    faults
}

/// The two cells of a line of a table; none for other lines, and for the head of a table.
fn row(line: &str) -> Option<(&str, &str)> {
    let (promise, proofs) = line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | ")?;
    (promise != "promise").then_some((promise, proofs))
}

/// What is wrong with one proof: a test, a step of `.ci/run`, or a command.
fn fault(proof: &str, root: &Path, ci: &str) -> Option<String> {
    if let Some(step) = proof.strip_prefix(".ci/run: ") {
        let is_there = ci.contains(&format!("step '{step}' "));
        return (!is_there).then(|| format!("there is no step '{step}' in .ci/run"));
    }
    if COMMANDS.iter().any(|command| proof.starts_with(command)) {
        let is_there = |file: &String| file.split(" or ").any(|path| root.join(path).exists());
        let missing = files(proof).into_iter().find(|file| !is_there(file));
        return missing.map(|file| format!("there is no {file} for `{proof}`"));
    }
    let Some((module, function)) = proof.rsplit_once("::") else {
        return Some(format!("`{proof}` is neither a test nor a command"));
    };
    let Some(source) = source(root, module) else {
        return Some(format!("there is no file for {proof}"));
    };
    // a macro may be beside the file, in that of the module above
    let above = module.rsplit_once("::").and_then(|(above, _)| self::source(root, above));
    let lists = [Some(&source), above.as_ref()];
    let is_there = has_test(&source, function)
        || has_function(&source, function)
            && lists.into_iter().flatten().any(|list| is_listed(list, function));
    (!is_there).then(|| format!("there is no test {proof}"))
}

fn has_function(source: &str, name: &str) -> bool {
    ["(", "<"].iter().any(|next| source.contains(&format!("fn {name}{next}")))
}

/// Whether a macro in `source` makes tests of functions, and this name is in a list of them.
fn is_listed(source: &str, name: &str) -> bool {
    source.contains("\nmacro_rules! ")
        && source.match_indices(name).any(|(at, _)| {
            let (before, rest) = (&source[..at], &source[at + name.len()..]);
            before.ends_with([' ', '\n'])
                && [",", ");", "\n"].iter().any(|end| rest.starts_with(end))
        })
}

/// The files that a command needs; of those in ` or ` one is enough.
fn files(command: &str) -> Vec<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let mut files: Vec<String> = words
        .iter()
        .filter(|word| word.contains('/') && !word.contains("://"))
        .map(|word| (*word).to_owned())
        .collect();
    for pair in words.windows(2) {
        match pair {
            ["--bench", name] => files.push(format!("benches/{name}.rs or benches/{name}/main.rs")),
            ["--test", name] => files.push(format!("tests/{name}.rs or tests/{name}/main.rs")),
            ["--example", name] => {
                files.push(format!("examples/{name}.rs or examples/{name}/main.rs"));
            }
            _ => {}
        }
    }
    files
}

/// Every promise has a proof, and each of them is there.
#[test]
fn every_promise_has_a_proof() {
    let page = fs::read_to_string(root().join("tests/README.md")).unwrap();
    let promises = page.lines().filter_map(row).count();
    assert!(promises > 100, "{promises} promises were found");
    let faults = faults(&page, root());
    assert!(faults.is_empty(), "tests/README.md:\n{}", faults.join("\n"));
}

/// The documentation names tests as well, `in_words_like_these`: of four words and more. Pages
/// about other libraries have names of theirs.
#[test]
fn tests_that_the_documentation_names_are_there() {
    let mut files = Vec::new();
    for directory in ["src", "tests"] {
        read(&root().join(directory), &mut files);
    }
    let functions: BTreeSet<&str> = files
        .iter()
        .flat_map(|(_, text)| text.split("fn ").skip(1))
        .filter_map(|rest| rest.split(['(', '<']).next())
        .collect();
    let (mut named, mut missing) = (0, Vec::new());
    let is_ours = |path: &Path| {
        path.starts_with(root().join("src"))
            && !path.starts_with(root().join("src/guide/coming_from"))
    };
    for (path, text) in files.iter().filter(|(path, _)| is_ours(path)) {
        for name in text.split('`').filter(|span| is_test_name(span)) {
            named += 1;
            if !functions.contains(name) {
                missing.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(named > 20, "{named} names were found");
    assert!(missing.is_empty(), "tests that are not there:\n{}", missing.join("\n"));
}

fn is_test_name(span: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    span.split('_').count() > 3 && span.split('_').all(is_word)
}

/// All sources and pages in `directory`.
fn read(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                read(&path, found);
            }
        } else if path.extension().is_some_and(|kind| kind == "rs" || kind == "md") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

/// What `every_promise_has_a_proof` rests on: each kind of fault is found, and nothing else.
#[test]
fn broken_promises_are_found() {
    let page = "\
Text with `no::proof` in it.

| promise | proof |
|---|---|
| A test | `meta::promises::every_promise_has_a_proof` |
| A test that a macro makes | `server::backplane::scenarios::rooms_span_servers` |
| By one beside it | `server::proxies::scenarios::messages_pass` |
| A step, and commands | `.ci/run: formatting`, `bash fuzz/run.sh 60`, `cargo bench --bench core` |
| Twice | `cargo test --test attacks` |
| Twice | `cargo test --test core` |
| Nothing | as everybody knows |
| No test | `meta::promises::faults` |
| A function that is used, and no test | `server::backplane::scenarios::stats` |
| Half a name | `server::backplane::scenarios::rooms_span` |
| No file | `nowhere::at_all` |
| No step | `.ci/run: format` |
| No script, and no benchmark | `bash nowhere/run.sh`, `cargo bench --bench cor` |
| No command | `make` |
";
    let expected = [
        "\"Twice\" is there twice",
        "\"Nothing\" has no proof",
        "\"No test\": there is no test meta::promises::faults",
        "\"A function that is used, and no test\": \
         there is no test server::backplane::scenarios::stats",
        "\"Half a name\": there is no test server::backplane::scenarios::rooms_span",
        "\"No file\": there is no file for nowhere::at_all",
        "\"No step\": there is no step 'format' in .ci/run",
        "\"No script, and no benchmark\": there is no nowhere/run.sh for `bash nowhere/run.sh`",
        "\"No script, and no benchmark\": \
         there is no benches/cor.rs or benches/cor/main.rs for `cargo bench --bench cor`",
        "\"No command\": `make` is neither a test nor a command",
    ];
    assert_eq!(faults(page, root()), expected);
}
