//! What an idle client costs the event server behind TLS.
//!
//! The other ends are another program, so that nothing of theirs is counted.

use core::sync::atomic::Ordering::Relaxed;
use std::process::Command;
use std::time::Duration;

use sansws::CloseCode;
use sansws::server::{Server, Tls, handler_fn};
use sansws_test::certificates::Authority;
use sansws_test::counting::{HELD, held_beyond};
use sansws_test::process::{Process, START, alone, skip};
use tokio::runtime::Builder;

const CLIENTS: usize = 100;

/// Opens connections, says so, and keeps them.
const PEER: &str = r#"
import ssl, socket, sys, time
context = ssl._create_unverified_context()
request = (b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
open = []
for _ in range(int(sys.argv[2])):
    stream = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
    stream.sendall(request)
    assert stream.recv(4096).startswith(b"HTTP/1.1 101 ")
    open.append(stream)
print("open", flush=True)
time.sleep(60)
"#;

#[test]
fn idle_clients_behind_tls() {
    alone("tls::idle_clients_behind_tls", || {
        let test = "idle_clients_behind_tls";
        let python = Command::new("python3").args(["-c", "import ssl"]).output();
        if !python.is_ok_and(|output| output.status.success()) {
            return skip(test, "there is no python3 with the module ssl");
        }
        let Some(authority) = Authority::new(env!("CARGO_TARGET_TMPDIR"), test) else { return };
        measure(&authority);
    });
}

fn measure(authority: &Authority) {
    let leaf = authority.leaf("leaf", "IP:127.0.0.1");
    let tls = Tls::from_pem_files(leaf.certificate, leaf.key).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(Server::bind("wss://127.0.0.1:0")).unwrap().tls(tls);
    let port = server.local_addr().unwrap().port().to_string();
    let handle = server.handle();
    let serving =
        std::thread::spawn(move || runtime.block_on(server.route("/", handler_fn()).run()));
    let open = || {
        let mut command = Command::new("python3");
        command.args(["-c", PEER, &port, &CLIENTS.to_string()]);
        let mut peer = Process::spawn(&mut command);
        assert_eq!(peer.stdout_line(START), "open");
        std::thread::sleep(Duration::from_millis(200)); // so that the server finishes what it is at
        peer
    };
    let first = open(); // they pay for what all share
    let before = HELD.load(Relaxed);
    let second = open();
    let each = held_beyond(before) / CLIENTS;
    println!("an idle client behind TLS holds {each} bytes of the heap");
    assert!(each <= 10_000, "{each} bytes");
    let ending = Builder::new_current_thread().enable_all().build().unwrap();
    ending.block_on(handle.shutdown(CloseCode::NORMAL, "", Duration::ZERO)).unwrap();
    serving.join().unwrap().unwrap();
    drop((first, second));
}
