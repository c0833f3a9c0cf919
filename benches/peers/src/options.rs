//! The command line.

use std::path::PathBuf;
use std::process::exit;

use crate::scenario::SCENARIOS;
use crate::servers::{SERVERS, find};

const USAGE: &str = "\
usage: sansws-peers [OPTIONS]

  --seconds N          time for each server and scenario, in slices of 0.25 s (default 1.25)
  --only SERVER,...    these servers; the first floor is always there, to compare with
  --scenario NAME,...  these scenarios
  --part PART,...      end-to-end, scale, codec, memory (default: all; end-to-end with
                       --scenario)
  --markdown FILE      where the tables go, with the plots beside it (default: the target
                       directory)";

#[derive(Clone, Copy, PartialEq)]
pub enum Part {
    EndToEnd,
    Scale,
    Codec,
    Memory,
}

const PARTS: [(&str, Part); 4] = [
    ("end-to-end", Part::EndToEnd),
    ("scale", Part::Scale),
    ("codec", Part::Codec),
    ("memory", Part::Memory),
];

pub struct Options {
    pub seconds: f64,
    only: Vec<String>,
    pub scenarios: Vec<String>,
    pub parts: Vec<Part>,
    pub markdown: Option<PathBuf>,
}

impl Options {
    pub fn parse(args: &[&str]) -> Self {
        let mut options = Self {
            seconds: 1.25,
            only: Vec::new(),
            scenarios: Vec::new(),
            parts: Vec::new(),
            markdown: None,
        };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            let mut value = || match args.next() {
                Some(&value) => value,
                None => usage(&format!("{arg} needs a value")),
            };
            match arg {
                "--seconds" => {
                    let Ok(seconds) = value().parse() else { usage("that is no number") };
                    options.seconds = seconds;
                }
                "--only" => {
                    let known = |name: &str| find(name).map(|server| server.name.to_string());
                    options.only = list(value(), known);
                }
                "--scenario" => {
                    let named = |name: &str| SCENARIOS.iter().find(|it| it.name == name);
                    options.scenarios =
                        list(value(), |name| named(name).map(|it| it.name.to_string()));
                }
                "--part" => {
                    let named = |name: &str| PARTS.iter().find(|it| it.0 == name);
                    options.parts = list(value(), |name| named(name).map(|it| it.1));
                }
                "--markdown" => options.markdown = Some(value().into()),
                "--help" | "-h" => usage("sansws beside other crates"),
                unknown => usage(&format!("unknown option {unknown}")),
            }
        }
        if options.parts.is_empty() {
            options.parts = match options.scenarios.is_empty() {
                true => PARTS.map(|it| it.1).to_vec(),
                false => vec![Part::EndToEnd],
            };
        }
        options
    }

    pub fn wants(&self, server: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|it| it == server)
    }
}

fn list<T>(value: &str, find: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let items = value.split(',');
    items.map(|name| find(name).unwrap_or_else(|| usage(&format!("no {name}")))).collect()
}

pub fn usage(problem: &str) -> ! {
    eprintln!("{problem}\n{USAGE}");
    eprintln!("\nservers: {}", SERVERS.map(|server| server.name).join(" "));
    eprintln!("scenarios: {}", SCENARIOS.map(|scenario| scenario.name).join(" "));
    exit(2);
}
