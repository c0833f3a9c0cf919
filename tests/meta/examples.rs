//! The index of the examples, `examples/README.md`: each program is in it.

use std::fs;

use super::conformance::root;

/// Those of this crate, and those that are crates of their own beside it.
#[test]
fn every_example_is_in_the_index() {
    let index = fs::read_to_string(root().join("examples/README.md")).unwrap();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut names: Vec<String> = manifest
        .split("[[example]]\n")
        .skip(1)
        .map(|section| section.split('"').nth(1).unwrap().to_owned())
        .collect();
    for directory in ["examples/runtimes/src/bin", "examples/http/src/bin"] {
        for entry in fs::read_dir(root().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert!(names.len() > 20, "{names:?}");
    let missing: Vec<_> =
        names.iter().filter(|name| !index.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in examples/README.md: {missing:?}");
}
