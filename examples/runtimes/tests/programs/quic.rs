//! WebSockets over QUIC, where no other implementation is: each role against the other.

use std::process::Command;
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint};
use runtimes::tls;
use sansws::handshake::client::Request;
use sansws::proto::MessageRef;
use sansws::{CloseCode, Message};
use sansws_test::certificates::Authority;
use sansws_test::process::{Process, START};

use super::{Host, RUN, Way, program, start};

/// A server, and where it listens.
fn server(test: &str) -> Option<(Process, String, Authority)> {
    let (authority, leaf) = Host::new("quinn", Way::Tls, &[]).certificates(test)??;
    let mut command = Command::new(program("quinn"));
    let (server, addr) = start(command.arg("127.0.0.1:0").args(leaf.files()));
    Some((server, addr, authority))
}

#[test]
fn both_programs() {
    let Some((_server, addr, authority)) = server("both") else { return };
    let client = |path: &str| {
        let mut command = Command::new(program("quinn"));
        command.args(["--client", &addr]).arg(authority.certificate()).arg(path);
        Process::spawn(&mut command).finish(RUN)
    };
    let closed = client("/");
    assert!(closed.status.success(), "{closed:?}");
    assert_eq!(closed.stdout, ["3 of 3 came back, closed with 1000"]);
    let refused = client("/elsewhere");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr[0].contains("404"), "{refused:?}");
}

async fn connect(addr: &str, authority: &Authority) -> Connection {
    let files = [authority.certificate().display().to_string()];
    let mut config = tls::client(&files).unwrap();
    config.alpn_protocols = vec![b"websocket-bytes".to_vec()];
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connecting = endpoint.connect_with(config, addr.parse().unwrap(), "localhost").unwrap();
    connecting.await.unwrap()
}

#[tokio::test]
async fn several_on_a_connection_that_is_cut_off() {
    let Some((mut server, addr, authority)) = server("several") else { return };
    let connection = connect(&addr, &authority).await;
    let request = Request::new("ws://localhost/").unwrap();
    let mut open = Vec::new();
    for _ in 0..3 {
        let (output, input) = connection.open_bi().await.unwrap();
        let stream = tokio::io::join(input, output);
        open.push(sansws::tokio::client(stream, &request, &runtimes::config()).await.unwrap());
    }
    for ws in &mut open {
        assert!(ws.deflate().is_some());
        ws.send(MessageRef::ping(b"here?")).await.unwrap();
        for len in [0, 125, 65_536, 1 << 20] {
            let message = Message::from(vec![7; len]);
            ws.send(&message).await.unwrap();
            assert_eq!(ws.recv().await.unwrap(), Some(message));
        }
    }
    // one ends, the others go on
    let code = CloseCode::new(4001).unwrap();
    open[0].close(code, "").await.unwrap();
    assert_eq!(open[0].close_info().map(|close| (close.code, close.clean)), Some((4001, true)));
    open[1].send("still here").await.unwrap();
    assert_eq!(open[1].recv().await.unwrap(), Some("still here".into()));
    connection.close(1u32.into(), b"");
    for _ in 0..2 {
        server.stderr_line(START, |line| line.contains("1006").then_some(()));
    }
    assert!(server.is_running());
}
