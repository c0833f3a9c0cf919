//! `sansws check`: what a server does right and wrong.

mod close;
mod compression;
mod frames;
mod handshake;
mod link;
mod report;
mod target;
mod text;
mod verdict;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sansws::Error;

use self::report::Report;
use self::target::Target;
use self::verdict::{Probe, Verdict};
use crate::args::Check;
use crate::{Exit, connect, escape};

/// All probes, by subject.
const GROUPS: [(&str, &[Probe]); 5] = [
    ("handshake", handshake::PROBES),
    ("frames", frames::PROBES),
    ("text", text::PROBES),
    ("close", close::PROBES),
    ("compression", compression::PROBES),
];

/// Probes at the same time: few enough for a server that limits what one address may have.
const AT_ONCE: usize = 4;

/// How long an answer may take, unless the command line says otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn run(options: &Check) -> Exit {
    let chosen = match chosen(&options.only) {
        Ok(chosen) => chosen,
        Err(problem) => {
            eprintln!("sansws: {}", escape::for_terminal(&problem));
            return Exit::Usage;
        }
    };
    let report = Report::new(options.connect.json);
    if options.list {
        return ended(report.list(&chosen));
    }
    let connector = match connect::connector(&options.connect) {
        Ok(connector) => connector,
        Err(problem) => {
            eprintln!("sansws: {}", escape::for_terminal(&problem));
            return Exit::Usage;
        }
    };
    let mut target = Target::new(connector, options.connect.timeout.unwrap_or(PATIENCE));
    if let Err(error) = is_reachable(&target) {
        eprintln!("sansws: {}", escape::for_terminal(&error));
        return Exit::NotConnected;
    }
    target.echoes = Some(target.find_echo());
    ended(ask(&target, &chosen, report, &options.connect.url))
}

/// An output that nobody reads any more is no failure.
fn ended(result: std::io::Result<Exit>) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => {
            eprintln!("sansws: {error}");
            Exit::Local
        }
    }
}

/// Probes with the name of their group.
type Chosen = Vec<(&'static str, &'static Probe)>;

/// Returns the probes with these names, or of these groups; all, if there are none.
fn chosen(only: &[String]) -> Result<Chosen, String> {
    let all =
        || GROUPS.iter().flat_map(|(group, probes)| probes.iter().map(|probe| (*group, probe)));
    for name in only {
        if !all().any(|(group, probe)| name == group || name == probe.name) {
            return Err(format!("there is no probe {name:?}: sansws check --list"));
        }
    }
    let is_wanted = |group: &str, probe: &Probe| {
        only.is_empty() || only.iter().any(|name| name == group || name == probe.name)
    };
    Ok(all().filter(|(group, probe)| is_wanted(group, probe)).collect())
}

/// Connects once. A server that refuses a request in good order has nothing else to be asked.
fn is_reachable(target: &Target) -> Result<(), String> {
    match target.ask(|_| {}) {
        Ok(target::Answer::Refused(refused)) => Err(Error::from(refused).to_string()),
        Ok(_) => Ok(()),
        Err(trouble) => Err(trouble.0),
    }
}

/// Asks a few at a time, and shows the answers in their order.
fn ask(target: &Target, chosen: &Chosen, mut report: Report, url: &str) -> std::io::Result<Exit> {
    report.begin(url, chosen.len(), target.echoes == Some(true))?;
    let next = AtomicUsize::new(0);
    let (sender, verdicts) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(chosen.len()) {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some((_, probe)) = chosen.get(n) else { return };
                    if sender.send((n, probe.verdict(target))).is_err() {
                        return; // nobody reads
                    }
                }
            });
        }
        drop(sender);
        let mut waiting: Vec<Option<Verdict>> = vec![None; chosen.len()];
        let mut shown = 0;
        for (n, verdict) in verdicts {
            waiting[n] = Some(verdict);
            while let Some(verdict) = waiting.get_mut(shown).and_then(Option::take) {
                let (group, probe) = chosen[shown];
                report.probe(group, probe, &verdict)?;
                shown += 1;
            }
        }
        report.end()
    })
}

#[cfg(test)]
mod tests {
    use super::verdict::Level;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_can_be_chosen() {
        let all = chosen(&[]).unwrap();
        let names: HashSet<_> = all.iter().map(|(_, probe)| probe.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|(_, probe)| probe.section.starts_with("RFC ")));
        let two = chosen(&["ping".into(), "text".into()]).unwrap();
        assert_eq!(two.len(), 1 + text::PROBES.len());
        assert!(chosen(&["dance".into()]).is_err());
        assert!(all.iter().any(|(_, probe)| probe.level == Level::Must));
    }
}
