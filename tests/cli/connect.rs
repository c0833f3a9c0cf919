use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

use sansws::{CloseCode, Message};
use sansws_test::process::{Process, START};
use serde_json::{Value, json};

use crate::support::{LONG, SANSWS, echo, piped, python_echo, quiet, serve};

/// Each line is a message and each message a line, and the end of the input is the end.
#[test]
fn lines_in_and_out() {
    let url = serve(echo);
    let (code, stdout, stderr) =
        piped(&["connect", "--linger", "0", &url], "one\n\nüber\u{1b}[2J\r\nlast".as_bytes());
    assert_eq!(String::from_utf8(stdout).unwrap(), "one\n\nüber\u{1b}[2J\nlast\n");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let (code, stdout, stderr) =
        piped(&["connect", "--linger", "0", "--binary", &url], b"\xff\x00\nx\n");
    assert_eq!((code, &*stdout, &*stderr), (Some(0), &b"\xff\x00\nx\n"[..], ""));
    let (code, stdout, stderr) = piped(&["connect", "--linger", "0", &url], b"");
    assert_eq!((code, &*stdout, &*stderr), (Some(0), &b""[..], ""));
}

/// More than all buffers hold, to a server that waits for its answers to be read.
#[test]
fn more_than_the_network_holds() {
    let url = serve(echo);
    let line = format!("{}\n", "0123456789".repeat(6_000));
    let input = line.repeat(500);
    let (code, stdout, stderr) =
        piped(&["connect", "--linger", "0", "--no-compression", &url], input.as_bytes());
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout == input.as_bytes(), "{} of {} bytes", stdout.len(), input.len());
}

#[test]
fn exit_codes() {
    let url = serve(echo);
    for (input, expected, text) in [
        ("close with 1000", 0, ""),
        ("close with 1008", 5, "the server closed with 1008 (policy violation): \"as you wish\""),
        ("close with 4001", 5, "the server closed with 4001 (private use): \"as you wish\""),
        ("die", 4, "the connection ended without a closing handshake (1006)"),
    ] {
        let (code, _, stderr) = piped(&["connect", "--wait", &url], input.as_bytes());
        assert_eq!(code, Some(expected), "{input}: {stderr}");
        assert!(stderr.contains(text), "{input}: {stderr}");
    }
    let (code, _, stderr) = piped(&["connect", "--linger", "0", &url], b"\xff\n");
    assert_eq!(code, Some(1), "{stderr}");
    assert_eq!(stderr, "sansws: a line is not UTF-8, so it is no text: --binary\n");

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, _, stderr) = piped(&["connect", &format!("ws://{free}/")], b"x\n");
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.starts_with("sansws: ") && stderr.contains("refused"), "{stderr}");

    for arguments in [
        &["connect"][..],
        &["connect", "http://h"],
        &["connect", "ws://h", "-H", "Host: x"],
        &["connect", "ws://h", "--colour"],
        &["dance"],
    ] {
        let (code, stdout, stderr) = piped(arguments, b"");
        assert_eq!((code, &*stdout), (Some(2), &b""[..]), "{arguments:?}");
        assert!(stderr.starts_with("sansws: "), "{stderr}");
    }
    let (code, stdout, _) = piped(&["--help"], b"");
    assert_eq!(code, Some(0));
    assert!(String::from_utf8(stdout).unwrap().contains("sansws connect [OPTIONS] URL"));
}

/// What the server answers instead of a handshake is said, without a character that would steer a
/// terminal.
#[test]
fn refusals() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nno\u{1b}[2Jway";
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(head).unwrap()
    });
    let options = ["-H", "X-Name:  some value ", "--origin", "http://o", "--subprotocol", "a"];
    let arguments = [&["connect", url.as_str()], &options[..], &["--subprotocol", "b"]].concat();
    let (code, _, stderr) = piped(&arguments, b"");
    assert_eq!(code, Some(3));
    assert!(stderr.contains("server answered 404 Not Found instead of 101"), "{stderr}");
    assert!(!stderr.contains('\u{1b}'), "{stderr:?}");
    let head = server.join().unwrap();
    for line in [
        "\r\nX-Name: some value\r\n",
        "\r\nOrigin: http://o\r\n",
        "\r\nSec-WebSocket-Protocol: a, b\r\n",
        "\r\nSec-WebSocket-Extensions: permessage-deflate",
    ] {
        assert!(head.contains(line), "{head}");
    }
}

/// What a server says by itself is printed while nothing is entered, until it closes.
#[test]
fn a_feed() {
    let url = serve(|mut ws| {
        for n in 0..3 {
            ws.send(format!("price {n}"))?;
        }
        ws.close(CloseCode::NORMAL, "")
    });
    let finished = quiet(&["connect", &url]);
    assert_eq!(finished.stdout, ["price 0", "price 1", "price 2"]);
    assert!(finished.status.success(), "{:?}", finished.stderr);
    let (code, stdout, _) = piped(&["connect", "--wait", &url], b"");
    assert_eq!((code, &*stdout), (Some(0), &b"price 0\nprice 1\nprice 2\n"[..]));
}

/// Whoever reads may have enough.
#[test]
fn the_reader_goes() {
    let url = serve(|mut ws| {
        loop {
            ws.send("tick")?;
        }
    });
    let mut child = Command::new(SANSWS)
        .args(["connect", &url, "--wait"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 5];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"tick\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn json() {
    let url = serve(|mut ws| {
        let text = ws.recv()?.unwrap();
        ws.send(text)?;
        ws.send(Message::from(&b"\x00\xff"[..]))?;
        ws.close(CloseCode::new(4002).unwrap(), "\"that\" was all")
    });
    let line = "x".repeat(2_000);
    let (code, stdout, stderr) =
        piped(&["connect", "--json", "-v", "--wait", &url], format!("{line}\n").as_bytes());
    assert_eq!((code, stderr.as_str()), (Some(5), ""));
    let stdout = String::from_utf8(stdout).unwrap();
    let events: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |name: &str| {
        let fits = |event: &&Value| event["event"] == name;
        events.iter().filter(fits).cloned().collect::<Vec<_>>()
    };
    assert_eq!(named("open"), [json!({"event": "open", "subprotocol": null, "compression": true})]);
    assert_eq!(
        named("message"),
        [
            json!({"event": "message", "type": "text", "bytes": 2000, "data": line}),
            json!({"event": "message", "type": "binary", "bytes": 2, "data": "AP8="}),
        ]
    );
    assert_eq!(
        named("close"),
        [json!({"event": "close", "code": 4002, "reason": "\"that\" was all"})]
    );
    let compressed = named("compression");
    assert_eq!(compressed.len(), 2, "{stdout}");
    for (event, way) in compressed.iter().zip(["out", "in"]) {
        assert_eq!((&event["way"], &event["plain"]), (&json!(way), &json!(2000)));
        assert!(event["compressed"].as_u64().unwrap() < 100, "{event}");
    }
    let frames = named("frame");
    let frames: Vec<_> = ["out", "in"]
        .map(|way| {
            let this = |frame: &&Value| frame["way"] == way;
            let shown = |frame: &Value| {
                let opcode = frame["opcode"].as_str().unwrap();
                format!("{opcode}{}", if frame["rsv1"] == true { " RSV1" } else { "" })
            };
            frames.iter().filter(this).map(shown).collect::<Vec<_>>().join(", ")
        })
        .into();
    assert_eq!(frames, ["text RSV1, close", "text RSV1, binary, close"]);
}

#[test]
fn an_echo_of_python() {
    let Some(mut python) = python_echo("an_echo_of_python") else { return };
    let mut server = Process::spawn(&mut python);
    let url = format!("ws://127.0.0.1:{}/", server.stdout_line(START));
    // it drops its answers when a Close comes, so that comes when they are there
    let mut child = Command::new(SANSWS)
        .args(["connect", "-v", "--linger", "0", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = format!("hello\n{}\n", "y".repeat(100_000));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    let mut answers = vec![0; input.len()];
    child.stdout.take().unwrap().read_exact(&mut answers).unwrap();
    assert!(answers == input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("→ 100000 bytes"), "{stderr}");
    server.terminate(); // an interrupt may be ignored, as in a job in the background
    server.finish(LONG);
}

/// An answer that takes its time is waited for.
#[test]
fn late_answers() {
    let url = serve(|mut ws| {
        let message = ws.recv()?.unwrap();
        thread::sleep(std::time::Duration::from_millis(100));
        ws.send(message)?;
        ws.close(CloseCode::NORMAL, "")
    });
    let (code, stdout, _) = piped(&["connect", "--linger", "60", &url], b"hello\n");
    assert_eq!((code, &*stdout), (Some(0), &b"hello\n"[..]));
}
