use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use sansws::CloseCode;
use sansws_test::process::{Process, START};

use crate::support::{LONG, SANSWS, piped};

/// Starts the server, and returns it with its URL.
fn start(arguments: &[&str]) -> (Process, String) {
    let mut command = Command::new(SANSWS);
    let mut process = Process::spawn(command.arg("serve").args(arguments).arg("127.0.0.1:0"));
    let line = process.stdout_line(START);
    let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
    (process, url)
}

/// Returns the response to a request for a page.
fn get(url: &str, path: &str) -> String {
    let addr = url.trim_start_matches("ws://").trim_end_matches('/');
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn an_echo() {
    let (mut server, url) = start(&[]);
    for path in ["", "any/path"] {
        let arguments = ["connect", "--linger", "0", &format!("{url}{path}")];
        let (code, stdout, stderr) = piped(&arguments, b"hello\nworld\n");
        assert_eq!((code, &*stdout, &*stderr), (Some(0), &b"hello\nworld\n"[..], ""));
    }
    let evil = ["connect", "--origin", "http://evil.example", &url];
    let (code, _, stderr) = piped(&evil, b"");
    assert_eq!(code, Some(3));
    assert!(stderr.contains("403"), "{stderr}");
    server.terminate();
    server.finish(LONG);
}

#[test]
fn a_broadcast() {
    let (mut server, url) = start(&["--broadcast", "--any-origin"]);
    let connect = || sansws::blocking::connect(&url).unwrap();
    // who has sent something and got it is there
    let mut one = connect();
    one.send("one").unwrap();
    assert_eq!(one.recv().unwrap().unwrap().as_text(), Some("one"));
    let mut other = connect();
    other.send("other").unwrap();
    for ws in [&mut one, &mut other] {
        assert_eq!(ws.recv().unwrap().unwrap().as_text(), Some("other"));
    }
    other.send("to all").unwrap();
    for ws in [&mut one, &mut other] {
        assert_eq!(ws.recv().unwrap().unwrap().as_text(), Some("to all"));
        ws.close(CloseCode::NORMAL, "").unwrap();
    }
    let site = ["connect", "--linger", "0", "--origin", "http://site.example", &url];
    assert_eq!(piped(&site, b"").0, Some(0));
    server.terminate();
    server.finish(LONG);
}

#[test]
fn the_pages_of_a_folder() {
    let name = format!("sansws-serve-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("index.html"), "<h1>start</h1>").unwrap();
    fs::write(folder.join("sub/code.js"), "let x").unwrap();
    fs::write(folder.join(".secret"), "hidden").unwrap();
    let (mut server, url) = start(&["--folder", folder.to_str().unwrap()]);
    fs::remove_dir_all(&folder).unwrap();
    for path in ["/", "/index.html"] {
        let page = get(&url, path);
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
        assert!(page.ends_with("<h1>start</h1>") && page.contains("text/html"), "{page}");
    }
    let code = get(&url, "/sub/code.js");
    assert!(code.ends_with("let x") && code.contains("text/javascript"), "{code}");
    for path in ["/.secret", "/sub/../.secret", "/%2e%2e/%2e%2e/etc/passwd", "/sub"] {
        let answer = get(&url, path);
        assert!(!answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
    let (code, stdout, _) = piped(&["connect", "--linger", "0", &url], b"on the same port\n");
    assert_eq!((code, &*stdout), (Some(0), &b"on the same port\n"[..]));
    server.terminate();
    server.finish(LONG);

    let (code, _, stderr) = piped(&["serve", "--folder", folder.to_str().unwrap()], b"");
    assert_eq!(code, Some(1), "{stderr}");
}
