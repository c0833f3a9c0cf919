//! Prometheus itself, which reads the metrics of a server (Debian: the package `prometheus`).
//! `promtool check metrics` knows the older text format only.
//!
//! Without it the test says that it has not run, and fails where `CI=true` is set.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use sansws::server::handler_fn;
use sansws_test::process::{Process, skip};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::support::{bind, start, text, within};

/// The answer of the API of Prometheus; `None` where it does not answer yet.
async fn api(addr: SocketAddr, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(addr).await.ok()?;
    let request = format!("GET /api/v1/{path} HTTP/1.0\r\nHost: {addr}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

/// The value of an expression that has one.
async fn query(addr: SocketAddr, expression: &str) -> Option<f64> {
    let answer = api(addr, &format!("query?query={expression}")).await?;
    answer.pointer("/data/result/0/value/1")?.as_str()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_the_metrics() {
    let program = env::var("PROMETHEUS").unwrap_or_else(|_| "prometheus".into());
    let mut probe = Command::new(&program);
    probe.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        return skip("prometheus::reads_the_metrics", "there is no prometheus");
    }
    let echo = handler_fn().on_message(|client, message| client.send(message));
    let server = bind().await.route("/", echo).metrics("/metrics").time_handlers();
    let server = start(server);
    let mut ws = server.connect("/").await;
    for _ in 0..7 {
        within(ws.send("hello")).await.unwrap();
        text(&mut ws).await;
    }
    server.refused(&server.request("/nowhere")).await;

    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("prom-{}", server.addr.port()));
    fs::create_dir_all(&dir).unwrap();
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
         scrape_configs: [{{job_name: sansws, static_configs: [{{targets: ['{}']}}]}}]\n",
        server.addr
    );
    fs::write(dir.join("prometheus.yml"), config).unwrap();
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(); // free again
    let _process = Process::spawn(
        Command::new(&program)
            .current_dir(&dir)
            .arg(format!("--web.listen-address={addr}"))
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]),
    );
    let scraped = async {
        while query(addr, "sansws_received_messages_total").await.is_none() {
            let targets = api(addr, "targets").await.unwrap_or_default();
            let target = targets.pointer("/data/activeTargets/0");
            let error = target.and_then(|it| it["lastError"].as_str()).unwrap_or_default();
            assert!(error.is_empty(), "{error}");
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), scraped).await.expect("it reads them");
    for (expression, value) in [
        ("up", 1.0),
        ("sansws_connections", 1.0),
        ("sansws_received_messages_total", 7.0),
        ("sansws_sent_bytes_total", 35.0),
        ("sansws_handshakes_total%7Bstatus=%22404%22%7D", 1.0),
        ("sansws_handler_seconds_count", 8.0),
        ("sansws_handler_seconds_bucket%7Ble=%22%2BInf%22%7D", 8.0),
    ] {
        assert_eq!(query(addr, expression).await, Some(value), "{expression}");
    }
    // it asks for OpenMetrics, and takes the types from there
    let metadata = api(addr, "metadata?metric=sansws_transport_read_bytes").await.unwrap();
    let family = &metadata["data"]["sansws_transport_read_bytes"][0];
    assert_eq!((&family["type"], &family["unit"]), (&"counter".into(), &"bytes".into()));
    let _ = fs::remove_dir_all(dir);
    server.stop().await;
}
