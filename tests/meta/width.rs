//! How long a line may be. rustfmt wraps code, but neither comments nor strings; a long string goes
//! on behind a backslash.

use std::fs;
use std::path::{Path, PathBuf};

/// Columns of a line, comments too.
const WIDTH: usize = 100;

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !["target", "corpus", "node_modules"].contains(&name) {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_line_is_longer_than_100_columns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for directory in ["src", "tests", "examples", "benches", "fuzz"] {
        sources(&root.join(directory), &mut found);
    }
    assert!(found.len() > 200, "the sources were not found");
    let mut faults = Vec::new();
    for path in found {
        let name = path.strip_prefix(root).unwrap();
        for (at, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let columns = line.chars().count();
            if columns > WIDTH {
                faults.push(format!("{}:{}: {columns} columns", name.display(), at + 1));
            }
        }
    }
    assert!(faults.is_empty(), "longer than {WIDTH}:\n{}", faults.join("\n"));
}
