//! `sansws` beside other WebSocket crates and two floors: processor time per message end to end,
//! the protocol layer in memory, resident memory per idle connection.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- [OPTIONS]`

mod children;
mod end_to_end;
mod load;
mod scenario;
mod servers;
mod sys;

use std::process::exit;

const USAGE: &str = "\
usage: sansws-peers [--seconds N] [--only SERVER,...] [--scenario NAME,...]

  --seconds N        time for each server and scenario, in slices of 0.25 s (default 1.25)
  --only SERVER,...  these servers alone; the first floor is always there, to compare with
  --scenario NAME,... these scenarios alone";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["serve", name] => match servers::find(name).map(|server| server.program) {
            Some(servers::Program::Own(serve)) => serve(),
            _ => usage(&format!("no server {name} in this program")),
        },
        ["load"] => load::run(),
        _ => run(&Options::parse(&args)),
    };
    if let Err(error) = result {
        eprintln!("{error}");
        exit(1);
    }
}

struct Options {
    seconds: f64,
    only: Vec<String>,
    scenarios: Vec<String>,
}

impl Options {
    fn parse(args: &[&str]) -> Self {
        let mut options = Self { seconds: 1.25, only: Vec::new(), scenarios: Vec::new() };
        let mut args = args.iter();
        let list = |value: Option<&&str>| -> Vec<String> {
            let value = value.unwrap_or_else(|| usage("a list is missing"));
            value.split(',').map(str::to_string).collect()
        };
        while let Some(&arg) = args.next() {
            match arg {
                "--seconds" => {
                    let value = args.next().and_then(|value| value.parse().ok());
                    options.seconds = value.unwrap_or_else(|| usage("a number is missing"));
                }
                "--only" => options.only = list(args.next()),
                "--scenario" => options.scenarios = list(args.next()),
                unknown => usage(&format!("unknown option {unknown}")),
            }
        }
        if let Some(name) = options.only.iter().find(|name| servers::find(name).is_none()) {
            usage(&format!("no server {name}"));
        }
        let known = |name: &str| scenario::SCENARIOS.iter().any(|scenario| scenario.name == name);
        if let Some(name) = options.scenarios.iter().find(|name| !known(name)) {
            usage(&format!("no scenario {name}"));
        }
        options
    }
}

fn usage(problem: &str) -> ! {
    let names = |names: &mut dyn Iterator<Item = &str>| names.collect::<Vec<_>>().join(" ");
    eprintln!("{problem}\n{USAGE}");
    eprintln!("\nservers: {}", names(&mut servers::SERVERS.iter().map(|server| server.name)));
    eprintln!("scenarios: {}", names(&mut scenario::SCENARIOS.iter().map(|it| it.name)));
    exit(2);
}

fn run(options: &Options) -> std::io::Result<()> {
    sys::raise_file_limit();
    children::build_examples()?;
    let cpus = sys::cpus();
    let [server_cpu, .., load_cpu] = cpus[..] else {
        return Err(std::io::Error::other("there must be two processors: server and load"));
    };
    let results = end_to_end::measure(options, server_cpu, load_cpu)?;
    print!("{}", end_to_end::table(&results));
    Ok(())
}
