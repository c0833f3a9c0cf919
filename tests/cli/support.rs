use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use sansws::blocking::{WebSocket, accept_with};
use sansws::deflate::Deflate;
use sansws::{CloseCode, Config, Error};
use sansws_test::process::{Finished, Process, skip};

/// How long a program may take in all.
pub const LONG: Duration = Duration::from_secs(55);

pub const SANSWS: &str = env!("CARGO_BIN_EXE_sansws");

pub type End = WebSocket<TcpStream>;

/// Starts a server that does this with each connection, and returns its URL.
pub fn serve(each: impl Fn(End) -> Result<(), Error> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let each = std::sync::Arc::new(each);
    thread::spawn(move || {
        let config = Config::new().deflate(Deflate::new());
        for stream in listener.incoming().flatten() {
            let (each, config) = (std::sync::Arc::clone(&each), config.clone());
            thread::spawn(move || accept_with(stream, &config).and_then(|ws| each(ws)));
        }
    });
    url
}

/// Sends everything back; a text that names a close code closes with it.
pub fn echo(mut ws: End) -> Result<(), Error> {
    while let Some(message) = ws.recv()? {
        let text = message.as_text().unwrap_or_default();
        match text.strip_prefix("close with ").and_then(|code| code.parse().ok()) {
            Some(code) => ws.start_close(CloseCode::new(code).unwrap(), "as you wish")?,
            None if text == "die" => return Ok(()),
            None => ws.feed(message)?,
        }
    }
    Ok(())
}

/// Runs the program with this input, and returns what it has printed, all bytes of it.
pub fn piped(arguments: &[&str], input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut child = Command::new(SANSWS)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // it may end before it has read all of it
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    writer.join().unwrap();
    (status.code(), stdout, String::from_utf8(stderr).unwrap())
}

/// Runs the program without any input, which does not end either.
pub fn quiet(arguments: &[&str]) -> Finished {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut process = Process::spawn_on(reader, Command::new(SANSWS).args(arguments));
    let finished = process.finish(LONG);
    drop(writer);
    finished
}

/// An echo server of python `websockets`, which prints its port; `None` after a word about it if
/// that is not installed and need not be.
pub fn python_echo(test: &str) -> Option<Command> {
    let python = sansws_test::target_dir!().join("interop/venv/bin/python");
    if !python.exists() {
        skip(test, "run `bash tests/interop/install.sh` first");
        return None;
    }
    let script = "\
from websockets.sync.server import serve
def echo(ws):
    for message in ws:
        ws.send(message)
with serve(echo, '127.0.0.1', 0) as server:
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()
";
    let mut command = Command::new(python);
    command.args(["-c", script]);
    Some(command)
}
