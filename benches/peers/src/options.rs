//! The command line.

use std::path::PathBuf;
use std::process::exit;

use crate::attackers::Attack;
use crate::scenario::SCENARIOS;
use crate::servers::{SERVERS, find};

const USAGE: &str = "\
usage: sansws-peers [OPTIONS]

  --seconds N          time for each server and scenario, in slices of 0.25 s (default 1.25);
                       with attackers, time for each measurement (default 3)
  --only SERVER,...    these servers; the first floor is always there, to compare with
  --scenario NAME,...  these scenarios
  --attack NAME,...    these attacks
  --part PART,...      end-to-end, scale, cores, broadcast, compression, engines, codec, memory,
                       attackers (default: all; end-to-end with --scenario, attackers with
                       --attack)
  --markdown FILE      where the tables go, with the plots beside it (default: the target
                       directory)";

#[derive(Clone, Copy, PartialEq)]
pub enum Part {
    EndToEnd,
    Scale,
    Cores,
    Broadcast,
    Compression,
    Engines,
    Codec,
    Memory,
    Attackers,
}

const PARTS: [(&str, Part); 9] = [
    ("end-to-end", Part::EndToEnd),
    ("scale", Part::Scale),
    ("cores", Part::Cores),
    ("broadcast", Part::Broadcast),
    ("compression", Part::Compression),
    ("engines", Part::Engines),
    ("codec", Part::Codec),
    ("memory", Part::Memory),
    ("attackers", Part::Attackers),
];

pub struct Options {
    seconds: Option<f64>,
    only: Vec<String>,
    pub scenarios: Vec<String>,
    pub attacks: Vec<Attack>,
    pub parts: Vec<Part>,
    pub markdown: Option<PathBuf>,
}

impl Options {
    pub fn parse(args: &[&str]) -> Self {
        let mut options = Self {
            seconds: None,
            only: Vec::new(),
            scenarios: Vec::new(),
            attacks: Vec::new(),
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
                    options.seconds = Some(seconds);
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
                "--attack" => options.attacks = list(value(), Attack::parse),
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
            if !options.scenarios.is_empty() {
                options.parts.push(Part::EndToEnd);
            }
            if !options.attacks.is_empty() {
                options.parts.push(Part::Attackers);
            }
        }
        if options.parts.is_empty() {
            options.parts = PARTS.map(|it| it.1).to_vec();
        }
        options
    }

    /// How long to measure, where nothing is said `default`.
    pub fn seconds_or(&self, default: f64) -> f64 {
        self.seconds.unwrap_or(default)
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
    eprintln!("attacks: {}", Attack::ALL.map(Attack::name).join(" "));
    exit(2);
}
