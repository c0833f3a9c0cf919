//! Peers that do not read: what waits for them is bounded, and nothing is lost when they go on.

use futures_util::FutureExt;
use sansws::proto::{MessageRef, SendError};
use sansws::{Config, Error, KeepAlive};
use tokio::io::AsyncWriteExt;
use tokio::task::yield_now;

use crate::tokio::peer::{server, within};
use sansws_test::wire;

fn quiet() -> Config {
    Config::new().keep_alive(KeepAlive::Off)
}

/// `feed` says when there is too much, and nothing is lost of what it took.
#[tokio::test]
async fn feeding_stops_at_the_limit() {
    let config = quiet().max_unsent(10_000);
    let (mut ws, mut peer) = server(&config, 64).await;
    let payload = wire::pattern(96); // 98 bytes a frame
    let mut taken = 0;
    let error = loop {
        match ws.feed(&payload) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    let full = |error: &Error| match *error {
        Error::Send(SendError::BufferFull { unsent, limit }) => (unsent, limit),
        _ => panic!("{error:?}"),
    };
    assert_eq!(full(&error), (taken * 98, 10_000));
    assert_eq!((taken, ws.unsent()), (103, 103 * 98));
    // pings are messages of ours as well
    assert!(matches!(
        ws.feed(MessageRef::ping(b"")),
        Err(Error::Send(SendError::BufferFull { .. }))
    ));

    let read = async {
        for _ in 0..taken {
            assert_eq!(peer.frame().await.unwrap().payload, payload);
        }
    };
    let (flushed, ()) = within(async { tokio::join!(ws.flush(), read) }).await;
    flushed.unwrap();
    ws.feed(&payload).unwrap();
}

/// the default.
#[tokio::test]
async fn the_default_limit_is_a_mebibyte() {
    let (mut ws, _peer) = server(&quiet(), 64).await;
    let payload = vec![0; 10_000];
    let mut taken = 0;
    while ws.feed(&payload).is_ok() {
        taken += payload.len();
        assert!(taken < 2 << 20, "there is no limit");
    }
    assert!(taken > (1 << 20) - 20_000, "{taken}");
}

/// `send` waits for the peer.
#[tokio::test]
async fn sending_waits_for_room() {
    let config = quiet().max_unsent(1000);
    let (mut ws, mut peer) = server(&config, 64).await;
    let payload = [3; 500];
    for _ in 0..2 {
        assert!(ws.send(&payload).now_or_never().is_none());
    }
    let unsent = ws.unsent();
    assert!(unsent < 1000, "{unsent}"); // the pipe took some
    assert!(ws.send(&payload).now_or_never().is_none());
    assert!(ws.unsent() >= 1000);
    // now there is no room: the message is not taken, and waits outside
    let full = ws.unsent();
    for _ in 0..10 {
        assert!(ws.send(&payload).now_or_never().is_none());
        assert_eq!(ws.unsent(), full);
    }
    let send = async {
        ws.send("last").await.unwrap();
        ws.unsent()
    };
    let read = async {
        for _ in 0..3 {
            assert_eq!(peer.frame().await.unwrap().payload, payload);
        }
        assert_eq!(peer.frame().await.unwrap().text(), "last");
    };
    let (unsent, ()) = within(async { tokio::join!(send, read) }).await;
    assert_eq!(unsent, 0);
}

/// An echo server whose client sends and never reads stops reading, and goes on with the
/// client.
#[tokio::test]
async fn an_echo_to_a_peer_that_does_not_read_stops_and_goes_on() {
    const COUNT: usize = 3000;
    let config = quiet().max_unsent(20_000);
    let (mut ws, peer) = server(&config, 4096).await;
    let (from, mut to) = tokio::io::split(peer.io);
    let message = |number: usize| {
        let mut payload = wire::pattern(1000);
        payload[..8].copy_from_slice(&number.to_be_bytes());
        payload
    };
    let flood = tokio::spawn(async move {
        for number in 0..COUNT {
            to.write_all(&wire::client(wire::BINARY, &message(number))).await.unwrap();
        }
        to.write_all(&wire::client(wire::CLOSE, b"")).await.unwrap();
        to
    });
    let unsent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let most = unsent.clone();
    let echo = tokio::spawn(async move {
        let mut count = 0;
        while let Some(message) = ws.recv().await? {
            ws.feed(message)?;
            most.fetch_max(ws.unsent(), std::sync::atomic::Ordering::Relaxed);
            count += 1;
        }
        Ok::<_, Error>(count)
    });
    for _ in 0..20_000 {
        yield_now().await;
    }
    assert!(!flood.is_finished() && !echo.is_finished(), "3 MB have gone somewhere");
    let most = unsent.load(std::sync::atomic::Ordering::Relaxed);
    assert!((19_000..20_000 + 1004).contains(&most), "{most} bytes were waiting");

    let mut from = tokio::io::BufReader::new(from);
    let mut bytes = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut from, &mut bytes);
    within(read).await.unwrap();
    let frames = wire::frames(&bytes);
    assert_eq!(frames.len(), COUNT + 1);
    for (number, frame) in frames[..COUNT].iter().enumerate() {
        assert!(frame.payload == message(number), "message {number}");
    }
    assert_eq!(frames[COUNT].opcode, wire::CLOSE);
    drop((within(flood).await.unwrap(), from));
    assert_eq!(within(echo).await.unwrap().unwrap(), COUNT);
}

/// K-3: ten thousands of pings from a peer that does not read the pongs.
#[tokio::test]
async fn a_flood_of_pings_is_answered_within_bounds() {
    const COUNT: u32 = 100_000;
    let (mut ws, mut peer) = server(&quiet(), 2048).await;
    for number in (0..COUNT).step_by(50) {
        let pings: Vec<u8> = (number..number + 50)
            .flat_map(|number| wire::client(wire::PING, &number.to_be_bytes()))
            .collect();
        peer.send(&pings).await;
        assert!(ws.recv().now_or_never().is_none());
        yield_now().await; // a task may not take as much as it likes in one go
        assert!(ws.unsent() <= 17 * 6, "{} bytes wait", ws.unsent());
    }
    let read = async {
        let mut last = None;
        let mut count = 0;
        while last != Some(COUNT - 1) {
            let pong = peer.frame().await.unwrap();
            assert_eq!(pong.opcode, wire::PONG);
            let number = pong.payload.first_chunk().copied().map(u32::from_be_bytes);
            assert!(number > last, "pongs out of order");
            last = number;
            count += 1;
        }
        peer.send(&wire::client(wire::TEXT, b"done")).await;
        count
    };
    let (message, count) = within(async { tokio::join!(ws.recv(), read) }).await;
    assert_eq!(message.unwrap(), Some("done".into()));
    assert!((17..1000).contains(&count), "{count} pongs");
}

/// The same while messages wait as well and there is no room.
#[tokio::test]
async fn a_flood_of_pings_finds_no_room_either() {
    let config = quiet().max_unsent(1000);
    let (mut ws, mut peer) = server(&config, 64).await;
    ws.feed(&[0; 2000][..]).unwrap();
    let full = ws.unsent();
    let pings: Vec<u8> =
        (0..1000_u32).flat_map(|number| wire::client(wire::PING, &number.to_be_bytes())).collect();
    assert!(peer.io.write_all(&pings).now_or_never().is_none());
    for _ in 0..100 {
        assert!(ws.recv().now_or_never().is_none());
        assert!(ws.unsent() <= full);
    }
}

/// K-9: pongs that nobody asked for.
#[tokio::test]
async fn a_flood_of_pongs_is_ignored() {
    let (mut ws, mut peer) = server(&quiet(), 64 * 1024).await;
    let pongs = wire::client(wire::PONG, &[0; 125]).repeat(1000);
    let flood = async {
        for _ in 0..20 {
            peer.send(&pongs).await;
        }
        peer.send(&wire::client(wire::TEXT, b"done")).await;
    };
    let (message, ()) = within(async { tokio::join!(ws.recv(), flood) }).await;
    assert_eq!(message.unwrap(), Some("done".into()));
    assert_eq!(ws.unsent(), 0);
    drop(ws);
    assert_eq!(peer.frame().await, None, "a pong was answered");
}
