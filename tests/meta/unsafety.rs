//! Where `unsafe` may stand: in a few files, each of them with a test that `tests/unsafe.sh` runs
//! where somebody looks at memory. All others forbid it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The files that may have it, and the unit tests for it, as a filter.
const PLACES: [(&str, &str); 7] = [
    ("buf/memory.rs", "buf::memory::"),
    ("proto/event.rs", "proto::event::"),
    ("proto/receiver.rs", "proto::event::"),
    ("proto/receiver/inflation.rs", "proto::event::"),
    ("proto/text.rs", "proto::text::"),
    ("server/client/line.rs", "server::client::line::"),
    ("wire/mask.rs", "wire::mask::tests::nothing_else_is_touched"),
];

const FORBIDS: &str = "#![forbid(unsafe_code)]";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files below a directory, as paths below `src`.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.strip_prefix(root().join("src")).unwrap().to_owned());
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join("src").join(path)).unwrap()
}

/// Returns the lines of code with the word: neither comments nor the name of the lint.
fn unsafe_lines(source: &str) -> Vec<usize> {
    let is_one = |line: &str| {
        let code = line.split("//").next().unwrap();
        code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
    };
    (0..).zip(source.lines()).filter(|(_, line)| is_one(line)).map(|(at, _)| at).collect()
}

/// Returns whether the comment above a line says why the code is sound, or what its caller has to
/// promise: above the statement that the line is part of.
fn is_argued(lines: &[&str], at: usize) -> bool {
    let above = lines[..at].iter().rev().skip_while(|line| {
        let line = line.trim();
        !line.starts_with("//") && !line.ends_with(';') && !line.ends_with('}')
    });
    let comment = above.take_while(|line| line.trim().starts_with("//"));
    comment.into_iter().any(|line| line.contains("// SAFETY: ") || line.contains("/// # Safety"))
}

/// Returns the module of a file and those around it, each as it may be written, but not the root.
fn modules(path: &Path) -> BTreeSet<PathBuf> {
    let mut module = path.with_extension("");
    if module.ends_with("mod") {
        module.pop();
    }
    let mut files = BTreeSet::from([path.to_owned()]);
    while !module.as_os_str().is_empty() {
        files.extend([module.with_extension("rs"), module.join("mod.rs"), module.join("main.rs")]);
        module.pop();
    }
    files
}

#[test]
fn unsafe_code_stands_where_it_may() {
    let mut found = Vec::new();
    sources(&root().join("src"), &mut found);
    assert!(found.len() > 200, "the sources were not found");
    let with: BTreeSet<_> = found.iter().filter(|it| !unsafe_lines(&read(it)).is_empty()).collect();
    let allowed = PLACES.map(|(file, _)| PathBuf::from(file));
    assert_eq!(with, BTreeSet::from_iter(&allowed));

    // those that cannot forbid it, because they contain one that has it
    let around: BTreeSet<_> = allowed.iter().flat_map(|it| modules(it)).collect();
    for path in found {
        if path == Path::new("lib.rs") || around.contains(&path) {
            continue;
        }
        let mut forbidding = modules(&path);
        forbidding.retain(|it| root().join("src").join(it).exists());
        let is_forbidden = forbidding.iter().any(|it| read(it).lines().any(|line| line == FORBIDS));
        assert!(is_forbidden, "{}: neither it nor a module around it forbids", path.display());
    }
}

#[test]
fn unsafe_code_has_an_argument_and_a_test() {
    let script = fs::read_to_string(root().join("tests/unsafe.sh")).unwrap();
    for (file, filter) in PLACES {
        let source = read(Path::new(file));
        let lines: Vec<_> = source.lines().collect();
        for at in unsafe_lines(&source) {
            assert!(is_argued(&lines, at), "{file}:{}: without a reason: {}", at + 1, lines[at]);
        }
        let (tested, name) = filter.split_once("::tests::").unwrap_or((filter, ""));
        let tested = tested.trim_end_matches("::").replace("::", "/") + ".rs";
        let test = format!("#[test]\n    fn {name}");
        assert!(read(Path::new(&tested)).contains(&test), "{tested} has no {filter}");
        assert!(script.split_whitespace().any(|it| it == filter), "nobody runs {filter}");
    }
}
