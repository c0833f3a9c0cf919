//! Compares the public items of `sansws` with those recorded in `surface.txt`.
//!
//! `cargo run --manifest-path tests/public_api/Cargo.toml` fails with a list of what is new and
//! what is gone; with `-- --bless` it records the surface as it is. A change of the file is a
//! change of what users build on: it belongs into the changelog.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// Where the JSON of this rustdoc cannot be read: it is of a version that the library does not
/// know.
const CANNOT_READ: u8 = 3;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let json = rustdoc_json(&here.join("../.."))?;
    let items = match public_items(&json) {
        Ok(items) => items,
        Err(error) => {
            eprintln!("{}: {error}", json.display());
            return Ok(ExitCode::from(CANNOT_READ));
        }
    };
    let file = here.join("surface.txt");
    if env::args().any(|argument| argument == "--bless") {
        let lines: String = items.iter().flat_map(|item| [item, "\n"]).collect();
        fs::write(&file, lines)?;
        println!("{} public items recorded", items.len());
        return Ok(ExitCode::SUCCESS);
    }
    let recorded = fs::read_to_string(&file)?;
    let recorded: BTreeSet<String> = recorded.lines().map(String::from).collect();
    let mut changed = false;
    for (sign, lines) in [("-", recorded.difference(&items)), ("+", items.difference(&recorded))] {
        for line in lines {
            changed = true;
            println!("{sign} {line}");
        }
    }
    if changed {
        eprintln!(
            "The public surface is not the recorded one. If that is meant: say it in CHANGELOG.md \
             and run `cargo run --manifest-path tests/public_api/Cargo.toml -- --bless`."
        );
        return Ok(ExitCode::FAILURE);
    }
    println!("{} public items, all as recorded", items.len());
    Ok(ExitCode::SUCCESS)
}

/// Has rustdoc write what it knows of the crate, all features on, and returns the file.
fn rustdoc_json(root: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let target = match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => root.join("target"),
    }
    .join("public_api");
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root)
        // JSON is an unstable output of a stable rustdoc.
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["rustdoc", "--quiet", "--lib", "--all-features", "--target-dir"])
        .arg(&target)
        .args(["--", "-Zunstable-options", "--output-format=json"])
        .status()?;
    if !status.success() {
        return Err(format!("rustdoc: {status}").into());
    }
    Ok(target.join("doc/sansws.json"))
}

/// One line an item. Left out is what every type has (`Into` by `From`, ...), what nobody builds
/// on, and the methods of common traits, which the line of the `impl` stands for.
fn public_items(json: &Path) -> Result<BTreeSet<String>, public_api::Error> {
    let api = public_api::Builder::from_rustdoc_json(json).omit_blanket_impls(true).build()?;
    Ok(api.items().map(ToString::to_string).filter(|item| !is_implied(item)).collect())
}

fn is_implied(item: &str) -> bool {
    let parts: &[&str] = if item.starts_with("impl") { &TRAITS } else { &METHODS };
    parts.iter().any(|part| item.contains(part))
}

const METHODS: [&str; 14] = [
    "::as_ref(",
    "::borrow(",
    "::clone(",
    "::cmp(",
    "::default(",
    "::deref(",
    "::drop(",
    "::eq(",
    "::fmt(",
    "::from(",
    "::hash<",
    "::partial_cmp(",
    "::source(",
    "::try_from(",
];

const TRAITS: [&str; 5] = [
    "marker::Freeze",
    "marker::StructuralPartialEq",
    "marker::UnsafeUnpin",
    "unwind_safe::RefUnwindSafe",
    "unwind_safe::UnwindSafe",
];
