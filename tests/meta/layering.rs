//! Which layer may know which: the arrows of the crate's design, checked in its source.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each layer, and what it imports from the crate besides itself: no more, and no less.
const LAYERS: [(&str, &[&str]); 11] = [
    ("wire", &[]),
    ("buf", &["wire"]),
    ("deflate", &[]),
    ("config", &["buf", "deflate"]),
    ("proto", &["wire", "buf", "deflate", "config"]),
    ("handshake", &["wire", "buf", "proto", "deflate", "config"]),
    ("endpoint", &["wire", "buf", "proto", "handshake", "config"]),
    ("client", &["wire", "buf", "proto", "handshake", "config"]),
    ("blocking", &["client", "wire", "buf", "proto", "deflate", "handshake", "endpoint", "config"]),
    ("tokio", &["client", "wire", "buf", "proto", "deflate", "handshake", "endpoint", "config"]),
    ("server", &["wire", "proto", "deflate", "handshake", "tokio", "config"]),
];

/// The layers that run without a standard library.
const CORE: [&str; 7] = ["wire", "buf", "config", "proto", "deflate", "handshake", "endpoint"];

/// Names that only the layers above the core may mention: the outside world.
const OUTSIDE: [&str; 4] = ["std::net", "std::time::Instant", "getrandom::", "::tokio"];

/// Whether a module at the top of the crate is what the adapters share. The core does not know
/// those.
fn is_shared_by_adapters(module: &str) -> bool {
    !LAYERS.iter().any(|(layer, _)| *layer == module)
}

struct Source {
    path: PathBuf,
    /// The first directory or file below `src`.
    layer: String,
    /// Directories between `src` and the file's module: `super` goes up from here.
    depth: usize,
    /// The code, without comments and test modules.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let mut module: Vec<String> = path
                    .strip_prefix(&root)
                    .unwrap()
                    .with_extension("")
                    .iter()
                    .map(|part| part.to_str().unwrap().to_owned())
                    .collect();
                if module.last().unwrap() == "mod" {
                    module.pop();
                }
                if module.iter().any(|part| part == "tests") {
                    continue;
                }
                let code = code(&fs::read_to_string(&path).unwrap());
                sources.push(Source { layer: module[0].clone(), depth: module.len(), path, code });
            }
        }
    }
    sources
}

/// The source without comments, doc comments and what follows `#[cfg(test)]`, which stands last.
fn code(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = source.lines().map(|line| match line.find("//") {
        Some(at) => &line[..at],
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules of the crate that the code names, by `crate::` or by enough `super::`.
fn imported(source: &Source) -> Vec<String> {
    let up = "super::".repeat(source.depth);
    let mut modules = Vec::new();
    for prefix in ["crate::", up.as_str()] {
        if prefix.is_empty() {
            continue;
        }
        for (at, _) in source.code.match_indices(prefix) {
            let before = source.code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue; // `some_crate::`, or a longer chain of `super`
            }
            let rest = &source.code[at + prefix.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                modules.extend(group_heads(group));
            } else {
                modules.push(head(rest));
            }
        }
    }
    modules
}

/// The first name of a path.
fn head(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first names of the paths in `a::{…}, b, …}`.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut item = String::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(head(&core::mem::take(&mut item))),
            _ => {}
        }
        if c != ',' || depth > 0 {
            item.push(c);
        }
    }
    heads.push(head(&item));
    heads.retain(|head| !head.is_empty());
    heads
}

fn is_core(layer: &str) -> bool {
    CORE.contains(&layer)
}

#[test]
fn imports_point_to_the_left() {
    let sources = sources();
    for layer in ["wire", "buf", "proto"] {
        assert!(sources.iter().any(|source| source.layer == layer), "no source of {layer} found");
    }
    let mut seen = BTreeSet::new();
    for source in &sources {
        let allowed = LAYERS.iter().find(|(layer, _)| *layer == source.layer);
        for module in imported(source) {
            let name = source.path.display();
            match allowed {
                _ if module == source.layer => {}
                Some((layer, allowed)) if allowed.contains(&module.as_str()) => {
                    seen.insert((*layer, module));
                }
                Some((layer, _)) => assert!(
                    is_shared_by_adapters(&module) && !is_core(layer),
                    "{name}: {layer} imports {module}"
                ),
                // `lib.rs` may name anything; what the adapters share knows the core only
                None => assert!(
                    source.layer == "lib" || is_core(&module) || is_shared_by_adapters(&module),
                    "{name} imports {module}"
                ),
            }
        }
    }
    for (layer, allowed) in LAYERS {
        for module in allowed {
            let used = seen.contains(&(layer, (*module).to_owned()));
            assert!(used, "{layer} may import {module}, and does not: the table says too much");
        }
    }
}

/// No socket, clock or source of randomness below the adapters.
#[test]
fn the_core_does_not_know_the_outside() {
    for source in sources().iter().filter(|source| is_core(&source.layer)) {
        for name in OUTSIDE.iter().chain(&["tokio::", "futures_core", "futures_sink"]) {
            assert!(!source.code.contains(name), "{}: {name}", source.path.display());
        }
    }
}

/// The core needs no standard library: all that it uses of it is the type of vectored writes, under
/// a feature, and the pools of each thread in a layer that is a feature with `std`.
#[test]
fn the_core_needs_no_standard_library() {
    let mut exceptions = 0;
    for source in sources().iter().filter(|source| is_core(&source.layer)) {
        for line in source.code.lines().filter(|line| line.contains("std::")) {
            let vectored =
                source.path.ends_with("buf/send.rs") && line.contains("std::io::IoSlice");
            let pool =
                source.path.ends_with("deflate/pool.rs") && line.contains("std::thread_local!");
            assert!(vectored || pool, "{}: {line}", source.path.display());
            exceptions += 1;
        }
        if source.layer == "deflate" {
            let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
            let lib = fs::read_to_string(lib).unwrap();
            assert!(lib.contains("#[cfg(feature = \"deflate\")]\npub mod deflate;"));
        }
        if source.path.ends_with("buf/send.rs") {
            let method = source.code.find("fn chunks_vectored").unwrap();
            assert!(source.code[..method].trim_end().ends_with("#[cfg(feature = \"std\")]"));
        }
    }
    assert!(exceptions > 0, "the exception is gone; so may this be");
}

/// What the checks above rest on.
#[test]
fn imports_are_found() {
    let source = |depth, text: &str| Source {
        path: PathBuf::new(),
        layer: "x".into(),
        depth,
        code: code(text),
    };
    let found = |depth, text| imported(&source(depth, text));
    assert_eq!(found(2, "use crate::wire::Opcode;\nuse super::Config;"), ["wire"]);
    assert_eq!(found(2, "use crate::{buf::{A, B}, wire, proto::C};"), ["buf", "wire", "proto"]);
    assert_eq!(
        found(2, "let x = crate::tokio::f();\nuse super::super::server;"),
        ["tokio", "server"]
    );
    assert_eq!(found(1, "use super::wire::A;\npub(crate) fn f() {}"), ["wire"]);
    assert_eq!(found(2, "/// use crate::server;\n// crate::tokio::x\nfn f() {}"), [""; 0]);
    assert_eq!(found(2, "f();\n#[cfg(test)]\nmod tests {\n use crate::server::S;\n}"), [""; 0]);
}
