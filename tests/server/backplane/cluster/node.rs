//! A server in a process of its own: this test program again.

use std::net::SocketAddr;
use std::process::Command;

use sansws::server::{Client, Received, Server, handler_fn};
use sansws_test::process::{Process, START};

use super::LIFETIME;
use crate::backplane::broker::Kind;

/// In its environment: where it listens, and the URL of the engine.
const ADDR: &str = "SANSWS_TEST_NODE_ADDR";
const ENGINE: &str = "SANSWS_TEST_NODE_ENGINE";

pub struct Node {
    pub addr: SocketAddr,
    engine: String,
    test: String,
    process: Option<Process>,
}

/// What a server counts.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub up: u64,
    pub missed: u64,
    pub not_published: u64,
    pub lost: u64,
    pub invalid: u64,
}

impl Node {
    /// Starts one; `test` is the name of the test that is one where it is told to.
    pub fn start(test: &str, addr: SocketAddr, engine: String) -> Self {
        let mut this = Self { addr, engine, test: test.into(), process: None };
        this.restart();
        this
    }

    /// Starts it again at the same address.
    pub fn restart(&mut self) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &self.test, "--ignored", "--nocapture"]);
        command.env(ADDR, self.addr.to_string()).env(ENGINE, &self.engine);
        let mut process = Process::spawn_for(LIFETIME, &mut command);
        while !process.stdout_line(START).contains(RUNS) {}
        self.process = Some(process);
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        self.process = None;
    }

    pub fn counts(&self) -> Counts {
        let question = "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let metrics = crate::backplane::broker::ask(self.addr, question);
        let figure = |name: &str| {
            let name = format!("sansws_backplane_{name} ");
            let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
            line.unwrap_or_else(|| panic!("{name}in {metrics}")).parse().unwrap()
        };
        Counts {
            up: figure("up"),
            missed: figure("missed_total"),
            not_published: figure("not_published_total"),
            lost: figure("lost_total"),
            invalid: figure("invalid_total"),
        }
    }
}

const RUNS: &str = "the node runs";

/// Runs as what the environment says. What a client says goes to all of its room, itself included;
/// if other servers are not reached, it is told so, behind it.
pub fn run<K: Kind>() {
    let read = |name| std::env::var(name).expect("tests of a cluster start this one");
    let (addr, engine) = (read(ADDR), read(ENGINE));
    let pass_on = |client: &Client, message: Received<'_>| {
        let Received::Text(text) = message else { return };
        let room = client.info().param("room").unwrap();
        let reach = client.hub().room(room).publish(&text).unwrap();
        if reach.others.unwrap().is_err() {
            let _ = client.send(format!("! {text}"));
        }
    };
    let rooms = handler_fn()
        .on_open(|client| client.join(client.info().param("room").unwrap()))
        .on_message(pass_on);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = Server::bind(&format!("ws://{addr}")).await.unwrap();
        let server = server.backplane(K::connect(&engine).await.unwrap());
        println!("{RUNS}");
        server.route("/{room}", rooms).metrics("/metrics").run().await.unwrap();
    });
}
