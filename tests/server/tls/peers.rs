//! Implementations of TLS and WebSockets that are not ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sansws::server::handler_fn;
use sansws_test::certificates::Authority;
use sansws_test::process::{Process, skip};
use tokio::task::spawn_blocking;

use super::{bind_tls, make};
use crate::support::start;

/// The scenario of `tests/interop`, with a peer that knows the authority from its environment.
async fn scenario(test: &'static str, peer: fn(&Path, &Path) -> Command) {
    let tools = sansws_test::target_dir!().join("interop");
    let installed = ["venv/bin/python", "node_modules/ws"];
    if !installed.iter().all(|it| tools.join(it).exists()) {
        return skip(test, "run `bash tests/interop/install.sh` first");
    }
    let Some((authority, leaf)) = make(test) else { return };
    let echo = handler_fn().on_message(|client, message| client.send(message));
    let server = start(bind_tls(&leaf).await.route("/any/path", echo));
    let mut command = peer(&scripts(), &tools);
    trust(&mut command, &authority);
    command.arg("client").arg(format!("wss://{}/any/path?and=query", server.addr));
    let finished =
        spawn_blocking(move || Process::spawn(&mut command).finish(Duration::from_secs(50)));
    let finished = finished.await.unwrap();
    assert!(finished.status.success(), "{}", finished.stderr.join("\n"));
    assert_eq!(finished.stdout, ["ok"], "{}", finished.stderr.join("\n"));
    server.stop().await;
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

fn trust(command: &mut Command, authority: &Authority) {
    command.env("SSL_CERT_FILE", authority.certificate()); // OpenSSL
    command.env("NODE_EXTRA_CA_CERTS", authority.certificate());
}

#[tokio::test]
async fn python() {
    scenario("python", |scripts, tools| {
        let mut command = Command::new(tools.join("venv/bin/python"));
        command.arg(scripts.join("peer.py"));
        command
    })
    .await;
}

#[tokio::test]
async fn node() {
    scenario("node", |scripts, tools| {
        let mut command = Command::new("node");
        command.arg(scripts.join("peer.mjs")).env("INTEROP_MODULES", tools);
        command
    })
    .await;
}
