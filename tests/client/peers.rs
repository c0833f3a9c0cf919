//! Servers with TLS that are not ours: python `websockets`, node `ws`, nginx.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sansws::client::Connector;
use sansws::server::{Server, handler_fn};
use sansws_test::certificates::{Authority, Leaf};
use sansws_test::process::{Process, START, skip};

use super::certificates::{authority, trusting};
use super::support::{Adapter, BOTH, echo, echo_blocking, within, within_thread};

/// Our client echoes what a server of theirs says in the scenario of `tests/interop`, twice.
async fn scenario(test: &str, adapter: Adapter, peer: fn(&Path, &Path) -> Command) {
    let tools = sansws_test::target_dir!().join("interop");
    if !["venv/bin/python", "node_modules/ws"].iter().all(|it| tools.join(it).exists()) {
        return skip(test, "run `bash tests/interop/install.sh` first");
    }
    let Some(authority) = authority(test) else { return };
    let leaf = authority.leaf("leaf", "DNS:localhost");
    let mut command = peer(&scripts(), &tools);
    command.env("TLS_CERTIFICATE", &leaf.certificate).env("TLS_KEY", &leaf.key).arg("server");
    let mut process = Process::spawn(&mut command);
    let port = process.stdout_line(START);
    let connector = Connector::new(&format!("wss://localhost:{port}/")).unwrap();
    let connector = connector.tls(trusting(&authority));
    for _ in 0..2 {
        match adapter {
            Adapter::Tokio => {
                let ws = within(connector.connect()).await.unwrap();
                within(echo(ws)).await.unwrap();
            }
            Adapter::Blocking => {
                let connector = connector.clone();
                let run = move || echo_blocking(connector.connect_blocking().unwrap());
                within_thread(run).await.unwrap();
            }
        }
    }
    let finished = process.finish(Duration::from_secs(50));
    assert!(finished.status.success(), "{}", finished.stderr.join("\n"));
    assert_eq!(finished.stdout, ["ok"], "{}", finished.stderr.join("\n"));
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

fn python(scripts: &Path, tools: &Path) -> Command {
    let mut command = Command::new(tools.join("venv/bin/python"));
    command.arg(scripts.join("peer.py"));
    command
}

fn node(scripts: &Path, tools: &Path) -> Command {
    let mut command = Command::new("node");
    command.arg(scripts.join("peer.mjs")).env("INTEROP_MODULES", tools);
    command
}

#[tokio::test]
async fn python_with_tokio() {
    scenario("python_with_tokio", Adapter::Tokio, python).await;
}

#[tokio::test]
async fn python_with_blocking() {
    scenario("python_with_blocking", Adapter::Blocking, python).await;
}

#[tokio::test]
async fn node_with_tokio() {
    scenario("node_with_tokio", Adapter::Tokio, node).await;
}

#[tokio::test]
async fn node_with_blocking() {
    scenario("node_with_blocking", Adapter::Blocking, node).await;
}

/// nginx ends TLS, as on most servers there are, with HTTP/2 on offer.
#[tokio::test]
async fn nginx() {
    let is_there = Command::new("nginx").arg("-v").output();
    if !is_there.is_ok_and(|output| output.status.success()) {
        return skip("nginx", "there is no nginx");
    }
    let Some(authority) = authority("nginx") else { return };
    let leaf = authority.leaf("leaf", "DNS:localhost");
    let server = Server::bind("ws://127.0.0.1:0").await.unwrap();
    let upstream = server.local_addr().unwrap();
    let echo = handler_fn().on_message(|client, message| client.send(message));
    let running = tokio::spawn(server.route("/", echo).run());
    let (_nginx, port) = start_nginx(&authority, &leaf, &upstream.to_string());
    let connector = Connector::new(&format!("wss://localhost:{port}/")).unwrap();
    let connector = connector.tls(trusting(&authority));
    for adapter in BOTH {
        let mut tries = 0;
        let answer = loop {
            match adapter.ask(&connector).await {
                // it does not say when it listens
                Err(sansws::Error::Io(_)) if tries < 200 => tries += 1,
                answer => break answer,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(answer.unwrap(), "hello", "{adapter:?}");
    }
    running.abort();
}

fn start_nginx(authority: &Authority, leaf: &Leaf, upstream: &str) -> (Process, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = authority.path("nginx");
    fs::create_dir_all(&directory).unwrap();
    let config = format!(
        "daemon off; pid {dir}/pid; error_log stderr; worker_processes 1;
         events {{}}
         http {{
             access_log off;
             client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c;
             uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;
             server {{
                 listen 127.0.0.1:{port} ssl http2;
                 ssl_certificate {certificate}; ssl_certificate_key {key};
                 location / {{
                     proxy_pass http://{upstream};
                     proxy_http_version 1.1;
                     proxy_set_header Upgrade $http_upgrade;
                     proxy_set_header Connection upgrade;
                 }}
             }}
         }}",
        dir = directory.display(),
        certificate = leaf.certificate.display(),
        key = leaf.key.display(),
    );
    let path = directory.join("nginx.conf");
    fs::write(&path, config).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-e").arg("stderr").arg("-p").arg(&directory).arg("-c").arg(&path);
    (Process::spawn(&mut command), port)
}
