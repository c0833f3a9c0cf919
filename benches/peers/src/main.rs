//! `sansws` beside other WebSocket crates and two floors: processor time per message end to end,
//! the protocol layer in memory, resident memory per idle connection, latency beside attackers.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- [OPTIONS]`

mod attackers;
mod broadcast;
mod children;
mod codec;
mod compression;
mod cores;
mod end_to_end;
mod engines;
mod idle_memory;
mod load;
mod options;
mod plot;
mod report;
mod scale;
mod scenario;
mod servers;
mod sys;
#[path = "../../texts/mod.rs"]
mod texts;

use std::io;
use std::path::{Path, PathBuf};
use std::process::exit;

use options::{Options, Part};
use report::Grid;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["serve", name] => match servers::find(name).map(|server| server.program) {
            Some(servers::Program::Own(serve) | servers::Program::Foreign(serve)) => serve(),
            _ => options::usage(&format!("no server {name} in this program")),
        },
        ["load"] => load::run(),
        ["attack", attack, addr, count] => attackers::attack(attack, addr, count),
        _ => run(&Options::parse(&args)),
    };
    if let Err(error) = result {
        eprintln!("{error}");
        exit(1);
    }
}

fn run(options: &Options) -> io::Result<()> {
    let [server_cpu, .., load_cpu] = sys::cpus()[..] else {
        return Err(io::Error::other("there must be two processors: server and load"));
    };
    let cpus = (server_cpu, load_cpu);
    let files = sys::raise_file_limit();
    children::build_examples()?;
    let mut report = Report::new(options)?;
    if options.parts.contains(&Part::EndToEnd) {
        let results = end_to_end::measure(options, cpus)?;
        let grids = results.grids();
        report.heading(&format!("End to end, {} rounds", results.rounds));
        report.plot("end-to-end.svg", &plot::ratios(&grids[0]))?;
        report.tables(&grids);
    }
    if options.parts.contains(&Part::Scale) {
        let grid = scale::measure(options, cpus)?;
        report.heading("Scale");
        report.plot("scale.svg", &plot::lines(&grid, scale::CONNECTIONS))?;
        report.tables(&[grid]);
    }
    if options.parts.contains(&Part::Cores) {
        let grids = cores::measure(options, cpus)?;
        report.heading("One thread and two");
        report.tables(&grids);
    }
    if options.parts.contains(&Part::Broadcast) {
        let results = broadcast::measure(options, cpus)?;
        report.heading(&format!("Broadcast to 1 000 clients, {} rounds", results.rounds));
        report.tables(&results.grids());
    }
    if options.parts.contains(&Part::Compression) {
        let grids = compression::measure(options, cpus)?;
        report.heading("Compression: JSON texts that come and go back compressed");
        report.tables(&grids);
    }
    if options.parts.contains(&Part::Engines) {
        let grid = engines::measure(load_cpu)?;
        report.heading("Engines of compression, in memory");
        report.tables(&[grid]);
    }
    if options.parts.contains(&Part::Codec) {
        let grids = codec::measure(load_cpu);
        report.heading("In memory");
        report.tables(&grids);
    }
    if options.parts.contains(&Part::Memory) {
        let grid = idle_memory::measure(options, cpus, files);
        report.heading("Idle connections");
        report.plot("idle-memory.svg", &plot::bars(&grid, 1))?;
        report.tables(&[grid]);
    }
    if options.parts.contains(&Part::Attackers) {
        let results = attackers::measure(options, cpus)?;
        report.heading("Honest clients beside attackers");
        report.tables(&results.grids());
        report.text(&results.verdict());
    }
    report.finish()
}

/// What goes to the standard output and into the file.
struct Report {
    file: PathBuf,
    text: String,
}

impl Report {
    fn new(options: &Options) -> io::Result<Self> {
        let file = match &options.markdown {
            Some(file) => file.clone(),
            None => {
                let exe = std::env::current_exe()?;
                let target = exe.ancestors().nth(2).unwrap_or(Path::new("."));
                target.join("peers").join("report.md")
            }
        };
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = format!(
            "{}. Load average {} at the start.\n",
            report::machine(),
            report::load_average()
        );
        Ok(Self { file, text })
    }

    fn heading(&mut self, heading: &str) {
        self.text.push_str(&format!("\n## {heading}\n"));
    }

    fn tables(&mut self, grids: &[Grid]) {
        for grid in grids {
            self.text.push_str(&grid.markdown());
        }
    }

    fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Writes the plot beside the file, and refers to it.
    fn plot(&mut self, name: &str, svg: &str) -> io::Result<()> {
        std::fs::write(self.file.with_file_name(name), svg)?;
        self.text.push_str(&format!("\n![{}]({name})\n", name.trim_end_matches(".svg")));
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.text.push_str(&format!("\nLoad average {} at the end.\n", report::load_average()));
        print!("{}", self.text);
        eprintln!("\nwritten to {}", self.file.display());
        std::fs::write(&self.file, &self.text)
    }
}
