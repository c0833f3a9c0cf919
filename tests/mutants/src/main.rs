//! Changes the core in small ways, one at a time, and says which changes no test notices.
//!
//! ```text
//! cargo run --manifest-path tests/mutants/Cargo.toml --target-dir target/mutants/program -- \
//!     [--only TEXT] [--again] [--seconds N] [--slow] src/wire [...]
//! ```
//!
//! The changes are those of cargo-mutants. That compiles the crate once for each; here all of them
//! are in one program, in a copy below `target/mutants`, and `MUTANT` says which one happens.
//! What does not compile is left out. Each test is run once to see which changes it reaches; a
//! change is then looked at by those tests alone, and with `--slow` also by those that take long,
//! which are most of the property tests, the fuzzers and zlib. `--again` makes those changes again
//! that were not noticed the last time. `accepted.txt` has the changes that no test can notice.

mod find;
mod put;
mod tests;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use find::{Finder, Mutant, Place};
use syn::visit::Visit;
use tests::{Outcome, Tests};

const FEATURES: [&str; 3] = ["--no-default-features", "--features", "std,deflate,http"];

/// Changes that no test can notice: `path: what in where`, and the reason behind ` -- `.
const ACCEPTED: &str = include_str!("../accepted.txt");

struct File {
    path: PathBuf,
    source: String,
    places: Vec<Place>,
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let (mut only, mut again, mut seconds, mut slow) = (String::new(), false, u64::MAX, false);
    let mut paths = Vec::new();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--only" => only = arguments.next().unwrap(),
            "--again" => again = true,
            "--slow" => slow = true,
            "--seconds" => seconds = arguments.next().unwrap().parse().unwrap(),
            _ => paths.push(argument),
        }
    }
    let start = Instant::now();

    let mut mutants = Vec::new();
    let mut files: Vec<File> = Vec::new();
    let paths: Vec<_> = paths.iter().flat_map(|it| rust_files(&root, Path::new(it))).collect();
    let read = |path: &PathBuf| fs::read_to_string(root.join(path)).unwrap();
    let left_out: Vec<_> =
        paths.iter().flat_map(|it| find::files_left_out(it, &read(it))).collect();
    for path in paths.into_iter().filter(|it| !left_out.contains(it)) {
        let source = read(&path);
        let mut finder = Finder::new(path.to_str().unwrap(), &source, &mut mutants);
        finder.visit_file(&syn::parse_file(&source).unwrap());
        let mut places = finder.places;
        // outer ones first
        places.sort_by_key(|it| (it.range.start, usize::MAX - it.range.end));
        files.push(File { path, source, places });
    }

    let tree = root.join("target/mutants/tree");
    let changed: Vec<_> = files.iter().map(|it| it.path.as_path()).collect();
    copy(&root, &tree, Path::new(""), &changed);
    let gone = what_does_not_compile(&tree, &files, &mutants);
    println!("{} changes, of which {} do not compile", mutants.len(), gone.len());
    let mut tests = Tests::build(&tree, mutants.len(), slow);
    println!("{} s until {} tests were compiled and run", start.elapsed().as_secs(), tests.len());
    let survived = tree.with_extension("survived");
    let last = again.then(|| fs::read_to_string(&survived).unwrap());

    let (mut noticed, mut late, mut accepted, mut survivors) = (0, 0, 0, String::new());
    let (start, mut done) = (Instant::now(), 0);
    for (id, mutant) in mutants.iter().enumerate() {
        let name = format!("{}: {}", mutant.file, mutant.text);
        let is_again = last.as_ref().is_none_or(|it| it.lines().any(|line| line == name));
        if gone.contains(&id) || !name.contains(&only) || !is_again {
            continue;
        }
        if start.elapsed() > Duration::from_secs(seconds) {
            println!("time is up before {}:{}: {}", mutant.file, mutant.line, mutant.text);
            break;
        }
        done += 1;
        if done % 25 == 0 {
            println!("{done} changes after {} s", start.elapsed().as_secs());
        }
        let outcome = tests.run(id);
        let has_reason = ACCEPTED.lines().any(|it| is_line_of(it, &name));
        match outcome {
            Outcome::Noticed => noticed += 1,
            Outcome::TooLong => late += 1,
            _ if has_reason => accepted += 1,
            _ => {
                println!("{outcome:?} {}:{}: {}", mutant.file, mutant.line, mutant.text);
                survivors += &format!("{name}\n");
            }
        }
    }
    println!(
        "{done} changes in {} s: {noticed} noticed, {late} that never ended, {accepted} with a \
         reason, {} not noticed",
        start.elapsed().as_secs(),
        survivors.lines().count()
    );
    fs::write(survived, &survivors).unwrap();
    if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_line_of(line: &str, name: &str) -> bool {
    line.split_once(" -- ").is_some_and(|(it, _)| it == name)
}

fn rust_files(root: &Path, path: &Path) -> Vec<PathBuf> {
    if root.join(path).is_file() {
        return vec![path.into()];
    }
    let entries = fs::read_dir(root.join(path)).unwrap();
    let mut entries: Vec<_> = entries.map(|it| path.join(it.unwrap().file_name())).collect();
    entries.sort();
    entries.retain(|it| root.join(it).is_dir() || it.extension().is_some_and(|it| it == "rs"));
    entries.iter().flat_map(|it| rust_files(root, it)).collect()
}

/// All that the tests of the core need, but for the files that are going to be changed.
fn copy(root: &Path, tree: &Path, path: &Path, changed: &[&Path]) {
    const TOP: [&str; 7] =
        ["src", "tests", "fuzz", "examples", "benches", "Cargo.toml", "Cargo.lock"];
    for entry in fs::read_dir(root.join(path)).unwrap() {
        let name = entry.unwrap().file_name();
        let is_top = path.as_os_str().is_empty();
        let name = name.to_str().unwrap();
        if is_top && !TOP.contains(&name)
            || name == "target"
            || changed.contains(&&*path.join(name))
        {
            continue;
        }
        if root.join(path).join(name).is_dir() {
            copy(root, tree, &path.join(name), changed);
        } else if path.join(name) == Path::new("src/lib.rs") {
            let text = fs::read_to_string(root.join("src/lib.rs")).unwrap();
            let text = format!("{}{text}{}", put::ATTRIBUTES, put::SWITCH);
            write(&tree.join("src/lib.rs"), text.as_bytes());
        } else {
            write(&tree.join(path).join(name), &fs::read(root.join(path).join(name)).unwrap());
        }
    }
}

/// What is the same keeps its time, and is not compiled again.
fn write(path: &Path, text: &[u8]) {
    if fs::read(path).is_ok_and(|it| it == text) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn cargo(tree: &Path, command: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.arg(command).args(FEATURES).arg("--message-format=json").current_dir(tree);
    cargo.env("RUSTC_WORKSPACE_WRAPPER", tree.join("rustc.sh"));
    if env::var_os("CARGO_TARGET_DIR").is_none() {
        cargo.env("CARGO_TARGET_DIR", tree.parent().unwrap().join("build"));
    }
    cargo.stderr(Stdio::inherit());
    cargo
}

/// For the compiler, which is a stable one: the changed crate needs two things that it hides.
const WRAPPER: &str = "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec \"$@\"\n";

/// Puts the changes into the copy; leaves out those that the compiler finds fault with.
fn what_does_not_compile(tree: &Path, files: &[File], mutants: &[Mutant]) -> BTreeSet<usize> {
    let wrapper = tree.join("rustc.sh");
    write(&wrapper, WRAPPER.as_bytes());
    fs::set_permissions(wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    // as the last time, if these are the same changes
    let all: String = mutants.iter().map(|it| format!("{}: {}\n", it.file, it.text)).collect();
    let known = tree.with_extension("known");
    let last = fs::read_to_string(&known).unwrap_or_default();
    let mut gone: BTreeSet<usize> = match last.strip_suffix(&all) {
        Some(ids) => ids.split_whitespace().map(|id| id.parse().unwrap()).collect(),
        None => BTreeSet::new(),
    };
    loop {
        for File { path, source, places } in files {
            let text = put::put(source, 0, source.len(), places, &gone);
            write(&tree.join(path), text.as_bytes());
        }
        let output = cargo(tree, "check").arg("--lib").output().unwrap();
        if output.status.success() {
            let ids: Vec<_> = gone.iter().map(usize::to_string).collect();
            fs::write(known, format!("{}\n{all}", ids.join(" "))).unwrap();
            return gone;
        }
        let before = gone.len();
        let mut last = String::new();
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let message: serde_json::Value = serde_json::from_str(line).unwrap();
            let message = &message["message"];
            if message["level"] != "error" {
                continue;
            }
            last = message["rendered"].to_string();
            for span in message["spans"].as_array().into_iter().flatten() {
                if span["is_primary"] != true {
                    continue;
                }
                let file = tree.join(span["file_name"].as_str().unwrap());
                let text = fs::read_to_string(file).unwrap_or_default();
                let at = span["byte_start"].as_u64().unwrap() as usize;
                // the change whose number was the last before the fault
                if let Some((_, behind)) =
                    text.get(..at).and_then(|it| it.rsplit_once("crate::mutant::on("))
                    && let Some((id, _)) = behind.split_once(')')
                {
                    gone.insert(id.parse().unwrap());
                }
            }
        }
        eprintln!("{} of {} changes do not compile", gone.len(), mutants.len());
        assert!(gone.len() > before, "the changed crate does not compile: {last}");
    }
}
