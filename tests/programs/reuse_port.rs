//! The example with a runtime for each core, from its start to Ctrl-C.
use std::time::Duration;

use sansws::Message;
use sansws::tokio::{ClientStream, WebSocket, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use sansws_test::process::Server;
use sansws_test::within;

const CLIENTS: usize = 32;

#[tokio::test]
async fn one_port_for_all_cores() {
    let mut example = Server::start("reuse_port", &["2"]);
    let mut all = Vec::new();
    for at in 0..CLIENTS {
        let path = if at % 2 == 0 { "/chat" } else { "/echo" };
        all.push(within(connect(&example.url(path))).await.unwrap());
    }
    // a handshake is answered before its client is one of all
    let spread = within(async {
        loop {
            let spread = clients_of_each(&example).await;
            if spread.iter().sum::<usize>() == CLIENTS {
                return spread;
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(spread.len() == 2 && !spread.contains(&0), "{spread:?}");

    for (at, ws) in all.iter_mut().enumerate().filter(|(at, _)| at % 2 == 1) {
        ws.send(format!("echo {at}")).await.unwrap();
        assert_eq!(text(ws).await, format!("echo {at}"));
    }
    // whichever server a client is on, it is heard on all of them
    for speaker in (0..CLIENTS).step_by(2) {
        all[speaker].send(format!("{speaker} says hello")).await.unwrap();
        for ws in &mut all {
            assert_eq!(text(ws).await, format!("{speaker} says hello"));
        }
    }

    example.process.interrupt();
    let closing: Vec<_> =
        all.into_iter().map(|mut ws| tokio::spawn(async move { closed(&mut ws).await })).collect();
    for closed in closing {
        assert_eq!(closed.await.unwrap(), (1001, String::new(), true));
    }
    let finished = example.process.finish(Duration::from_secs(20));
    assert!(finished.status.success() && finished.stderr.is_empty(), "{finished:?}");
}

async fn clients_of_each(example: &Server) -> Vec<usize> {
    let mut stream = TcpStream::connect(&example.addr).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let counts = body.lines().map(|line| line.split(' ').nth(2).unwrap().parse().unwrap());
    counts.collect()
}

/// The next message, which is text.
async fn text(ws: &mut WebSocket<ClientStream>) -> String {
    match within(ws.recv()).await.unwrap() {
        Some(Message::Text(text)) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Until the connection is over: its code and reason, and whether it ended cleanly.
async fn closed(ws: &mut WebSocket<ClientStream>) -> (u16, String, bool) {
    while let Ok(Some(_)) = within(ws.recv()).await {}
    let info = ws.close_info().unwrap();
    (info.code, info.reason.to_string(), info.clean)
}
