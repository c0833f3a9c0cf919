//! The programs against each other, and against the implementations most used in Python and Node.
//!
//! Those are in the target directory of the crate above, put there by `tests/interop/install.sh`
//! there; run these tests with `--target-dir target/http` then.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

use h2::ext::Protocol;
use sansws_test::process::{Process, START, Server, skip};

/// They take some seconds at most, on a machine that does nothing else.
const RUN: Duration = Duration::from_secs(50);

/// How long a server is there, for two of them.
const LIFETIME: Duration = Duration::from_secs(120);

fn start(program: &str) -> Server {
    let path = match program {
        "axum" => env!("CARGO_BIN_EXE_axum"),
        "hyper_server" => env!("CARGO_BIN_EXE_hyper_server"),
        "events_behind_hyper" => env!("CARGO_BIN_EXE_events_behind_hyper"),
        "h2" => env!("CARGO_BIN_EXE_h2"),
        other => panic!("{other} is no server"),
    };
    Server::listening(program, Process::spawn_for(LIFETIME, &mut Command::new(path)))
}

/// What to do where the other implementations are missing.
const INSTALL: &str = "run `bash tests/interop/install.sh` in the crate above, and this with \
                       `--target-dir target/http`";

/// Where the other implementations are.
fn tools() -> PathBuf {
    sansws_test::target_dir!().parent().unwrap().join("interop")
}

/// Runs a script of the crate above; does nothing after a word about it where its peer is missing.
fn run_script(language: &str, mode: &str, url: &str) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop");
    let mut command = match language {
        "python" => Command::new(tools().join("venv/bin/python")),
        _ => Command::new("node"),
    };
    match language {
        "python" => command.arg(scripts.join("peer.py")),
        _ => command.arg(scripts.join("peer.mjs")).env("INTEROP_MODULES", tools()),
    };
    if !tools().join("node_modules/installed.json").exists() {
        return skip(&format!("{language} at {url}"), INSTALL);
    }
    let finished = Process::spawn(command.args([mode, url])).finish(RUN);
    assert!(finished.status.success(), "{}", finished.stderr.join("\n"));
    assert_eq!(finished.stdout, ["ok"]);
}

#[test]
fn python_and_node_at_axum() {
    let server = start("axum");
    run_script("python", "deflate", &server.url("/echo"));
    run_script("node", "deflate", &server.url("/echo"));
}

#[test]
fn python_and_node_at_hyper() {
    let server = start("hyper_server");
    run_script("python", "client", &server.url("/any"));
    run_script("node", "client", &server.url("/any"));
}

#[test]
fn python_and_node_at_the_event_server() {
    let server = start("events_behind_hyper");
    run_script("python", "deflate", &server.url("/echo"));
    run_script("node", "deflate", &server.url("/echo"));
}

/// What is answered to a request with these header lines beside `Host`.
fn ask(server: &Server, path: &str, lines: &[&str]) -> String {
    let mut stream = TcpStream::connect(&server.addr).unwrap();
    stream.set_read_timeout(Some(RUN)).unwrap();
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: h.example\r\n{lines}\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap().to_ascii_lowercase()
}

const HANDSHAKE: [&str; 4] = [
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// The right status and headers, whichever stack sends them.
#[test]
fn refusals() {
    for program in ["axum", "hyper_server", "events_behind_hyper"] {
        let server = start(program);
        let status = |path: &str, lines: &[&str]| {
            let answer = ask(&server, path, lines);
            (answer.split(' ').nth(1).unwrap().to_owned(), answer)
        };
        let with = |at: usize, line: &'static str| {
            let mut lines = HANDSHAKE;
            lines[at] = line;
            lines
        };
        assert_eq!(status("/echo", &HANDSHAKE).0, "101", "{program}");
        for lines in [&[][..], &with(1, "X: y"), &with(2, "Sec-WebSocket-Version: 8")] {
            let (status, answer) = status("/echo", lines);
            assert_eq!(status, "426", "{program}: {lines:?}");
            for header in ["upgrade: websocket", "sec-websocket-version: 13", "connection: upgrade"]
            {
                assert!(answer.contains(header), "{program}: {header} is not in {answer}");
            }
        }
        assert_eq!(status("/echo", &with(3, "Sec-WebSocket-Key: short")).0, "400", "{program}");
        let (missing, answer) = status("/echo", &with(2, "X: y"));
        assert_eq!(missing, "400");
        assert!(answer.contains("sec-websocket-version: 13"), "{program}: {answer}");
        if program != "hyper_server" {
            let foreign = [&HANDSHAKE[..], &["Origin: http://evil.example"]].concat();
            assert_eq!(status("/echo", &foreign).0, "403", "{program}");
            assert_eq!(status("/nowhere", &HANDSHAKE).0, "404", "{program}");
            assert_eq!(status("/", &[]).0, "200", "{program}");
        }
    }
}

/// Runs a client, which sends `hello` and shows what comes back.
fn run_client(path: &str, arguments: &[&str]) {
    let finished = Process::spawn(Command::new(path).args(arguments)).finish(RUN);
    assert!(finished.status.success(), "{finished:?}");
    assert_eq!(finished.stdout, [r#"Some(Text("hello"))"#]);
}

#[test]
fn hyper_asks_others() {
    for program in ["axum", "hyper_server", "events_behind_hyper"] {
        let server = start(program);
        run_client(env!("CARGO_BIN_EXE_hyper_client"), &[&server.url("/echo")]);
    }
}

/// An echo by python `websockets`.
const PYTHON: &str = "
import asyncio
from websockets.asyncio.server import serve

async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def main():
    async with serve(echo, '127.0.0.1', 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

asyncio.run(main())
";

#[test]
fn hyper_asks_python() {
    let python = tools().join("venv/bin/python");
    if !python.exists() {
        return skip("hyper_asks_python", INSTALL);
    }
    let mut server = Process::spawn(Command::new(python).args(["-c", PYTHON]));
    let url = format!("ws://127.0.0.1:{}/", server.stdout_line(START));
    run_client(env!("CARGO_BIN_EXE_hyper_client"), &[&url]);
}

#[test]
fn hyper_asks_through_a_proxy() {
    if Command::new("tinyproxy").arg("-v").output().is_err() {
        return skip("hyper_asks_through_a_proxy", "there is no tinyproxy");
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let proxy = format!("127.0.0.1:{port}");
    let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tinyproxy.conf");
    fs::write(&config, format!("Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\n")).unwrap();
    let _process = Process::spawn(Command::new("tinyproxy").arg("-d").arg("-c").arg(config));
    while TcpStream::connect(&proxy).is_err() {
        thread::sleep(Duration::from_millis(20));
    }
    let server = start("hyper_server");
    run_client(env!("CARGO_BIN_EXE_hyper_client"), &[&server.url("/"), &proxy]);
    let client = env!("CARGO_BIN_EXE_hyper_client");
    let refused = Command::new(client).args(["ws://127.0.0.1:1/", &proxy]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the proxy answers"), "{refused:?}");
}

/// RFC 8441, by h2 at both ends, and at the server's end by hyper.
#[test]
fn http_2_at_both_ends() {
    for program in ["h2", "axum", "events_behind_hyper"] {
        let server = start(program);
        run_client(env!("CARGO_BIN_EXE_h2"), &[&server.url("/echo")]);
    }
}

/// A script that speaks HTTP/2 by node; `None` after a word about it where its peer is missing.
fn node_over_http_2(test: &str, arguments: &[&str]) -> Option<Process> {
    if !tools().join("node_modules/installed.json").exists() {
        skip(test, INSTALL);
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/h2.mjs");
    let mut command = Command::new("node");
    command.arg(script).args(arguments).env("INTEROP_MODULES", tools());
    Some(Process::spawn(&mut command))
}

/// RFC 8441, with another implementation of HTTP/2 as the client.
#[test]
fn node_asks_over_http_2() {
    for program in ["h2", "axum", "events_behind_hyper"] {
        let server = start(program);
        let url = format!("http://{}/echo", server.addr);
        let Some(mut node) = node_over_http_2("node_asks_over_http_2", &["client", &url]) else {
            return;
        };
        let finished = node.finish(RUN);
        assert!(finished.status.success(), "{program}: {}", finished.stderr.join("\n"));
        assert_eq!(finished.stdout, ["ok"], "{program}");
    }
}

/// RFC 8441, with another implementation of HTTP/2 as the server.
#[test]
fn node_is_asked_over_http_2() {
    let Some(mut node) = node_over_http_2("node_is_asked_over_http_2", &["server"]) else { return };
    let url = format!("ws://127.0.0.1:{}/echo", node.stdout_line(START));
    run_client(env!("CARGO_BIN_EXE_h2"), &[&url]);
}

/// RFC 8441: what the servers answer to requests that are wrong, without a header that HTTP/2
/// forbids.
#[tokio::test]
async fn refusals_over_http_2() {
    for program in ["h2", "axum", "events_behind_hyper"] {
        let server = start(program);
        let stream = tokio::net::TcpStream::connect(&server.addr).await.unwrap();
        let (http, mut connection) = h2::client::handshake(stream).await.unwrap();
        let mut ping = connection.ping_pong().unwrap();
        tokio::spawn(connection);
        ping.ping(h2::Ping::opaque()).await.unwrap(); // the settings have come then
        let mut http = http.ready().await.unwrap();
        for (method, protocol, version, status) in [
            ("CONNECT", "websocket", "13", 200),
            ("CONNECT", "websocket", "8", 400),
            ("CONNECT", "websocket", "", 400),
            ("GET", "", "13", 400),
        ] {
            let uri = format!("http://{}/echo", server.addr);
            let mut request = http::Request::builder().method(method).uri(uri);
            if !version.is_empty() {
                request = request.header("sec-websocket-version", version);
            }
            if !protocol.is_empty() {
                request = request.extension(Protocol::from(protocol));
            }
            let (response, _stream) = http.send_request(request.body(()).unwrap(), false).unwrap();
            let response = response.await.unwrap();
            let what = format!("{program}: {method} {version:?}");
            assert_eq!(response.status(), status, "{what}");
            let mut names = response.headers().keys().map(|name| name.as_str());
            let forbidden = ["connection", "upgrade", "sec-websocket-accept"];
            assert!(names.all(|name| !forbidden.contains(&name)), "{what}");
            let asks = response.headers().contains_key("sec-websocket-version");
            assert_eq!(asks, method == "CONNECT" && status == 400, "{what}");
        }
    }
}

/// RFC 9220 §3: a tunnel for something else is not opened.
#[tokio::test]
async fn another_protocol() {
    let server = start("h2");
    let stream = tokio::net::TcpStream::connect(&server.addr).await.unwrap();
    let (http, mut connection) = h2::client::handshake(stream).await.unwrap();
    let mut ping = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    ping.ping(h2::Ping::opaque()).await.unwrap();
    let mut request = http::Request::connect(format!("http://{}/", server.addr)).body(()).unwrap();
    request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    request.extensions_mut().insert(Protocol::from_static("connect-udp"));
    let (response, _stream) = http.ready().await.unwrap().send_request(request, false).unwrap();
    assert_eq!(response.await.unwrap().status(), 501);
}

/// Ctrl-C closes the clients of the event server, though hyper has the port.
#[tokio::test]
async fn the_event_server_ends_in_good_order() {
    let mut server = start("events_behind_hyper");
    let mut ws = sansws::tokio::connect(&server.url("/echo")).await.unwrap();
    ws.send("hello").await.unwrap();
    assert!(ws.recv().await.unwrap().is_some());
    server.process.interrupt();
    assert_eq!(ws.recv().await.unwrap(), None);
    assert_eq!(ws.close_info().unwrap().code, 1001);
    drop(ws);
    assert!(server.process.finish(RUN).status.success());
}
