//! The tests of the core, in memory: what each of them reaches, and how long it takes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, iter};

use crate::cargo;

pub struct Tests {
    tree: PathBuf,
    /// In the order in which they are run: first the shortest, then those that noticed something.
    tests: Vec<Test>,
}

struct Test {
    program: PathBuf,
    name: String,
    /// How long it takes by itself, without a change.
    time: Duration,
    /// By the id of a change: whether it asks for it.
    reaches: Vec<bool>,
}

#[derive(Debug, PartialEq)]
pub enum Outcome {
    Noticed,
    TooLong,
    Survived,
    /// No test comes there.
    NotReached,
}

/// Tests that take longer are run with `--slow` alone.
const SLOW: Duration = Duration::from_millis(700);

/// How many tests a process runs: most changes are noticed by the first ones.
const AT_ONCE: [usize; 3] = [4, 30, usize::MAX];

impl Tests {
    /// Compiles them, and runs each by itself for what it reaches of so many changes.
    pub fn build(tree: &Path, changes: usize, with_slow: bool) -> Self {
        let mut build = cargo(tree, "test");
        let output = build.args(["--no-run", "--lib", "--test", "core"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "the tests do not compile: {text}");
        let mut all = Self { tree: tree.into(), tests: Vec::new() };
        for line in text.lines() {
            let message: serde_json::Value = serde_json::from_str(line).unwrap();
            let Some(program) = message["executable"].as_str() else { continue };
            let output = Command::new(program).arg("--list").output().unwrap();
            let names = String::from_utf8(output.stdout).unwrap();
            for name in names.lines().filter_map(|it| it.strip_suffix(": test")) {
                let limit = if with_slow { Duration::from_secs(600) } else { SLOW };
                all.tests.extend(all.measure(program.into(), name.into(), changes, limit));
            }
        }
        all.tests.sort_by_key(|it| it.time);
        all
    }

    fn measure(
        &self,
        program: PathBuf,
        name: String,
        changes: usize,
        limit: Duration,
    ) -> Option<Test> {
        let record = self.tree.with_extension("reached");
        let _ = fs::remove_file(&record);
        let mut test = Test { program, name, time: limit, reaches: vec![false; changes] };
        let start = Instant::now();
        let variable = ("MUTANTS_REACHED", record.to_str().unwrap());
        match self.run_some(&[&test], variable, limit).0 {
            Outcome::Survived => {}
            Outcome::TooLong => return None,
            _ => panic!("{} fails without a change", test.name),
        }
        test.time = start.elapsed();
        // there is none if it reaches nothing
        for id in fs::read(record).unwrap_or_default().chunks_exact(4) {
            test.reaches[u32::from_le_bytes(id.try_into().unwrap()) as usize] = true;
        }
        Some(test)
    }

    pub fn len(&self) -> usize {
        self.tests.len()
    }

    /// Those that reach the change, until one notices it.
    pub fn run(&mut self, id: usize) -> Outcome {
        let mut rest: Vec<_> = self.tests.iter().filter(|it| it.reaches[id]).collect();
        if rest.is_empty() {
            return Outcome::NotReached;
        }
        let number = id.to_string();
        for count in AT_ONCE {
            let mut now: Vec<_> = rest.drain(..count.min(rest.len())).collect();
            while let Some(first) = now.first() {
                let program = &first.program;
                let (these, others) = now.iter().partition(|it| it.program == *program);
                now = others;
                let time: Duration = these.iter().map(|it| it.time).sum();
                let limit = 5 * time + Duration::from_secs(5);
                let (outcome, name) = self.run_some(&these, ("MUTANT", &number), limit);
                if outcome == Outcome::Survived {
                    continue;
                }
                // the next change is likely to be noticed by the same one
                if let Some(at) = name.and_then(|it| self.tests.iter().position(|t| t.name == it)) {
                    self.tests[..=at].rotate_right(1);
                }
                return outcome;
            }
        }
        Outcome::Survived
    }

    /// Tests of one program, until the first one fails; tells its name.
    fn run_some(
        &self,
        tests: &[&Test],
        variable: (&str, &str),
        limit: Duration,
    ) -> (Outcome, Option<String>) {
        // a change may make it take all memory there is
        let mut child = Command::new("sh")
            .args(["-c", r#"ulimit -v 4000000; exec "$0" --exact "$@""#])
            .arg(&tests[0].program)
            .args(tests.iter().map(|it| &it.name))
            .envs(iter::once(variable))
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
            let mut result = (Outcome::Noticed, None);
            for line in out.lines().map_while(Result::ok) {
                if let Some(line) = line.strip_suffix(" ... FAILED") {
                    result.1 = line.strip_prefix("test ").map(str::to_owned);
                    break;
                }
                if line.starts_with("test result: ok") {
                    result.0 = Outcome::Survived;
                }
            }
            let _ = tx.send(result);
        });
        let result = rx.recv_timeout(limit);
        let _ = child.kill();
        let _ = child.wait();
        let _ = reader.join();
        result.unwrap_or((Outcome::TooLong, None))
    }
}
