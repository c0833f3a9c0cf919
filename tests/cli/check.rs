//! `sansws check`: nothing wrong with servers that are right, and each fault found of wrong ones.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use sansws::handshake::accept_key;
use sansws::wire::apply_mask;
use sansws_test::process::{Process, START, skip};
use serde_json::Value;

use crate::support::{SANSWS, piped, python_echo};

/// Runs the program, and returns its exit code and what it says of each probe.
fn check(arguments: &[&str]) -> (Option<i32>, HashMap<String, (String, String)>) {
    let (code, stdout, stderr) = piped(&[&["check", "--json"], arguments].concat(), b"");
    assert_eq!(stderr, "");
    let stdout = String::from_utf8(stdout).unwrap();
    let verdicts = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let verdicts = verdicts
        .filter(|value| value["probe"].is_string())
        .map(|value| (text(&value, "probe"), (text(&value, "verdict"), text(&value, "seen"))));
    (code, verdicts.collect())
}

/// Checks all: just these are wrong, which the server does by itself and not for us alone.
fn assert_wrong(url: &str, expected: &[&str]) {
    let (code, verdicts) = check(&[url, "--timeout", PATIENCE]);
    let named = |name: &str| {
        let fits = verdicts.iter().filter(|(_, (verdict, _))| verdict == name);
        let mut probes: Vec<_> = fits.map(|(probe, (_, seen))| (&**probe, &**seen)).collect();
        probes.sort_unstable();
        probes
    };
    let wrong: Vec<_> = named("wrong").iter().map(|(probe, _)| *probe).collect();
    assert_eq!(wrong, expected, "{:?}", named("wrong"));
    assert_eq!((code, named("unknown")), (Some(1), vec![]));
}

/// Seconds for an answer of a server that shares the machine with other tests.
const PATIENCE: &str = "20";

/// A peer program that echoes, and its URL.
fn started(command: &mut Command) -> (Process, String) {
    let mut server = Process::spawn(command);
    let line = server.stdout_line(START);
    let port = line.trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
    (server, format!("ws://127.0.0.1:{port}/"))
}

#[test]
fn nothing_is_wrong_with_our_own() {
    let (_server, url) = started(Command::new(SANSWS).args(["serve", "127.0.0.1:0"]));
    let (code, verdicts) = check(&[&url, "--timeout", PATIENCE]);
    let bad = verdicts.iter().filter(|(_, (verdict, _))| verdict != "right");
    let bad: Vec<_> = bad.collect();
    assert_eq!((code, bad), (Some(0), vec![]));
    assert!(verdicts.len() > 50, "{}", verdicts.len());

    let (code, stdout, stderr) = piped(&["check", &url, "--only", "ping"], b"");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let stdout = String::from_utf8(stdout).unwrap();
    assert!(stdout.contains("1 probes; it is an echo\nframes\n  right    ping "), "{stdout}");
    assert!(stdout.ends_with("1 right, 0 wrong, 0 allowed but noted, 0 could not tell\n"));
}

#[test]
fn an_echo_of_python() {
    let Some(mut python) = python_echo("an_echo_of_python") else { return };
    let (_server, url) = started(&mut python);
    // it answers 400 without Sec-WebSocket-Version, and does not look at Host
    assert_wrong(&url, &["host-invalid", "host-missing", "host-twice", "version-8", "version-99"]);
}

#[test]
fn an_echo_of_node() {
    let modules = sansws_test::target_dir!().join("interop/node_modules");
    if !modules.exists() {
        return skip("an_echo_of_node", "run `bash tests/interop/install.sh` first");
    }
    let script = "\
const { WebSocketServer } = require('ws');
const options = { host: '127.0.0.1', port: 0, perMessageDeflate: true };
const server = new WebSocketServer(options);
server.on('listening', () => console.log(server.address().port));
server.on('connection', (ws) => {
  ws.on('error', () => {});
  ws.on('message', (data, binary) => ws.send(data, { binary }));
});
";
    let (_server, url) =
        started(Command::new("node").args(["-e", script]).env("NODE_PATH", modules));
    // neither it nor node looks at the version of HTTP or at Host before an upgrade
    assert_wrong(&url, &["host-invalid", "host-missing", "host-twice", "http-1.0"]);
}

/// What is wrong about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The accept key is that of another key.
    AcceptKey,
    /// Frames without a mask are taken.
    Unmasked,
    /// Text need not be UTF-8.
    Text,
    /// A Close is answered with 1006.
    CloseCode,
    /// TCP stays open behind the closing handshake.
    StaysOpen,
}

/// A server of one fault, written by hand: ours cannot be made wrong.
fn wrong(fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            thread::spawn(move || {
                let _ = talk(&mut stream, fault); // its end is the end of the connection
                if fault == Fault::StaysOpen {
                    kept.lock().unwrap().push(stream);
                }
            });
        }
    });
    url
}

fn talk(stream: &mut TcpStream, fault: Fault) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let key = if fault == Fault::AcceptKey { "another" } else { key.unwrap_or_default() };
    let accept = String::from_utf8(accept_key(key).to_vec()).unwrap();
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    loop {
        let mut header = [0; 2];
        stream.read_exact(&mut header)?;
        let mut payload = vec![0; usize::from(header[1] & 0x7f)]; // short ones will do
        let is_masked = header[1] & 0x80 != 0;
        let mut key = [0; 4];
        if is_masked {
            stream.read_exact(&mut key)?;
        }
        stream.read_exact(&mut payload)?;
        apply_mask(&mut payload, key, 0);
        let opcode = header[0] & 0x0f;
        let mut answer = |opcode: u8, payload: &[u8]| {
            stream.write_all(&[0x80 | opcode, payload.len() as u8])?;
            stream.write_all(payload)
        };
        let is_text = opcode != 1 || std::str::from_utf8(&payload).is_ok();
        match opcode {
            _ if !is_masked && fault != Fault::Unmasked => return answer(8, b"\x03\xea"),
            _ if !is_text && fault != Fault::Text => return answer(8, b"\x03\xef"),
            8 if fault == Fault::CloseCode => return answer(8, b"\x03\xee"),
            8 => return answer(8, &payload),
            9 => answer(10, &payload)?,
            10 => {}
            _ => answer(opcode, &payload)?,
        }
    }
}

#[test]
fn each_fault_is_found() {
    for (fault, probe, seen) in [
        (Fault::AcceptKey, "accept-key", "does not belong to the key"),
        (Fault::Unmasked, "unmasked", "the connection goes on"),
        (Fault::Text, "invalid-text", "the connection goes on"),
        (Fault::CloseCode, "close", "1006"),
        (Fault::StaysOpen, "tcp-closed", "TCP stays open"),
    ] {
        let probes = ["accept-key", "unmasked", "invalid-text", "close", "tcp-closed", "ping"];
        let url = wrong(fault);
        let only = probes.iter().flat_map(|probe| ["--only", probe]);
        let arguments: Vec<_> = [&*url, "--timeout", "4"].into_iter().chain(only).collect();
        let (code, verdicts) = check(&arguments);
        assert_eq!(code, Some(1), "{fault:?}: {verdicts:?}");
        assert_eq!(verdicts[probe].0, "wrong", "{fault:?}: {verdicts:?}");
        assert!(verdicts[probe].1.contains(seen), "{fault:?}: {verdicts:?}");
        if fault != Fault::AcceptKey {
            assert_eq!(verdicts["ping"].0, "right", "{fault:?}: {verdicts:?}");
        }
    }
}

#[test]
fn what_cannot_be_checked() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, stdout, stderr) = piped(&["check", &format!("ws://{free}/")], b"");
    assert_eq!((code, &*stdout), (Some(3), &b""[..]));
    assert!(stderr.contains("refused"), "{stderr}");
    for arguments in [&["check"][..], &["check", "http://h"], &["check", "ws://h", "--only", "x"]] {
        let (code, stdout, stderr) = piped(arguments, b"");
        assert_eq!((code, &*stdout), (Some(2), &b""[..]), "{arguments:?}: {stderr}");
    }
    let (code, stdout, _) = piped(&["check", "--list"], b"");
    assert_eq!(code, Some(0));
    let stdout = String::from_utf8(stdout).unwrap();
    for text in ["handshake\n", "accept-key", "MUST", "RFC 7692 §7.1", "deflate-bomb"] {
        assert!(stdout.contains(text), "{stdout}");
    }
}

/// An authority that only this test trusts.
#[test]
fn authorities_of_ones_own() {
    use sansws::server::{Server, Tls, handler_fn};
    use sansws_test::certificates::Authority;

    let directory = env!("CARGO_TARGET_TMPDIR");
    let Some(authority) = Authority::new(directory, "authorities_of_ones_own") else { return };
    let leaf = authority.leaf("server", "DNS:localhost,IP:127.0.0.1");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = runtime.block_on(async {
        let tls = Tls::from_pem_files(&leaf.certificate, &leaf.key).unwrap();
        let echo = handler_fn().on_message(|client, message| client.send(message).is_ok());
        let server = Server::bind("wss://127.0.0.1:0").await.unwrap().route("/", echo).tls(tls);
        let url = format!("wss://{}/", server.local_addr().unwrap());
        tokio::spawn(server.run());
        url
    });
    let certificate = authority.certificate();
    let certificate = certificate.to_str().unwrap();
    let (code, stdout, stderr) =
        piped(&["connect", "--linger", "0", "--ca", certificate, &url], b"hello\n");
    assert_eq!((code, &*stdout, &*stderr), (Some(0), &b"hello\n"[..], ""));
    let (code, _, stderr) = piped(&["connect", &url], b"hello\n");
    assert_eq!(code, Some(3));
    assert!(stderr.contains("authority"), "{stderr}");
    let (code, verdicts) = check(&[&url, "--ca", certificate, "--only", "frames"]);
    let bad: Vec<_> = verdicts.iter().filter(|(_, it)| it.0 != "right").collect();
    assert_eq!((code, bad), (Some(0), vec![]));
    let (code, _, stderr) = piped(&["check", &url], b"");
    assert_eq!(code, Some(3));
    assert!(stderr.contains("authority"), "{stderr}");
    let (code, _, stderr) = piped(&["connect", "--ca", "/nowhere/at.all", &url], b"");
    assert_eq!(code, Some(2));
    assert!(stderr.contains("/nowhere/at.all"), "{stderr}");
    drop(leaf);
    runtime.shutdown_background();
}
