//! What was found, for people and for programs.

use std::io::{self, IsTerminal, Write};

use super::verdict::{Level, Probe, Verdict};
use crate::{Exit, escape};

/// Shows verdicts, and counts them.
pub struct Report {
    json: bool,
    coloured: bool,
    group: &'static str,
    right: usize,
    wrong: usize,
    noted: usize,
    unknown: usize,
    /// A MUST among those that are wrong.
    is_broken: bool,
}

impl Report {
    pub fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let coloured = wanted && !json && io::stdout().is_terminal();
        Self {
            json,
            coloured,
            group: "",
            right: 0,
            wrong: 0,
            noted: 0,
            unknown: 0,
            is_broken: false,
        }
    }

    /// Shows which probes there are.
    pub fn list(mut self, chosen: &[(&'static str, &'static Probe)]) -> io::Result<Exit> {
        let mut out = io::stdout().lock();
        for (group, probe) in chosen {
            if self.json {
                writeln!(out, "{{{}}}", fields(group, probe))?;
                continue;
            }
            self.heading(group, &mut out)?;
            writeln!(out, "  {:26}{:8}{}", probe.name, probe.level.name(), probe.section)?;
            writeln!(out, "  {:26}{}", "", probe.what)?;
        }
        Ok(Exit::Ok)
    }

    pub fn begin(&self, url: &str, probes: usize, echoes: bool) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let echo = if echoes { "it is an echo" } else { "it is no echo: some cannot be answered" };
        writeln!(io::stdout(), "{}: {probes} probes; {echo}", escape::for_terminal(url))
    }

    pub fn probe(&mut self, group: &'static str, probe: &Probe, it: &Verdict) -> io::Result<()> {
        let (count, colour) = match it {
            Verdict::Right(_) => (&mut self.right, "32"),
            Verdict::Wrong(_) => {
                self.is_broken |= probe.level == Level::Must;
                (&mut self.wrong, "1;31")
            }
            Verdict::Noted(_) => (&mut self.noted, "33"),
            Verdict::Unknown(_) => (&mut self.unknown, "2"),
        };
        *count += 1;
        let mut out = io::stdout().lock();
        if self.json {
            let seen = escape::json(it.seen());
            let fields = fields(group, probe);
            return writeln!(out, r#"{{{fields},"verdict":"{}","seen":{seen}}}"#, it.name());
        }
        self.heading(group, &mut out)?;
        let name = format!("{:9}", it.name());
        let name = match self.coloured {
            true => format!("\u{1b}[{colour}m{name}\u{1b}[0m"),
            false => name,
        };
        let seen = escape::for_terminal(it.seen());
        match it {
            Verdict::Right(_) => writeln!(out, "  {name}{:26}{seen}", probe.name),
            Verdict::Unknown(_) => writeln!(out, "  {name}{:26}could not tell: {seen}", probe.name),
            _ => {
                writeln!(out, "  {name}{:26}{seen}", probe.name)?;
                let level = match probe.level {
                    Level::Note => String::new(),
                    level => format!(" ({})", level.name()),
                };
                writeln!(out, "  {:35}{}{level}: a server {}", "", probe.section, probe.what)
            }
        }
    }

    pub fn end(self) -> io::Result<Exit> {
        let Self { right, wrong, noted, unknown, .. } = self;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(
                out,
                r#"{{"right":{right},"wrong":{wrong},"noted":{noted},"unknown":{unknown}}}"#
            )?;
        } else {
            let rest = format!("{noted} allowed but noted, {unknown} could not tell");
            writeln!(out, "\n{right} right, {wrong} wrong, {rest}")?;
        }
        Ok(if self.is_broken { Exit::Wrong } else { Exit::Ok })
    }

    /// Shows the name of a group before its first probe.
    fn heading(&mut self, group: &'static str, out: &mut impl Write) -> io::Result<()> {
        if self.group == group {
            return Ok(());
        }
        self.group = group;
        writeln!(out, "{group}")
    }
}

/// Returns what is known of a probe before it has run, as the beginning of an object of JSON.
fn fields(group: &str, probe: &Probe) -> String {
    let [name, section, what] = [probe.name, probe.section, probe.what].map(escape::json);
    let level = escape::json(&probe.level.name().to_ascii_lowercase());
    let group = escape::json(group);
    format!(r#""probe":{name},"group":{group},"section":{section},"level":{level},"what":{what}"#)
}
