//! What an idle connection costs a server: resident memory after minus before, divided.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use crate::Options;
use crate::children::{Generator, Running};
use crate::report::{Cell, Grid};
use crate::servers::{For, SERVERS, Server};

const CONNECTIONS: usize = 10_000;

/// How many of them also carry a large message; there are servers that keep megabytes for each.
const LARGE: usize = 1_000;

pub fn measure(options: &Options, cpus: (usize, usize), files: usize) -> Grid {
    let count = CONNECTIONS.min(files.saturating_sub(200));
    let columns = ["opened", "echoed 125 B", "echoed 1 MiB"].map(str::to_string).to_vec();
    let mut rows = Vec::new();
    eprint!("idle memory ");
    for server in SERVERS
        .iter()
        .filter(|it| options.wants(it.name) && matches!(it.part, For::Everything | For::Memory))
    {
        eprint!(".");
        let figures = match visit(server, cpus, count) {
            Ok(figures) => figures,
            Err(error) => {
                eprint!("\nnot measured: {}: {error} ", server.name);
                continue;
            }
        };
        rows.push((server.name.to_string(), figures.map(Cell::number).to_vec()));
    }
    eprintln!();
    let title = format!("Resident bytes per idle connection, {count} connections");
    Grid { title, columns, rows }
}

/// A fresh process of the server and of the generator.
fn visit(server: &'static Server, cpus: (usize, usize), count: usize) -> io::Result<[f64; 3]> {
    const MIB: usize = 1 << 20;
    let running = Running::start(server, &[], &[cpus.0])?;
    let mut generator = Generator::start(cpus.1)?;
    // the first connections pay for what all share
    generator.ask(&format!("open 0 {} 100", running.addr))?;
    generator.ask(&format!("touch 0 {MIB} 100"))?;
    generator.ask("close 0")?;
    sleep(Duration::from_millis(500));

    let resident = || running.resident().ok_or_else(|| io::Error::other("the server is gone"));
    let before = resident()?;
    let mut figures = [0.0; 3];
    generator.ask(&format!("open 0 {} {count}", running.addr))?;
    settle();
    figures[0] = (resident()? - before) / count as f64;
    generator.ask(&format!("touch 0 125 {count}"))?;
    settle();
    let small = resident()?;
    figures[1] = (small - before) / count as f64;
    generator.ask(&format!("touch 0 {MIB} {LARGE}"))?;
    settle();
    figures[2] = figures[1] + (resident()? - small) / LARGE.min(count) as f64;
    Ok(figures)
}

/// Lets the server finish what it is at.
fn settle() {
    sleep(Duration::from_millis(300));
}
