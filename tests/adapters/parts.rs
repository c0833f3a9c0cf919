//! Sockets taken apart and put together again, by the same adapter and by the other one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use sansws::buf::RecvBuffer;
use sansws::bytes::Buf;
use sansws::proto::{Connection, State};
use sansws::{CloseCode, Config, Error, Event, KeepAlive, Parts, blocking};
use sansws_test::blocking::within;
use sansws_test::wire;

fn streams() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

fn server(io: TcpStream) -> blocking::WebSocket<TcpStream> {
    let connection = Connection::server(&Config::new());
    blocking::WebSocket::from_parts(Parts::new(io, connection, RecvBuffer::new()))
}

/// In the middle of a message that comes, and with one that was not sent yet.
#[test]
fn nothing_is_lost() {
    within(|| {
        let (near, mut far) = streams();
        let mut ws = server(near);
        let text = wire::client(wire::TEXT, b"first");
        far.write_all(&[&text[..], &wire::client(wire::TEXT, b"second")[..9]].concat()).unwrap();
        assert_eq!(ws.recv().unwrap(), Some("first".into()));
        ws.feed("unsent").unwrap();
        let parts = ws.into_parts();
        assert_eq!(parts.tx.remaining(), 8);
        let mut ws = blocking::WebSocket::from_parts(parts);
        far.write_all(&wire::client(wire::TEXT, b"second")[9..]).unwrap();
        assert_eq!(ws.recv().unwrap(), Some("second".into()));
        let mut sent = [0; 8];
        far.read_exact(&mut sent).unwrap();
        assert_eq!(sent, *b"\x81\x06unsent");
    });
}

/// What a socket took in while it had to write belongs to what was received.
#[test]
fn what_was_read_ahead_comes_along() {
    within(|| {
        let (near, far) = streams();
        let mut ws = server(near);
        let mut peer = far.try_clone().unwrap();
        let writing = thread::spawn(move || {
            for number in 0..100 {
                let payload = vec![number; 100_000];
                peer.write_all(&wire::client(wire::BINARY, &payload)).unwrap();
            }
        });
        // nobody reads it, so that the writer has to be listened to meanwhile
        let reading = thread::spawn(move || {
            writing.join().unwrap();
            let mut far = far;
            let mut read = vec![0; 8_000_010];
            far.read_exact(&mut read).unwrap();
            far
        });
        ws.send(vec![7; 8_000_000]).unwrap();
        let far = reading.join().unwrap();
        let mut ws = blocking::WebSocket::from_parts(ws.into_parts());
        for number in 0..100 {
            let message = ws.recv().unwrap().unwrap();
            assert_eq!(message.as_bytes(), vec![number; 100_000]);
        }
        drop(far);
    });
}

/// The end of the stream and of the connection are known behind it as before.
#[test]
fn after_the_end() {
    within(|| {
        let (near, mut far) = streams();
        let mut ws = server(near);
        far.write_all(&wire::client(wire::CLOSE, &wire::close_payload(1000, "bye"))).unwrap();
        far.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(ws.recv().unwrap(), None);
        let parts = ws.into_parts();
        assert_eq!(parts.connection.state(), State::Closed);
        let mut ws = blocking::WebSocket::from_parts(parts);
        assert_eq!(ws.recv().unwrap(), None);
        assert_eq!(ws.close_info().unwrap().reason, "bye");

        let (near, far) = streams();
        let mut ws = server(near);
        drop(far);
        assert!(matches!(ws.recv(), Err(Error::Disconnected(_))));
        let mut ws = blocking::WebSocket::from_parts(ws.into_parts());
        assert!(matches!(ws.recv(), Err(Error::Disconnected(_))));
    });
}

/// Time-outs that keep-alive has set on the stream go with it.
#[test]
fn the_stream_has_its_own_time_outs_again() {
    within(|| {
        let (near, mut far) = streams();
        let own = Some(Duration::from_secs(100));
        near.set_read_timeout(own).unwrap();
        let config = Config::new().keep_alive(KeepAlive::Every(Duration::from_secs(60)));
        let connection = Connection::server(&config);
        let mut ws =
            blocking::WebSocket::from_parts(Parts::new(near, connection, RecvBuffer::new()));
        far.write_all(&wire::client(wire::TEXT, b"one")[..5]).unwrap();
        let sending = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            far.write_all(&wire::client(wire::TEXT, b"one")[5..]).unwrap();
            far
        });
        assert_eq!(ws.recv().unwrap(), Some("one".into()));
        assert!(ws.get_ref().read_timeout().unwrap() < own, "keep-alive waits for less");
        let parts = ws.into_parts();
        assert_eq!(parts.io.read_timeout().unwrap(), own);
        drop(sending.join().unwrap());
    });
}

#[cfg(feature = "tokio")]
mod with_tokio {
    use sansws::tokio as adapter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use sansws_test::peer;

    /// A socket that one adapter has opened is closed by the other.
    #[tokio::test]
    async fn from_one_adapter_to_the_other() {
        let (near, far) = streams();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        let mut far = tokio::net::TcpStream::from_std(far).unwrap();
        let near = tokio::net::TcpStream::from_std(near).unwrap();
        let connection = Connection::server(&Config::new());
        let mut ws =
            adapter::WebSocket::from_parts(Parts::new(near, connection, RecvBuffer::new()));
        let frames = [wire::client(wire::TEXT, b"one"), wire::client(wire::TEXT, b"two")].concat();
        far.write_all(&frames).await.unwrap();
        assert_eq!(peer::within(ws.recv()).await.unwrap(), Some("one".into()));
        ws.feed("answer").unwrap();
        let parts = ws.into_parts();
        let (peer_addr, parts) = (parts.io.peer_addr().unwrap(), into_std(parts));
        let closing = thread::spawn(move || {
            let mut ws = blocking::WebSocket::from_parts(parts);
            assert_eq!(ws.peer_addr().unwrap(), peer_addr);
            assert_eq!(ws.recv().unwrap(), Some("two".into()));
            ws.close(CloseCode::NORMAL, "")
        });
        let mut answer = [0; 8 + 4];
        peer::within(far.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer, *b"\x81\x06answer\x88\x02\x03\xe8");
        far.write_all(&wire::client(wire::CLOSE, &[0x03, 0xe8])).await.unwrap();
        far.shutdown().await.unwrap();
        closing.join().unwrap().unwrap();
    }

    fn into_std(parts: Parts<tokio::net::TcpStream>) -> Parts<TcpStream> {
        parts.map_io(|io| {
            let io = io.into_std().unwrap();
            io.set_nonblocking(false).unwrap();
            io
        })
    }

    /// The time of the connection goes on: a ping is due when it was due.
    #[tokio::test(start_paused = true)]
    async fn keep_alive_goes_on() {
        peer::clock_is_paused();
        let (near, far) = tokio::io::duplex(1 << 10);
        let mut peer = peer::Peer::new(far);
        let config = Config::new().keep_alive(KeepAlive::Every(Duration::from_secs(20)));
        let parts = Parts::new(near, Connection::server(&config), RecvBuffer::new());
        assert_eq!(parts.now(), Duration::ZERO);
        let mut ws = adapter::WebSocket::from_parts(parts);
        let ten = Duration::from_secs(10);
        assert!(tokio::time::timeout(ten, ws.recv()).await.is_err());
        let mut ws = adapter::WebSocket::from_parts(ws.into_parts());
        assert!(tokio::time::timeout(ten + ten / 10, ws.recv()).await.is_err());
        let ping = tokio::time::timeout(ten / 10, peer.frame()).await;
        assert_eq!(ping.unwrap().unwrap().opcode, wire::PING);
    }

    /// A Close that a `send` has found and kept is answered when the socket is taken apart.
    #[tokio::test]
    async fn a_close_that_waits_to_be_taken() {
        let (near, mut far) = tokio::io::duplex(1 << 10);
        let connection = Connection::server(&Config::new().max_unsent(100));
        let mut ws =
            adapter::WebSocket::from_parts(Parts::new(near, connection, RecvBuffer::new()));
        far.write_all(&wire::client(wire::CLOSE, &[0x03, 0xe8])).await.unwrap();
        // it has to wait for room, and looks at what comes meanwhile
        use futures_util::FutureExt;
        while ws.send(vec![0; 600]).now_or_never().is_some_and(|sent| sent.is_ok()) {}
        let parts = ws.into_parts();
        let mut ws = adapter::WebSocket::from_parts(parts);
        let mut read = Vec::new();
        let reading = async {
            far.read_to_end(&mut read).await.unwrap();
        };
        let (event, ()) = peer::within(async { tokio::join!(closed(&mut ws), reading) }).await;
        assert!(event, "the Close is an event yet");
        let last = wire::frames(&read).pop().unwrap();
        assert_eq!(last.close_code(), Some(1000));
    }

    async fn closed<S>(ws: &mut adapter::WebSocket<S>) -> bool
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let mut seen = false;
        while let Some((event, _)) = ws.next_event().await.unwrap() {
            seen |= matches!(event, Event::Close(_));
        }
        ws.get_mut().shutdown().await.unwrap();
        seen
    }
}
