//! How connections end: in good order, and in every other way.

use std::fmt::Debug;
use std::io::ErrorKind;
use std::time::Duration;

use futures_util::FutureExt;
use sansws::proto::{Initiator, SendError, State};
use sansws::tokio::WebSocket;
use sansws::{CloseCode, Config, Error, KeepAlive, Message, ProtocolError};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, duplex};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::tokio::faulty::{Fault, Faulty};
use crate::tokio::peer::{
    Peer, client_and_peer, clock_is_paused, pair, server, server_on, tcp_server, within,
};
use sansws_test::wire;

fn quiet() -> Config {
    Config::new().keep_alive(KeepAlive::Off)
}

/// The same error, whoever asks and however often.
async fn assert_disconnected<S: AsyncRead + AsyncWrite + Unpin + Debug>(ws: &mut WebSocket<S>) {
    for _ in 0..3 {
        let error = within(ws.recv()).await.unwrap_err();
        assert!(error.is_disconnect() && !error.is_timeout(), "{error:?}");
        let error = within(ws.next_event()).await.unwrap_err();
        assert!(error.is_disconnect(), "{error:?}");
        let error = within(ws.send("into the void")).await.unwrap_err();
        assert!(error.is_disconnect(), "{error:?}");
        let error = ws.feed("into the void").unwrap_err();
        assert!(error.is_disconnect(), "{error:?}");
        let error = within(ws.close(CloseCode::NORMAL, "")).await.unwrap_err();
        assert!(error.is_disconnect(), "{error:?}");
    }
    assert_eq!((ws.state(), ws.unsent()), (State::Closed, 0));
}

fn assert_1006<S>(ws: &WebSocket<S>) {
    let info = ws.close_info().unwrap();
    let seen = (info.initiator, info.code, &*info.reason, info.clean);
    assert_eq!(seen, (Initiator::Network, 1006, "", false));
}

/// whoever closes, both ends agree on it, and the answer stays.
#[tokio::test]
async fn both_ends_know_how_it_was_closed() {
    for server_closes in [false, true] {
        let (server, client) = pair(&Config::new()).await;
        let (mut closing, mut closed) =
            if server_closes { (server, client) } else { (client, server) };
        assert!(closing.close_info().is_none());
        let close = async move {
            closing.close(CloseCode::GOING_AWAY, "done \u{2713}").await.unwrap();
            closing.close(CloseCode::NORMAL, "again").await.unwrap();
            assert_eq!(closing.recv().await.unwrap(), None);
            let info = closing.close_info().unwrap();
            // the reply repeats the code and has no reason of its own
            assert_eq!((info.initiator, info.code, &*info.reason), (Initiator::Local, 1001, ""));
            assert_eq!((info.clean, info.sent_code), (true, Some(CloseCode::GOING_AWAY)));
            assert_eq!(closing.state(), State::Closed);
        };
        let end = async move {
            for _ in 0..3 {
                assert_eq!(closed.recv().await.unwrap(), None);
                assert!(closed.next_event().await.unwrap().is_none());
            }
            let info = closed.close_info().unwrap();
            let seen = (info.initiator, info.code, &*info.reason);
            assert_eq!(seen, (Initiator::Peer, 1001, "done \u{2713}"));
            assert_eq!((info.clean, info.sent_code), (true, Some(CloseCode::GOING_AWAY)));
            assert_eq!(closed.state(), State::Closed);
            closed.close(CloseCode::NORMAL, "").await.unwrap();
            let error = closed.send("too late").await.unwrap_err();
            assert!(matches!(error, Error::Send(SendError::NotOpen)), "{error:?}");
        };
        within(async { tokio::join!(close, end) }).await;
    }
}

///
#[tokio::test]
async fn both_ends_may_close_at_once() {
    let (mut server, mut client) = pair(&Config::new()).await;
    let close_server = server.close(CloseCode::GOING_AWAY, "");
    let close_client = client.close(CloseCode::NORMAL, "");
    let (one, other) = within(async { tokio::join!(close_server, close_client) }).await;
    one.unwrap();
    other.unwrap();
    let (server, client) = (server.close_info().unwrap(), client.close_info().unwrap());
    assert!(server.clean && client.clean);
    // each reports what the other sent, whichever Close was on the wire first
    assert_eq!(server.sent_code.map(CloseCode::as_u16), Some(client.code));
    assert_eq!(client.sent_code.map(CloseCode::as_u16), Some(server.code));
}

///
#[tokio::test]
async fn a_close_without_a_code_is_1005() {
    let (mut ws, mut peer) = server(&quiet(), 1024).await;
    peer.send(&wire::client(wire::CLOSE, b"")).await;
    let talk = async move {
        assert_eq!(peer.frame().await.unwrap().close_code(), None);
        assert_eq!(peer.frame().await, None);
    };
    let (end, ()) = within(async { tokio::join!(ws.recv(), talk) }).await;
    assert_eq!(end.unwrap(), None);
    let info = ws.close_info().unwrap();
    assert_eq!((info.code, info.clean, info.sent_code), (1005, true, None));
}

/// the server hangs up first, and does not wait for the client to do so before that.
#[tokio::test]
async fn a_server_closes_tcp_first() {
    let (mut ws, mut peer) = tcp_server(&quiet()).await;
    let talk = async {
        peer.send(&wire::client(wire::CLOSE, &wire::close_payload(1000, ""))).await;
        assert_eq!(peer.frame().await.unwrap().close_code(), Some(1000));
        assert_eq!(peer.frame().await, None, "the end of file comes by itself");
        drop(peer);
    };
    let (end, ()) = within(async { tokio::join!(ws.recv(), talk) }).await;
    assert_eq!(end.unwrap(), None);
}

/// the client waits for that.
#[tokio::test(start_paused = true)]
async fn a_client_waits_for_the_server_to_close_tcp() {
    clock_is_paused();
    let (mut ws, mut peer) = client_and_peer(&quiet(), 1024).await;
    let start = Instant::now();
    let talk = async {
        assert_eq!(peer.frame().await.unwrap().close_code(), Some(1000));
        peer.send(&wire::server(wire::CLOSE, &wire::close_payload(1000, ""))).await;
        sleep(Duration::from_secs(3)).await;
        assert!(peer.frame().now_or_never().is_none(), "the client has hung up first");
        peer.io.shutdown().await.unwrap();
        start.elapsed()
    };
    let close = ws.close(CloseCode::NORMAL, "");
    let (closed, after) = within(async { tokio::join!(close, talk) }).await;
    closed.unwrap();
    assert_eq!((after.as_secs(), start.elapsed().as_secs()), (3, 3));
    assert!(ws.close_info().unwrap().clean);
}

/// what arrives between our Close and the peer's is delivered; what follows is not.
#[tokio::test]
async fn messages_arrive_until_the_peers_close() {
    let (mut ws, mut peer) = server(&quiet(), 1024).await;
    ws.start_close(CloseCode::NORMAL, "").unwrap();
    let talk = async move {
        assert_eq!(peer.frame().await.unwrap().close_code(), Some(1000));
        let frames = [
            wire::client(wire::TEXT, b"before"),
            wire::client(wire::PING, b"p"),
            wire::client(wire::CLOSE, &wire::close_payload(1000, "")),
            wire::client(wire::TEXT, b"behind"),
            wire::client(wire::PING, b"q"),
        ];
        peer.send(&frames.concat()).await;
        let answers = wire::frames(&peer.rest().await);
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!((answers[0].opcode, answers[0].text()), (wire::PONG, "p"));
    };
    let receive = async {
        assert_eq!(ws.recv().await.unwrap(), Some("before".into()));
        assert_eq!(ws.recv().await.unwrap(), None);
    };
    within(async { tokio::join!(receive, talk) }).await;
}

/// a message that the peer's Close cuts off is not delivered, and that is no error.
#[tokio::test]
async fn a_close_inside_a_message_is_honoured() {
    let (mut ws, mut peer) = server(&quiet(), 1024).await;
    peer.send(&wire::encode(false, wire::TEXT, Some([1; 4]), b"beg")).await;
    peer.send(&wire::client(wire::CLOSE, &wire::close_payload(1000, ""))).await;
    drop(peer.io);
    assert_eq!(within(ws.recv()).await.unwrap(), None);
}

/// an end of file is an error wherever it comes, and messages before it are delivered.
#[tokio::test]
async fn an_end_of_file_is_a_disconnect() {
    let whole = wire::client(wire::TEXT, b"whole");
    let fragment = wire::encode(false, wire::TEXT, Some([1; 4]), b"part");
    let frame = wire::client(wire::BINARY, &wire::pattern(300));
    for tail in [&[][..], &frame[..1], &frame[..5], &frame[..100], &fragment, &fragment[..8]] {
        let (mut ws, mut peer) = tcp_server(&quiet()).await;
        peer.send(&[&whole, tail].concat()).await;
        drop(peer);
        assert_eq!(within(ws.recv()).await.unwrap(), Some("whole".into()));
        let error = within(ws.recv()).await.unwrap_err();
        assert!(matches!(error, Error::Disconnected(None)), "{error:?}");
        assert_disconnected(&mut ws).await;
        assert_1006(&ws);
    }
}

/// The peer's kernel resets the connection.
#[tokio::test]
async fn a_reset_is_a_disconnect() {
    let (mut ws, peer) = tcp_server(&quiet()).await;
    peer.io.set_zero_linger().unwrap();
    drop(peer);
    let error = within(ws.recv()).await.unwrap_err();
    let Error::Disconnected(Some(io)) = &error else { panic!("{error:?}") };
    assert_eq!(io.kind(), ErrorKind::ConnectionReset);
    assert_disconnected(&mut ws).await;
    assert_1006(&ws);
}

/// What had arrived before a reset still counts (other systems than this one throw it away).
#[cfg(target_os = "linux")]
#[tokio::test]
async fn messages_before_a_reset_are_delivered() {
    let (mut ws, mut peer) = tcp_server(&quiet()).await;
    let frames = ["one", "two", "three"].map(|text| wire::client(wire::TEXT, text.as_bytes()));
    peer.send(&frames.concat()).await;
    peer.io.set_zero_linger().unwrap();
    drop(peer);
    for text in ["one", "two", "three"] {
        assert_eq!(within(ws.recv()).await.unwrap(), Some(text.into()));
    }
    assert_disconnected(&mut ws).await;
}

/// The peer cannot be written to any more; what it said before is delivered all the same.
#[tokio::test]
async fn messages_before_a_failed_write_are_delivered() {
    for fault in [Fault::Error(ErrorKind::BrokenPipe), Fault::Zero, Fault::TooMany] {
        let (near, far) = duplex(1024);
        let mut peer = Peer::new(far);
        for text in ["one", "two", "three"] {
            peer.send(&wire::client(wire::TEXT, text.as_bytes())).await;
        }
        drop(peer);
        let mut ws = server_on(Faulty::new(near).write_fault(1, fault), &quiet());
        let error = within(ws.send("first")).await.unwrap_err();
        let Error::Disconnected(Some(io)) = &error else { panic!("{error:?}") };
        let kind = if let Fault::Error(kind) = fault { kind } else { ErrorKind::WriteZero };
        assert_eq!(io.kind(), kind, "{fault:?}");
        for text in ["one", "two", "three"] {
            assert_eq!(within(ws.recv()).await.unwrap(), Some(text.into()), "{fault:?}");
            assert!(ws.feed("more").unwrap_err().is_disconnect());
        }
        assert_disconnected(&mut ws).await;
        assert_1006(&ws);
    }
}

/// The same on TCP, where the failed write is a fact and not a script.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn messages_are_delivered_although_the_peer_is_gone() {
    let (mut ws, mut peer) = tcp_server(&quiet()).await;
    // in one packet, or some of it would still wait at the peer when the reset comes
    let frames = (0..100).map(|number| wire::client(wire::TEXT, format!("{number}").as_bytes()));
    peer.send(&frames.collect::<Vec<_>>().concat()).await;
    drop(peer);
    // the first of these provokes a reset, a later one fails because of it
    let mut writes = 0;
    while within(ws.send("anybody there?")).await.is_ok() {
        writes += 1;
        assert!(writes < 100, "writing never fails");
        sleep(Duration::from_millis(1)).await;
    }
    for number in 0..100 {
        assert_eq!(within(ws.recv()).await.unwrap(), Some(Message::from(format!("{number}"))));
    }
    assert_disconnected(&mut ws).await;
}

/// Any operation of the transport may be the one that fails: an error or an end, never a hang, and
/// after it always the same.
#[tokio::test]
async fn a_transport_that_fails_at_any_operation_ends_the_connection() {
    for from in 1..25 {
        for fault in [Fault::Error(ErrorKind::ConnectionReset), Fault::Zero] {
            for reading in [false, true] {
                let (near, far) = duplex(1024);
                let mut peer = Peer::new(far);
                peer.send(&wire::client(wire::TEXT, b"1234567890")).await;
                peer.send(&wire::client(wire::PING, b"12")).await;
                peer.send(&wire::client(wire::CLOSE, &wire::close_payload(1000, ""))).await;
                let io = Faulty::new(near).step(2);
                let io =
                    if reading { io.read_fault(from, fault) } else { io.write_fault(from, fault) };
                let log = io.log.clone();
                let mut ws = server_on(io, &quiet());
                let echo = async {
                    while let Some(message) = ws.recv().await? {
                        ws.send(message).await?;
                    }
                    Ok::<_, Error>(())
                };
                // a peer that only listens, and hangs up when there is no more to hear
                let listen = async move {
                    let _ = tokio::time::timeout(Duration::from_millis(5), peer.rest()).await;
                };
                let (result, ()) = within(async { tokio::join!(echo, listen) }).await;
                let text = format!("{from}, {fault:?}, reading: {reading}: {result:?}");
                let (frames, _) = wire::frames_in(&log.written());
                assert!(frames.iter().filter(|frame| frame.opcode == wire::CLOSE).count() <= 1);
                match result {
                    Ok(()) => assert!(ws.close_info().unwrap().clean, "{text}"),
                    Err(error) => {
                        assert!(error.is_disconnect(), "{text}");
                        // a failed write leaves what was sent before it to be read
                        let again = within(async {
                            loop {
                                match ws.recv().await {
                                    Ok(Some(_)) => {}
                                    other => return other.map(drop).map_err(|e| e.to_string()),
                                }
                            }
                        })
                        .await;
                        for _ in 0..3 {
                            let result = within(ws.recv()).await;
                            assert_eq!(
                                result.map(drop).map_err(|e| e.to_string()),
                                again,
                                "{text}"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// a Close with the right code, the end of file, and a local error that names the rule.
#[tokio::test]
async fn a_violation_is_told_to_the_peer() {
    let cases = [
        (wire::server(wire::TEXT, b"not masked"), ProtocolError::UnmaskedFrame, 1002),
        (wire::encode(true, 3, Some([0; 4]), b""), ProtocolError::ReservedOpcode(3), 1002),
        (wire::client(wire::TEXT, b"\xff"), ProtocolError::InvalidUtf8, 1007),
    ];
    for (bytes, expected, code) in cases {
        let (mut ws, mut peer) = tcp_server(&quiet()).await;
        peer.send(&wire::client(wire::TEXT, b"fine")).await;
        peer.send(&bytes).await;
        peer.send(&wire::client(wire::PING, b"not answered")).await;
        let talk = async move {
            assert_eq!(peer.frame().await.unwrap().close_code(), Some(code));
            assert_eq!(peer.frame().await, None);
        };
        let receive = async {
            assert_eq!(ws.recv().await.unwrap(), Some("fine".into()));
            for _ in 0..3 {
                let error = ws.recv().await.unwrap_err();
                assert!(
                    matches!(&error, Error::Protocol(error) if *error == expected),
                    "{error:?}"
                );
                assert_eq!(error.close_code().map(CloseCode::as_u16), Some(code));
                assert!(!error.is_disconnect());
            }
            assert!(ws.send("too late").await.is_err());
        };
        within(async { tokio::join!(receive, talk) }).await;
        let info = ws.close_info().unwrap();
        assert_eq!((info.initiator, info.code, info.clean), (Initiator::Local, 1006, false));
        assert_eq!(info.error, Some(expected));
    }
}

/// the Close can be read although much was sent behind the violation.
#[tokio::test]
async fn the_close_survives_what_the_peer_still_sends() {
    let (mut ws, mut peer) = tcp_server(&quiet()).await;
    let talk = async move {
        peer.send(&wire::server(wire::TEXT, b"not masked")).await;
        peer.send(&[0; 60_000]).await;
        sleep(Duration::from_millis(50)).await;
        assert_eq!(peer.frame().await.unwrap().close_code(), Some(1002));
        assert_eq!(peer.frame().await, None);
    };
    let receive = async move { ws.recv().await.map(drop) };
    let (result, ()) = within(async { tokio::join!(receive, talk) }).await;
    assert!(matches!(result, Err(Error::Protocol(_))), "{result:?}");
}

/// Nobody reads on for ever after a violation.
#[tokio::test]
async fn a_peer_that_goes_on_after_a_violation_is_cut_off() {
    let (mut ws, mut peer) = server(&quiet(), 4096).await;
    let flood = async move {
        peer.send(&wire::server(wire::TEXT, b"not masked")).await;
        let mut sent = 0;
        while peer.io.write_all(&[0; 1000]).await.is_ok() {
            sent += 1000;
            assert!(sent < 20_000_000, "all of this was read");
        }
        sent
    };
    let receive = async move { ws.recv().await.map(drop) };
    let (result, sent) = within(async { tokio::join!(receive, flood) }).await;
    assert!(matches!(result, Err(Error::Protocol(_))), "{result:?}");
    assert!(sent >= 64 * 1024, "only {sent} bytes were read on");
}

/// Dropping is not closing.
#[tokio::test]
async fn dropping_a_socket_is_1006_for_the_peer() {
    let (server, mut client) = pair(&Config::new()).await;
    drop(server);
    let error = within(client.recv()).await.unwrap_err();
    assert!(error.is_disconnect(), "{error:?}");
    assert_eq!(error.to_string(), "the connection ended without a closing handshake (1006)");
    assert_1006(&client);
}

/// After both Close frames a reset is as good an end as any.
#[tokio::test]
async fn a_reset_after_the_closing_handshake_is_a_clean_end() {
    let (mut ws, mut peer) = tcp_server(&quiet()).await;
    let talk = async move {
        peer.send(&wire::client(wire::CLOSE, &wire::close_payload(1000, ""))).await;
        assert_eq!(peer.frame().await.unwrap().close_code(), Some(1000));
        peer.io.set_zero_linger().unwrap();
        drop(peer);
    };
    let receive = async { ws.recv().await };
    let (end, ()) = within(async { tokio::join!(receive, talk) }).await;
    assert_eq!(end.unwrap(), None);
    assert!(ws.close_info().unwrap().clean);
}

/// A peer that answers a Close by hanging up has not closed well.
#[tokio::test]
async fn an_end_of_file_instead_of_a_close_is_a_disconnect() {
    let (mut ws, mut peer) = server(&quiet(), 1024).await;
    let talk = async move {
        assert_eq!(peer.frame().await.unwrap().close_code(), Some(1000));
        drop(peer);
    };
    let (closed, ()) = within(async { tokio::join!(ws.close(CloseCode::NORMAL, ""), talk) }).await;
    let error = closed.unwrap_err();
    assert!(error.is_disconnect(), "{error:?}");
    let info = ws.close_info().unwrap();
    assert_eq!((info.initiator, info.code, info.clean), (Initiator::Local, 1006, false));
    assert_disconnected(&mut ws).await;
}

/// a Close comes behind what was queued before it, never inside.
#[tokio::test]
async fn a_close_waits_for_the_frame_before_it() {
    let (mut ws, mut peer) = server(&quiet(), 16).await;
    let payload = wire::pattern(1000);
    assert!(ws.send(&payload).now_or_never().is_none(), "the pipe is too small for this");
    let talk = async move {
        assert_eq!(peer.frame().await.unwrap().payload, wire::pattern(1000));
        assert_eq!(peer.frame().await.unwrap().close_code(), Some(1000));
        peer.send(&wire::client(wire::CLOSE, &wire::close_payload(1000, ""))).await;
        assert_eq!(peer.frame().await, None);
    };
    let close = async { ws.close(CloseCode::NORMAL, "").await };
    let (closed, ()) = within(async { tokio::join!(close, talk) }).await;
    closed.unwrap();
}

/// Errors become `io::Error`s with a kind that says the same.
#[tokio::test]
async fn errors_have_io_kinds() {
    let (mut ws, peer): (_, Peer<TcpStream>) = tcp_server(&quiet()).await;
    drop(peer);
    let io: std::io::Error = within(ws.recv()).await.unwrap_err().into();
    assert_eq!(io.kind(), ErrorKind::UnexpectedEof);
    let (mut ws, mut peer) = tcp_server(&quiet()).await;
    peer.send(&wire::server(wire::TEXT, b"")).await;
    drop(peer);
    let io: std::io::Error = within(ws.recv()).await.unwrap_err().into();
    assert_eq!(io.kind(), ErrorKind::InvalidData);
}
