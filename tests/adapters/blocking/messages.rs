//! Messages from one end to the other and back, and who flushes.

use std::net::TcpStream;
use std::thread;

use bytes::Bytes;
use sansws::blocking::{Plain, WebSocket, connect};
use sansws::bytes;
use sansws::proto::{MessageRef, SendError, State};
use sansws::{CloseCode, Config, Error, Event, Message, PreparedMessage};

use crate::blocking::peer::{pair, server, server_between, server_on, tcp, within};
use crate::blocking::script::{Op, Script};
use sansws_test::wire;

/// Echoes in a thread until the end.
fn echo(mut ws: WebSocket<TcpStream>) -> thread::JoinHandle<Result<(), Error>> {
    thread::spawn(move || {
        while let Some(message) = ws.recv()? {
            ws.feed(message)?;
        }
        Ok(())
    })
}

/// every length whose header has another form, both kinds, both directions.
#[test]
fn messages_of_all_sizes_come_back_as_they_went() {
    within(|| {
        let (server, mut client) = pair(&Config::new());
        let server = echo(server);
        for len in [0, 1, 125, 126, 127, 4095, 4096, 16_383, 16_384, 65_535, 65_536, 1 << 20] {
            let binary = wire::pattern(len);
            client.send(&binary).unwrap();
            assert_eq!(client.recv().unwrap(), Some(Message::from(binary)), "{len}");
            let text: String = (0..len).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
            client.send(&text).unwrap();
            assert_eq!(client.recv().unwrap(), Some(Message::from(text)), "{len}");
        }
        client.close(CloseCode::NORMAL, "").unwrap();
        drop(client);
        server.join().unwrap().unwrap();
    });
}

/// F-17.
#[test]
fn the_largest_message_passes() {
    within(|| {
        let (server, mut client) = pair(&Config::new());
        let server = echo(server);
        let message = Bytes::from(vec![0x5a; 16 * 1024 * 1024]);
        client.send(message.clone()).unwrap();
        let back = client.recv().unwrap().unwrap();
        assert!(back.as_bytes() == message, "the message has changed");
        client.close(CloseCode::NORMAL, "").unwrap();
        drop(client);
        server.join().unwrap().unwrap();
    });
}

/// Design §5: one read and one write for 32 messages, through `recv` and through `next_event`.
#[test]
fn a_burst_is_answered_with_one_write() {
    let frames = |frame: fn(u8, &[u8]) -> Vec<u8>| -> Vec<u8> {
        (0..32).flat_map(|number| frame(wire::BINARY, &[number; 16])).collect()
    };
    for events in [false, true] {
        // behind the burst the stream has nothing for now
        let reads = [Op::Bytes(frames(wire::client)), Op::Error(std::io::ErrorKind::WouldBlock)];
        let io = Script::new(reads, []);
        let log = io.log.clone();
        let mut ws = server_on(Plain(io), &Config::new());
        for _ in 0..32 {
            if events {
                let (event, mut out) = ws.next_event().unwrap().unwrap();
                out.feed(event.as_message_ref().unwrap()).unwrap();
            } else {
                let message = ws.recv().unwrap().unwrap();
                ws.feed(message).unwrap();
            }
        }
        assert_eq!((log.reads(), log.writes()), (1, 0));
        let error = ws.recv().unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{error:?}");
        assert_eq!((log.writes(), log.written()), (1, frames(wire::server)));
    }
}

#[test]
fn feeding_writes_nothing_by_itself_and_one_flush_writes_all() {
    let io = Script::default();
    let log = io.log.clone();
    let mut ws = server_on(Plain(io), &Config::new());
    ws.feed("one").unwrap();
    ws.feed(Bytes::from(wire::pattern(20_000))).unwrap();
    ws.feed(&PreparedMessage::new(wire::pattern(3000)).unwrap()).unwrap();
    ws.start_close(CloseCode::NORMAL, "").unwrap();
    assert_eq!((log.writes(), ws.unsent()), (0, 5 + 20_004 + 3004 + 4));
    ws.flush().unwrap();
    assert_eq!((log.writes(), ws.unsent()), (1, 0));
    let lengths: Vec<_> = wire::frames(&log.written()).iter().map(|f| f.payload.len()).collect();
    assert_eq!(lengths, [3, 20_000, 3000, 2]);
}

/// K-1, K-4: a pong needs no call of its own, also in the middle of a message.
#[test]
fn pongs_leave_while_recv_waits() {
    within(|| {
        let (mut ws, mut peer) = server(&Config::new());
        let receive = thread::spawn(move || {
            let message = ws.recv();
            (ws, message)
        });
        peer.send(&wire::encode(false, wire::TEXT, Some([5; 4]), b"be"));
        for payload in ["one", "two"] {
            peer.send(&wire::client(wire::PING, payload.as_bytes()));
            let pong = peer.frame().unwrap();
            assert_eq!((pong.opcode, pong.text()), (wire::PONG, payload));
        }
        peer.send(&wire::encode(true, wire::CONTINUATION, Some([5; 4]), b"gun"));
        let (_ws, message) = receive.join().unwrap();
        assert_eq!(message.unwrap(), Some("begun".into()));
    });
}

/// An event and the means to answer it at the same time.
#[test]
fn events_can_be_answered_while_they_are_held() {
    within(|| {
        let (mut server, mut client) = pair(&Config::new());
        client.feed("text").unwrap();
        client.feed(MessageRef::ping(b"ping")).unwrap();
        client.flush().unwrap();

        let (event, mut out) = server.next_event().unwrap().unwrap();
        let Event::Text(text) = event else { panic!("{event:?}") };
        out.feed(&*text).unwrap();
        assert!(out.unsent() > 0);
        out.send("sent at once").unwrap();
        out.feed(&PreparedMessage::new("prepared").unwrap()).unwrap();
        let (event, mut out) = server.next_event().unwrap().unwrap();
        assert!(matches!(event, Event::Ping(b"ping")), "{event:?}");
        out.flush().unwrap();
        assert_eq!(out.unsent(), 0);

        for expected in ["text", "sent at once", "prepared"] {
            assert_eq!(client.recv().unwrap(), Some(expected.into()));
        }
        let (event, mut out) = client.next_event().unwrap().unwrap();
        assert!(matches!(event, Event::Pong(b"ping")), "{event:?}");
        out.start_close(CloseCode::GOING_AWAY, "seen enough").unwrap();
        out.flush().unwrap();
        let (event, _) = server.next_event().unwrap().unwrap();
        assert!(matches!(event, Event::Close(Some(close)) if close.reason == "seen enough"));
    });
}

/// what the application gets wrong changes nothing on the connection.
#[test]
fn a_message_that_cannot_be_sent_does_no_harm() {
    within(|| {
        let (mut ws, mut peer) = server(&Config::new().max_unsent(100));
        let error = ws.send(MessageRef::ping(&[0; 126])).unwrap_err();
        assert!(matches!(error, Error::Send(SendError::ControlTooLong { len: 126 })), "{error:?}");
        let error = ws.close(CloseCode::NORMAL, &"x".repeat(124)).unwrap_err();
        assert!(matches!(error, Error::Send(SendError::ReasonTooLong { len: 124 })), "{error:?}");
        assert_eq!((ws.state(), ws.unsent()), (State::Open, 0));

        ws.feed(&[0; 98][..]).unwrap();
        let error = ws.feed("too much").unwrap_err();
        let full = SendError::BufferFull { unsent: 100, limit: 100 };
        assert!(matches!(error, Error::Send(error) if error == full), "{error:?}");
        ws.send("waits for room").unwrap();
        assert_eq!(peer.frame().unwrap().payload, [0; 98]);
        assert_eq!(peer.frame().unwrap().text(), "waits for room");

        ws.start_close(CloseCode::NORMAL, "").unwrap();
        let error = ws.send("too late").unwrap_err();
        assert!(matches!(error, Error::Send(SendError::NotOpen)), "{error:?}");
    });
}

/// C-25: what follows the response in the same packet.
#[test]
fn a_client_loses_nothing_that_follows_the_response() {
    within(|| {
        let (listener, url) = crate::blocking::peer::listen();
        let serve = thread::spawn(move || {
            let mut peer = crate::blocking::peer::Peer::new(listener.accept().unwrap().0);
            let mut bytes = wire::response(&peer.head()).into_bytes();
            bytes.extend(wire::server(wire::TEXT, b"Hello"));
            bytes.extend(wire::server(wire::CLOSE, &wire::close_payload(1001, "")));
            peer.send(&bytes);
            peer.frame().unwrap().close_code()
        });
        let mut ws = connect(&url).unwrap();
        assert!(ws.get_ref().tcp().nodelay().unwrap());
        assert_eq!(ws.recv().unwrap(), Some("Hello".into()));
        assert_eq!(ws.recv().unwrap(), None);
        assert_eq!(serve.join().unwrap(), Some(1001));
    });
}

/// A peer that neither reads nor minds: an echo stops reading, and goes on when the peer reads.
#[test]
fn an_echo_to_a_peer_that_does_not_read_goes_on_when_it_reads() {
    const COUNT: usize = 20_000; // 20 MB are more than the sockets hold
    within(|| {
        let (near, far) = tcp();
        let (mut ws, peer) = server_between(near, far, &Config::new().max_unsent(20_000));
        let echo = thread::spawn(move || {
            let mut most = 0;
            while let Some(message) = ws.recv()? {
                ws.feed(message)?;
                most = most.max(ws.unsent());
            }
            Ok::<_, Error>(most)
        });
        let mut peer = peer;
        let mut to = peer.io.try_clone().unwrap();
        let flood = thread::spawn(move || {
            let frame = wire::client(wire::BINARY, &[8; 1000]);
            let frames = frame.repeat(100);
            for _ in 0..COUNT / 100 {
                std::io::Write::write_all(&mut to, &frames).unwrap();
            }
            std::io::Write::write_all(&mut to, &wire::client(wire::CLOSE, b"")).unwrap();
        });
        thread::sleep(std::time::Duration::from_millis(200));
        assert!(!flood.is_finished(), "20 MB have gone somewhere");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut peer.io, &mut bytes).unwrap();
        flood.join().unwrap();
        drop(peer);
        assert_eq!(bytes.len(), COUNT * 1004 + 2);
        let most = echo.join().unwrap().unwrap();
        assert!(most < 20_000 + 1004, "{most} bytes were waiting");
    });
}

/// Over a Unix socket, with its time-outs.
#[cfg(unix)]
#[test]
fn a_unix_socket_is_a_transport() {
    use std::os::unix::net::UnixStream;
    within(|| {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut ws, mut peer) = server_between(near, far, &Config::new());
        peer.send(&wire::client(wire::TEXT, b"hello"));
        assert_eq!(ws.recv().unwrap(), Some("hello".into()));
        ws.send("and back").unwrap();
        assert_eq!(peer.frame().unwrap().text(), "and back");
        peer.send(&wire::client(wire::CLOSE, b""));
        let end = thread::spawn(move || ws.recv().map(drop));
        assert_eq!(peer.frame().unwrap().close_code(), None);
        assert_eq!(peer.frame(), None, "the server closes first");
        drop(peer);
        end.join().unwrap().unwrap();
    });
}
