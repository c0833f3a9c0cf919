//! A pulled cable: two machines, which are network namespaces here, lose each other in the middle
//! of their connections. Nothing tells either of them; keep-alive has to find out.
//!
//! The test starts itself again in each namespace. It needs root, `ip` (Debian: iproute2) and a
//! kernel with network namespaces; addresses exist inside those only.
#![cfg(all(feature = "tokio", target_os = "linux"))]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod machines;

use core::time::Duration;
use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::machines::{Role, SOCKETS};
use sansws_test::process::{Process, START, skip};

/// Set for a process in a namespace: what it is.
const ROLE: &str = "SANSWS_NETWORK_ROLE";

/// The keep-alive of every socket: the interval, and the wait for a pong.
const INTERVAL: Duration = Duration::from_secs(1);
const PONG_TIMEOUT: Duration = Duration::from_secs(1);

/// How much later than the two of them together the end may come.
const SLACK: Duration = Duration::from_secs(1);

#[test]
fn a_pulled_cable_ends_every_wait() {
    const NAME: &str = "a_pulled_cable_ends_every_wait";
    match env::var(ROLE).as_deref() {
        Ok("server") => return machines::run(Role::Server),
        Ok("client") => return machines::run(Role::Client),
        _ => {}
    }
    let network = match Network::new() {
        Ok(network) => network,
        Err(Missing::Means(reason)) => return skip(NAME, &reason),
        Err(Missing::Kernel(reason)) => {
            // Not `eprintln!`: what that prints is hidden when a test passes.
            let _ = writeln!(io::stderr(), "SKIP: {NAME} has not run: {reason}");
            return;
        }
    };
    let in_namespace = |namespace: &str, role: &str| {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(env::current_exe().unwrap());
        command.args(["--exact", NAME, "--nocapture", "--test-threads=1"]).env(ROLE, role);
        Process::spawn(&mut command)
    };
    let mut server = in_namespace(&network.server, "server");
    wait_for(&mut server, "listening");
    let mut client = in_namespace(&network.client, "client");
    wait_for(&mut client, "connected");
    wait_for(&mut server, "busy");

    // Every peer is there, so nothing may end.
    std::thread::sleep(2 * INTERVAL + PONG_TIMEOUT);
    network.pull_the_cable();
    let pulled = Instant::now();
    // Where megabytes lie in the kernel before the ping, the peer is given time to read them.
    let allowed = |name: &str| match name.contains("sends") || name == "tokio, split, receives" {
        true => INTERVAL + 13 * PONG_TIMEOUT + 10 * SLACK,
        false => INTERVAL + PONG_TIMEOUT + SLACK,
    };
    let mut waiting = SOCKETS.to_vec();
    while !waiting.is_empty() {
        let latest = waiting.iter().map(|name| allowed(name)).max().unwrap_or_default();
        let left = latest.saturating_sub(pulled.elapsed());
        let line = end_of_a_socket(&mut server, left, &waiting);
        let took = pulled.elapsed();
        let (name, end) = line.split_once(": ").unwrap();
        assert_eq!(end, "timeout", "{name}, after {took:?}");
        let at = waiting.iter().position(|waits| *waits == name).unwrap();
        waiting.remove(at);
        assert!(took < allowed(name), "{name} ended {took:?} after the cable was pulled");
        assert!(took > PONG_TIMEOUT / 2, "{name} ended {took:?} after the cable was pulled");
        println!("{name}: noticed after {took:?}");
    }
}

/// Reads on until a line says `word`; no socket may have ended by then.
fn wait_for(process: &mut Process, word: &str) {
    loop {
        let line = process.stdout_line(START);
        assert!(!line.contains(": "), "{line}, while everything is well");
        if line.ends_with(word) {
            return;
        }
    }
}

fn end_of_a_socket(server: &mut Process, timeout: Duration, waiting: &[&str]) -> String {
    if timeout.is_zero() {
        panic!("still waiting: {waiting:?}");
    }
    server.stdout_line(timeout)
}

/// Why there is no network.
enum Missing {
    /// Something can be done about that.
    Means(String),
    /// The kernel cannot do it.
    Kernel(String),
}

/// Two namespaces and a cable between them; gone when this is dropped, and if a test is
/// killed before that, when the next one begins.
struct Network {
    server: String,
    client: String,
}

impl Network {
    fn new() -> Result<Self, Missing> {
        let id = Command::new("id").arg("-u").output();
        if !id.is_ok_and(|id| id.stdout == b"0\n") {
            return Err(Missing::Means("only root makes network namespaces".to_owned()));
        }
        if Command::new("ip").arg("-V").output().is_err() {
            return Err(Missing::Means("there is no `ip` (Debian: iproute2)".to_owned()));
        }
        remove_leftovers();
        let name = |end| format!("{PREFIX}{}-{end}", std::process::id());
        let network = Self { server: name("server"), client: name("client") };
        for namespace in [&network.server, &network.client] {
            ip(&["netns", "add", namespace]).map_err(Missing::Kernel)?;
        }
        let Self { server, client } = &network;
        ip(&[
            "-n", server, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns",
            client,
        ])
        .map_err(Missing::Kernel)?;
        for (namespace, address) in
            [(server, machines::SERVER_ADDRESS), (client, machines::CLIENT_ADDRESS)]
        {
            let address = format!("{address}/24");
            let configured = ip(&["-n", namespace, "addr", "add", &address, "dev", "cable"])
                .and_then(|()| ip(&["-n", namespace, "link", "set", "cable", "up"]));
            configured.unwrap();
        }
        Ok(network)
    }

    /// On the client's side: the server loses the carrier and keeps its address.
    fn pull_the_cable(&self) {
        ip(&["-n", &self.client, "link", "set", "cable", "down"]).unwrap();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.server, &self.client] {
            let _ = ip(&["netns", "del", namespace]);
        }
    }
}

/// Before the number of the process that made a namespace.
const PREFIX: &str = "sansws-test-";

/// A test that was killed could not remove its namespaces.
fn remove_leftovers() {
    let output = Command::new("ip").args(["netns", "list"]).output().unwrap();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = ip(&["netns", "del", name]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {}", arguments.join(" "), error.trim()))
}
