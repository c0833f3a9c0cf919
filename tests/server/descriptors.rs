//! A server that has run out of descriptors goes on when they come back.
//!
//! The limit is the process's, so the server has one of its own: this test program again.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sansws::server::{Response, Server, handler_fn};

use crate::support::bind;
use sansws_test::wire;

/// In the environment of the process that is to be the server.
const IS_SERVER: &str = "SANSWS_TEST_DESCRIPTORS";

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn serve_for_the_other_test() {
    if std::env::var_os(IS_SERVER).is_none() {
        return;
    }
    let echo = handler_fn().on_message(|client, message| client.send(message));
    // strangers leave by themselves after longer than the test takes
    let config = Server::default_config().handshake_timeout(Duration::from_secs(600));
    let server = bind().await.route("/chat", echo).config(config).max_connections(100);
    let hub = server.hub();
    let stats = move |_: &sansws::server::Request<'_>| {
        Response::text(format!("{} errors", hub.stats().accept_errors))
    };
    println!("\nlistening on {}", server.local_addr().unwrap());
    server.fallback(stats).run().await.unwrap();
}

#[test]
fn errors_of_accepting_end_nothing() {
    let shell =
        "ulimit -n 40 && exec \"$0\" --exact descriptors::serve_for_the_other_test --nocapture";
    let child = Command::new("sh")
        .args(["-c", shell])
        .arg(std::env::current_exe().unwrap())
        .env(IS_SERVER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let addr =
        lines.find_map(|line| Some(line.unwrap().strip_prefix("listening on ")?.to_string()));
    let addr = addr.expect("the address");
    let connect = || {
        let stream = TcpStream::connect(&addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    };

    // one that is in, then more than there are descriptors
    let mut first = connect();
    first.write_all(wire::REQUEST.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        first.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let idle: Vec<_> = (0..60).map(|_| connect()).collect();
    std::thread::sleep(Duration::from_millis(200));
    let mut echo = |text: &[u8]| {
        first.write_all(&wire::client(wire::TEXT, text)).unwrap();
        let mut echoed = vec![0; 2 + text.len()];
        first.read_exact(&mut echoed).unwrap();
        assert_eq!(&echoed[2..], text);
    };
    echo(b"still served");

    // strangers give way though nobody has descriptors left
    let mut asks = connect();
    asks.write_all(b"GET /stats HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut answer = String::new();
    asks.read_to_string(&mut answer).unwrap();
    let errors = answer.rsplit_once("\r\n\r\n").unwrap().1.strip_suffix(" errors").unwrap();
    let errors: u64 = errors.parse().unwrap();
    // one every 50 ms and one for each who gave way, instead of a loop that spins
    assert!((1..200).contains(&errors), "{errors} errors");
    echo(b"served on");
    drop(idle);
}
