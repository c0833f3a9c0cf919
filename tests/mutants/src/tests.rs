//! The tests of the core, in memory: those that take the shortest time first.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::cargo;

pub struct Tests {
    tree: PathBuf,
    steps: Vec<Step>,
}

struct Step {
    program: PathBuf,
    arguments: Vec<&'static str>,
    /// How long it takes without a change.
    time: Duration,
}

#[derive(Debug, PartialEq)]
pub enum Outcome {
    Noticed,
    TooLong,
    Survived,
}

impl Tests {
    pub fn build(tree: &Path, with_slow: bool) -> Self {
        let mut build = cargo(tree, "test");
        let output = build.args(["--no-run", "--lib", "--test", "core"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "the tests do not compile: {text}");
        let (mut lib, mut core) = (PathBuf::new(), PathBuf::new());
        for line in text.lines() {
            let message: serde_json::Value = serde_json::from_str(line).unwrap();
            let Some(program) = message["executable"].as_str() else { continue };
            match message["target"]["name"].as_str() {
                Some("core") => core = program.into(),
                _ => lib = program.into(),
            }
        }
        // seconds each, most of them because they do something large
        let slow = [
            "properties::",
            "fuzz::",
            "zlib::",
            "windows::",
            "splits::",
            "a_large_feed_is_linear",
            "growth_is_geometric",
            "a_large_message_of_small_fragments",
            "a_flood_of",
            "many_fragments_cost",
            "the_byte_stream_is_the_same",
        ];
        let slow_in_lib = [
            "equals_the_naive_loop",
            "agrees_with_core_on_boundary_bytes",
            "hostile_values_take_linear_time",
            "messages_of_all_sizes",
        ];
        let without = |names: &[&'static str]| names.iter().flat_map(|it| ["--skip", it]).collect();
        let mut steps: Vec<(_, Vec<_>)> = vec![
            (&lib, without(&slow_in_lib)),
            (&core, without(&slow)),
            (&lib, slow_in_lib.to_vec()),
        ];
        if with_slow {
            steps.push((&core, slow.to_vec()));
        }
        let mut tests = Self { tree: tree.into(), steps: Vec::new() };
        for (program, arguments) in steps {
            let mut step =
                Step { program: program.clone(), arguments, time: Duration::from_secs(600) };
            let start = Instant::now();
            let outcome = tests.run_step(&step, usize::MAX, None);
            assert_eq!(outcome, Outcome::Survived, "the tests fail without a change");
            step.time = start.elapsed();
            tests.steps.push(step);
        }
        tests
    }

    pub fn time(&self) -> Duration {
        self.steps.iter().map(|it| it.time).sum()
    }

    /// Those of the module `part` come first, which notice the most.
    pub fn run(&self, id: usize, part: &str) -> Outcome {
        let first = self.steps.iter().take(1).map(|step| (step, Some(part)));
        for (step, part) in first.chain(self.steps.iter().map(|step| (step, None))) {
            let outcome = self.run_step(step, id, part);
            if outcome != Outcome::Survived {
                return outcome;
            }
        }
        Outcome::Survived
    }

    /// Until the first test fails.
    fn run_step(&self, step: &Step, id: usize, part: Option<&str>) -> Outcome {
        // a change may make it take all memory there is
        let mut child = Command::new("sh")
            .args(["-c", r#"ulimit -v 4000000; exec "$0" "$@""#])
            .arg(&step.program)
            .args(part)
            .args(&step.arguments)
            .env("MUTANT", id.to_string())
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            .current_dir(&self.tree)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tx, rx) = mpsc::channel();
        let reader = thread::spawn(move || {
            let mut all_passed = false;
            for line in out.split(b'\n').map_while(Result::ok) {
                if line.ends_with(b"... FAILED") {
                    break;
                }
                all_passed |= line.starts_with(b"test result: ok");
            }
            let _ = tx.send(all_passed);
        });
        let result = rx.recv_timeout(3 * step.time + Duration::from_secs(10));
        let _ = child.kill();
        let _ = child.wait();
        let _ = reader.join();
        match result {
            Ok(true) => Outcome::Survived,
            Ok(false) => Outcome::Noticed,
            Err(_) => Outcome::TooLong,
        }
    }
}
