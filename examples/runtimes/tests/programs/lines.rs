//! How short the programs are that are to show how little a host needs.

use std::fs;
use std::path::Path;

/// Lines that are neither blank nor a comment.
fn lines(name: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin").join(name);
    let source = fs::read_to_string(path).unwrap();
    source.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with("//")).count()
}

#[test]
fn a_runtime_takes_few_lines() {
    for (name, most) in [("smol.rs", 110), ("smol_compat.rs", 30)] {
        let lines = lines(name);
        assert!(lines <= most, "{name} has {lines} lines, and may have {most}");
    }
}
