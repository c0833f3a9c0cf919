//! A client that connects again, over TCP, with a server in a thread.

use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sansws::blocking::{Reconnecting, WebSocket, accept};
use sansws::client::{Backoff, Connector, Lost, ReconnectEvent};
use sansws::proto::SendError;
use sansws::{CloseCode, Error, Message};

type End = WebSocket<TcpStream>;

/// A client of a server that does this with its listener, in a thread.
fn client(server: impl FnOnce(TcpListener) + Send + 'static) -> (Reconnecting, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let server = thread::spawn(move || server(listener));
    let backoff = Backoff::new().first_delay(Duration::from_millis(20));
    (Reconnecting::new(Connector::new(&url).unwrap(), backoff), server)
}

fn accepted(listener: &TcpListener) -> End {
    accept(listener.accept().unwrap().0).unwrap()
}

fn text(text: &str) -> Message {
    text.into()
}

fn next(client: &mut Reconnecting) -> ReconnectEvent {
    client.next_event().expect("it goes on").expect("it is not over")
}

fn connected(client: &mut Reconnecting) {
    let event = next(client);
    assert!(matches!(event, ReconnectEvent::Connected), "{event:?}");
}

fn lost(client: &mut Reconnecting) -> (Lost, Vec<Message>) {
    match next(client) {
        ReconnectEvent::Lost { why, unsent, .. } => (why, unsent),
        other => panic!("{other:?}"),
    }
}

fn message(client: &mut Reconnecting) -> Message {
    match next(client) {
        ReconnectEvent::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_dies_and_returns() {
    let (client, server) = client(|listener| {
        drop(listener.accept().unwrap());
        for price in ["price 1", "price 2"] {
            let mut end = accepted(&listener);
            assert_eq!(end.recv().unwrap(), Some(text("subscribe")));
            end.send(price).unwrap();
        }
        let mut end = accepted(&listener);
        assert_eq!(end.recv().unwrap(), Some(text("subscribe")));
        end.close(CloseCode::NORMAL, "that was all").unwrap();
    });
    let mut client = client.on_connect(|mut ws| {
        ws.send("subscribe")?;
        Ok(ws)
    });
    let (why, _) = lost(&mut client);
    assert!(matches!(why, Lost::Failed(_)), "{why:?}");
    for price in ["price 1", "price 2"] {
        connected(&mut client);
        assert_eq!(message(&mut client), text(price));
        let (why, _) = lost(&mut client);
        assert!(matches!(why, Lost::Failed(Error::Disconnected(_))), "{why:?}");
    }
    connected(&mut client);
    assert!(client.get_ref().is_some());
    for _ in 0..2 {
        assert!(client.next_event().unwrap().is_none());
    }
    let info = client.close_info().unwrap();
    assert_eq!((info.code, &*info.reason), (1000, "that was all"));
    server.join().unwrap();
}

/// More than the network holds, so that it dies in the middle.
#[test]
fn killed_while_it_sends() {
    let long = text(&"x".repeat(16 << 20));
    for keeps in [true, false] {
        let expected = long.clone();
        let (mut client, server) = client(move |listener| {
            let mut end = accepted(&listener);
            assert!(end.next_chunk().unwrap().is_some());
            drop(end);
            let mut end = accepted(&listener);
            if keeps {
                assert!(end.recv().unwrap() == Some(expected), "whole");
            }
            end.send("all is well").unwrap();
            assert_eq!(end.recv().unwrap(), None, "nothing besides");
        });
        if keeps {
            client = client.queue(10, 32 << 20);
        }
        connected(&mut client);
        match client.send(long.clone()) {
            Ok(()) => assert!(keeps),
            Err(error) => assert!(!keeps && error.is_disconnect(), "{error:?}"),
        }
        assert_eq!(client.queued(), usize::from(keeps));
        let (why, unsent) = lost(&mut client);
        assert!(matches!(why, Lost::Failed(_)), "{why:?}");
        assert_eq!(unsent, []);
        connected(&mut client);
        assert_eq!(message(&mut client), text("all is well"));
        assert_eq!(client.queued(), 0);
        client.close(CloseCode::NORMAL, "").unwrap();
        assert!(client.next_event().unwrap().is_none());
        server.join().unwrap();
    }
}

#[test]
fn the_queue_is_bounded_and_keeps_the_order() {
    let (client, server) = client(|listener| {
        let mut end = accepted(&listener);
        for n in 0..4 {
            assert_eq!(end.recv().unwrap(), Some(text(&format!("message {n}"))));
        }
        end.send("thanks").unwrap();
        assert_eq!(end.recv().unwrap(), None);
    });
    let mut client = client.queue(3, 27);
    for n in 0..3 {
        client.send(format!("message {n}")).unwrap();
    }
    let error = client.send("").unwrap_err();
    assert!(matches!(error, Error::Send(SendError::BufferFull { .. })), "{error:?}");
    let unsent = client.take_unsent();
    assert_eq!(unsent.len(), 3);
    let error = client.send("x".repeat(28)).unwrap_err();
    assert!(matches!(error, Error::Send(SendError::BufferFull { .. })), "{error:?}");
    unsent.into_iter().for_each(|message| client.send(message).unwrap());
    connected(&mut client);
    client.send("message 3").unwrap();
    assert_eq!(message(&mut client), text("thanks"));
    client.close(CloseCode::NORMAL, "").unwrap();
    server.join().unwrap();
}

#[test]
fn without_a_queue_they_are_refused() {
    let (mut client, server) = client(|listener| {
        let mut end = accepted(&listener);
        end.close(CloseCode::POLICY_VIOLATION, "go away").unwrap();
    });
    let error = client.send("hello").unwrap_err();
    assert!(matches!(error, Error::Send(SendError::NotOpen)), "{error:?}");
    connected(&mut client);
    for _ in 0..2 {
        let error = client.next_event().unwrap_err();
        assert!(matches!(error, Error::Closed(CloseCode::POLICY_VIOLATION)), "{error:?}");
        let error = client.send("hello").unwrap_err();
        assert!(matches!(error, Error::Send(SendError::NotOpen)), "{error:?}");
    }
    assert_eq!(client.close_info().unwrap().reason, "go away");
    server.join().unwrap();
}
