//! A client that connects again: its server is in memory, and the clock is paused.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use sansws::client::{Backoff, Connector, Lost, ReconnectEvent};
use sansws::proto::SendError;
use sansws::tokio::{Reconnecting, WebSocket, accept};
use sansws::{CloseCode, Config, Error, KeepAlive, Message};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use crate::tokio::peer::{client_on, clock_is_paused, listen, server_on, within};

type Client = Reconnecting<DuplexStream>;
type End = WebSocket<DuplexStream>;

/// A server in memory.
struct Server {
    ends: UnboundedReceiver<End>,
    way: Arc<Mutex<Way>>,
}

/// What an attempt to connect meets.
#[derive(Default)]
struct Way {
    is_down: bool,
    attempts: u32,
}

impl Server {
    /// Returns a server and a client of it, with so many bytes under way in each direction.
    fn new(capacity: usize, backoff: Backoff) -> (Self, Client) {
        clock_is_paused();
        let (accepted, ends) = unbounded_channel();
        let way = Arc::new(Mutex::new(Way::default()));
        let theirs = Arc::clone(&way);
        let connect = move || {
            let mut way = theirs.lock().unwrap();
            way.attempts += 1;
            let connected = if way.is_down {
                Err(io::Error::from(io::ErrorKind::ConnectionRefused).into())
            } else {
                let config = Config::new().keep_alive(KeepAlive::Off);
                let (near, far) = duplex(capacity);
                accepted.send(server_on(far, &config)).unwrap();
                Ok(client_on(near, &config))
            };
            async { connected }
        };
        (Self { ends, way }, Client::from_fn(connect, backoff))
    }

    fn set_down(&self, is_down: bool) {
        self.way.lock().unwrap().is_down = is_down;
    }

    fn attempts(&self) -> u32 {
        self.way.lock().unwrap().attempts
    }

    /// The server's end of the newest connection.
    fn end(&mut self) -> End {
        self.ends.try_recv().expect("nobody has connected")
    }
}

fn text(text: &str) -> Message {
    text.into()
}

async fn next(client: &mut Client) -> ReconnectEvent {
    within(client.next_event()).await.expect("it goes on").expect("it is not over")
}

async fn connected(client: &mut Client) {
    let event = next(client).await;
    assert!(matches!(event, ReconnectEvent::Connected), "{event:?}");
}

async fn lost(client: &mut Client) -> (Lost, Duration, Vec<Message>) {
    match next(client).await {
        ReconnectEvent::Lost { why, delay, unsent } => (why, delay, unsent),
        other => panic!("{other:?}"),
    }
}

async fn message(client: &mut Client) -> Message {
    match next(client).await {
        ReconnectEvent::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_dies_and_returns() {
    let (mut server, client) = Server::new(1024, Backoff::new());
    let mut client = client.on_connect(|mut ws: End| async move {
        ws.send("subscribe").await?;
        Ok(ws)
    });
    assert!(client.get_ref().is_none());
    connected(&mut client).await;
    let mut end = server.end();
    assert_eq!(within(end.recv()).await.unwrap(), Some(text("subscribe")));
    end.send("price 1").await.unwrap();
    assert_eq!(message(&mut client).await, text("price 1"));
    assert!(client.get_ref().is_some());

    let begin = Instant::now();
    server.set_down(true);
    drop(end);
    let (why, mut due, _) = lost(&mut client).await;
    assert!(matches!(why, Lost::Failed(Error::Disconnected(None))), "{why:?}");
    assert!(due < Duration::from_secs(5), "{due:?}");
    for bound in [10, 20, 40, 60, 60] {
        let (why, delay, _) = lost(&mut client).await;
        assert!(matches!(why, Lost::Failed(Error::Io(_))), "{why:?}");
        assert!(delay < Duration::from_secs(bound), "{delay:?}");
        due += delay;
    }
    server.set_down(false);
    connected(&mut client).await;
    let took = begin.elapsed();
    // each sleep ends with its millisecond
    assert!(took >= due && took <= due + Duration::from_millis(10), "{took:?}, not {due:?}");
    assert_eq!(server.attempts(), 7);
    let mut end = server.end();
    assert_eq!(within(end.recv()).await.unwrap(), Some(text("subscribe")));
}

/// A second later, or a minute: what has lasted begins again with small delays.
#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_up_each_time_is_tried_ever_less() {
    let backoff = Backoff::new().first_delay(Duration::from_secs(1)).max_attempts(8);
    let (mut server, mut client) = Server::new(1024, backoff);
    let begin = Instant::now();
    for _ in 0..8 {
        connected(&mut client).await;
        drop(server.end());
        lost(&mut client).await;
    }
    connected(&mut client).await;
    drop(server.end());
    let error = within(client.next_event()).await.unwrap_err();
    assert!(error.is_disconnect(), "{error:?}");
    assert!(within(client.next_event()).await.unwrap_err().is_disconnect(), "for ever");
    assert!(begin.elapsed() > Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn killed_while_it_sends() {
    let long = text(&"x".repeat(5_000));
    for keeps in [true, false] {
        let (mut server, mut client) = Server::new(64, Backoff::new());
        if keeps {
            client = client.queue(10, 10_000);
        }
        connected(&mut client).await;
        let mut end = server.end();
        // it takes one message whole, and dies in the middle of the next
        let send = async {
            client.send("first").await?;
            client.send(long.clone()).await
        };
        let die = async {
            assert_eq!(within(end.recv()).await.unwrap(), Some(text("first")));
            assert!(within(end.next_chunk()).await.unwrap().is_some());
            drop(end);
        };
        let (sent, ()) = within(async { tokio::join!(send, die) }).await;
        assert_eq!(client.queued(), usize::from(keeps));
        match sent {
            Ok(()) => assert!(keeps),
            Err(error) => assert!(!keeps && error.is_disconnect(), "{error:?}"),
        }
        let (_, _, unsent) = lost(&mut client).await;
        assert_eq!(unsent, []);
        connected(&mut client).await;
        let mut end = server.end();
        let next = async { client.next_event().await.unwrap() };
        let receive = async {
            if keeps {
                assert_eq!(end.recv().await.unwrap(), Some(long.clone()), "once, and whole");
            }
            end.send("all is well").await.unwrap();
            assert!(end.recv().now_or_never().is_none(), "nothing besides");
        };
        let (event, ()) = within(async { tokio::join!(next, receive) }).await;
        assert!(matches!(event, Some(ReconnectEvent::Message(_))), "{event:?}");
        assert_eq!(client.queued(), 0);
    }
}

/// A message whose `send` was dropped is in the client's hands, and comes back from there.
#[tokio::test(start_paused = true)]
async fn a_send_that_was_dropped_is_accounted_for() {
    let long = text(&"x".repeat(5_000));
    for (keeps, dies) in [(false, false), (false, true), (true, false), (true, true)] {
        let (mut server, mut client) = Server::new(64, Backoff::new());
        if keeps {
            client = client.queue(10, 10_000);
        }
        assert_eq!(client.send("no").now_or_never().unwrap().is_ok(), keeps, "no connection yet");
        drop(client.take_unsent());
        connected(&mut client).await;
        assert!(client.send(long.clone()).now_or_never().is_none());
        assert_eq!((client.queued(), client.take_unsent()), (1, vec![]), "it is being written");
        let mut end = server.end();
        if dies {
            drop(end);
            let (_, _, unsent) = lost(&mut client).await;
            match keeps {
                true => assert_eq!((unsent, client.take_unsent()), (vec![], vec![long.clone()])),
                false => assert_eq!((unsent, client.queued()), (vec![long.clone()], 0)),
            }
        } else {
            let send = async { client.send("behind it").await.unwrap() };
            let receive = async {
                for expected in [&long, &text("behind it")] {
                    assert_eq!(end.recv().await.unwrap().as_ref(), Some(expected));
                }
            };
            within(async { tokio::join!(send, receive) }).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_keeps_the_order() {
    let (mut server, client) = Server::new(1 << 16, Backoff::new());
    let mut client = client.queue(3, 100);
    for n in 0..3 {
        within(client.send(format!("message {n}"))).await.unwrap();
    }
    let error = within(client.send("")).await.unwrap_err();
    assert!(matches!(error, Error::Send(SendError::BufferFull { .. })), "{error:?}");
    connected(&mut client).await;
    let mut end = server.end();
    within(client.send("message 3")).await.unwrap();
    assert_eq!(client.queued(), 0);
    for n in 0..4 {
        let received = within(end.recv()).await.unwrap();
        assert_eq!(received, Some(text(&format!("message {n}"))));
    }
    // by bytes
    drop(end);
    lost(&mut client).await;
    let error = within(client.send("x".repeat(101))).await.unwrap_err();
    assert!(matches!(error, Error::Send(SendError::BufferFull { .. })), "{error:?}");
    within(client.send("x".repeat(100))).await.unwrap();
    assert!(within(client.send("y")).await.is_err());
}

/// What the server said before it went is received, also when a message could not be sent any more.
#[tokio::test(start_paused = true)]
async fn last_words_are_heard() {
    for keeps in [true, false] {
        let (mut server, mut client) = Server::new(1 << 16, Backoff::new());
        if keeps {
            client = client.queue(10, 100);
        }
        connected(&mut client).await;
        let mut end = server.end();
        end.send("one").await.unwrap();
        end.send("two").await.unwrap();
        end.start_close(CloseCode::SERVICE_RESTART, "back soon").unwrap();
        end.flush().await.unwrap();
        drop(end);
        let sent = within(client.send("nobody hears this")).await;
        assert_eq!(sent.is_ok(), keeps, "{sent:?}");
        assert_eq!(message(&mut client).await, text("one"));
        assert_eq!(message(&mut client).await, text("two"));
        let (why, ..) = lost(&mut client).await;
        assert_eq!(
            why.to_string(),
            r#"the server closed with 1012 (service restart): "back soon""#
        );
        assert_eq!(client.close_info().unwrap().code, 1012);
        connected(&mut client).await;
        assert!(client.close_info().is_none());
        if keeps {
            let mut end = server.end();
            let receive = async {
                let message = end.recv().await.unwrap();
                end.send("thanks").await.unwrap();
                message
            };
            let (event, received) =
                within(async { tokio::join!(client.next_event(), receive) }).await;
            assert!(matches!(event, Ok(Some(ReconnectEvent::Message(_)))), "{event:?}");
            assert_eq!(received, Some(text("nobody hears this")));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_come_again_ends_it() {
    for (code, is_error) in [(1000, false), (1008, true), (1003, true), (4000, true)] {
        let (mut server, client) = Server::new(1024, Backoff::new());
        let mut client = client.queue(10, 100);
        connected(&mut client).await;
        let mut end = server.end();
        let code = CloseCode::new(code).unwrap();
        let close = async { end.close(code, "no more").await };
        let (event, closed) = within(async { tokio::join!(client.next_event(), close) }).await;
        closed.unwrap();
        match event {
            Ok(None) => assert!(!is_error, "{code}"),
            Err(Error::Closed(other)) => assert_eq!((other, is_error), (code, true)),
            other => panic!("{other:?}"),
        }
        assert_eq!(client.close_info().unwrap().reason, "no more");
        assert_eq!(within(client.next_event()).await.is_err(), is_error, "for ever");
        let error = within(client.send("too late")).await.unwrap_err();
        assert!(matches!(error, Error::Send(SendError::NotOpen)), "{error:?}");
        within(client.close(CloseCode::NORMAL, "")).await.unwrap();
        assert_eq!(server.attempts(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn closing() {
    // with a connection: behind what is queued
    let (mut server, client) = Server::new(1024, Backoff::new());
    let mut client = client.queue(10, 100);
    within(client.send("first")).await.unwrap();
    connected(&mut client).await;
    let mut end = server.end();
    let long = "x".repeat(124);
    let error = within(client.close(CloseCode::NORMAL, &long)).await.unwrap_err();
    assert!(matches!(error, Error::Send(SendError::ReasonTooLong { len: 124 })), "{error:?}");
    let receive = async {
        assert_eq!(end.recv().await.unwrap(), Some(text("first")));
        assert_eq!(end.recv().await.unwrap(), None);
    };
    let close = client.close(CloseCode::NORMAL, "bye");
    let (closed, ()) = within(async { tokio::join!(close, receive) }).await;
    closed.unwrap();
    assert!(within(client.next_event()).await.unwrap().is_none());

    // without one: no attempt is made any more, and nothing is lost
    let (server, client) = Server::new(1024, Backoff::new());
    let mut client = client.queue(10, 100);
    server.set_down(true);
    lost(&mut client).await;
    within(client.send("unsent")).await.unwrap();
    within(client.close(CloseCode::NORMAL, "")).await.unwrap();
    assert!(within(client.next_event()).await.unwrap().is_none());
    assert_eq!(client.take_unsent(), [text("unsent")]);
    assert_eq!((client.queued(), server.attempts()), (0, 1));
}

/// A `close` that was dropped leaves nothing that connects again.
#[tokio::test(start_paused = true)]
async fn a_close_that_was_dropped() {
    let (mut server, mut client) = Server::new(1024, Backoff::new());
    connected(&mut client).await;
    let end = server.end();
    assert!(client.close(CloseCode::GOING_AWAY, "").now_or_never().is_none());
    drop(end);
    assert!(within(client.next_event()).await.unwrap().is_none());
    assert_eq!(server.attempts(), 1);
}

/// However often it is dropped, `next_event` goes on where it was.
#[tokio::test(start_paused = true)]
async fn next_event_may_be_dropped_at_any_time() {
    let (mut server, client) = Server::new(1024, Backoff::new());
    let mut client = client.on_connect(|ws: End| async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(ws)
    });
    let mut log = String::new();
    let mut end = None;
    for _ in 0..2_000 {
        let patience = Duration::from_millis(20);
        match tokio::time::timeout(patience, client.next_event()).await {
            Err(_) => {}
            Ok(event) => match event.unwrap().unwrap() {
                ReconnectEvent::Connected => {
                    log.push('C');
                    let mut new = server.end();
                    new.send("hello").await.unwrap();
                    end = Some(new);
                }
                ReconnectEvent::Message(_) => {
                    log.push('M');
                    end = None;
                }
                ReconnectEvent::Lost { .. } => log.push('L'),
                other => panic!("{other:?}"),
            },
        }
        if log.len() == 9 {
            break;
        }
    }
    drop(end);
    assert_eq!((log.as_str(), server.attempts()), ("CMLCMLCML", 3));
}

/// A subscription that fails is a connection that failed; one that is refused is the end.
#[tokio::test(start_paused = true)]
async fn a_hook_may_fail() {
    let (mut server, client) = Server::new(1024, Backoff::new());
    let mut client = client.on_connect(|mut ws: End| async move {
        match ws.recv().await? {
            Some(message) if message.as_text() == Some("welcome") => Ok(ws),
            Some(_) => Err(Error::UnexpectedText),
            None => Err(Error::Disconnected(None)),
        }
    });
    assert!(client.next_event().now_or_never().is_none(), "it waits for an answer");
    drop(server.end());
    lost(&mut client).await;
    let mut end = attempt(&mut server, &mut client).await;
    end.send("welcome").await.unwrap();
    connected(&mut client).await;
    end.send("news").await.unwrap();
    assert_eq!(message(&mut client).await, text("news"));

    drop(end);
    lost(&mut client).await;
    let mut end = attempt(&mut server, &mut client).await;
    end.send("go away").await.unwrap();
    let error = within(client.next_event()).await.unwrap_err();
    assert!(matches!(error, Error::UnexpectedText), "{error:?}");
}

/// Goes on until the next attempt reaches the server.
async fn attempt(server: &mut Server, client: &mut Client) -> End {
    loop {
        let step = tokio::time::timeout(Duration::from_millis(100), client.next_event()).await;
        assert!(step.is_err(), "{step:?}");
        if let Ok(end) = server.ends.try_recv() {
            return end;
        }
    }
}

/// Over TCP, by a `Connector`: a server that hangs up within the handshake, refuses by status, and
/// serves in the end.
#[tokio::test]
async fn over_a_network() {
    let (listener, url) = listen().await;
    let backoff = Backoff::new().first_delay(Duration::from_millis(20));
    let mut client = Reconnecting::new(Connector::new(&url).unwrap(), backoff).queue(10, 100);
    client.send("hello").await.unwrap();
    let server = tokio::spawn(async move {
        drop(listener.accept().await.unwrap());
        let (stream, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
        let mut stream = stream;
        tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096]).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            let mut ws = accept(stream).await.unwrap();
            let message = ws.recv().await.unwrap().unwrap();
            ws.send(message).await.unwrap();
        }
    });
    let mut seen = Vec::new();
    while seen.iter().filter(|&what| what == "hello").count() < 2 {
        match within(client.next_event()).await.unwrap().unwrap() {
            ReconnectEvent::Connected => {
                if seen.iter().any(|what| what == "connected") {
                    within(client.send("hello")).await.unwrap();
                }
                seen.push("connected".to_string());
            }
            ReconnectEvent::Message(message) => {
                seen.push(message.as_text().unwrap().to_string());
            }
            ReconnectEvent::Lost { why: Lost::Failed(Error::Refused(_)), delay, .. } => {
                assert!(delay >= Duration::from_secs(1), "{delay:?}");
                seen.push("refused".to_string());
            }
            ReconnectEvent::Lost { why: Lost::Failed(error), .. } => {
                let is_reset = matches!(error, Error::Io(_)); // within the handshake
                assert!(is_reset || error.is_disconnect(), "{error:?}");
                seen.push("lost".to_string());
            }
            other => panic!("{other:?}"),
        }
    }
    within(server).await.unwrap();
    assert_eq!(
        seen,
        ["lost", "refused", "connected", "hello", "lost", "connected", "hello"],
        "in this order"
    );
}

/// It may go to another task.
#[test]
fn it_is_send() {
    fn is_send<T: Send>(_: &T) {}
    let connector = Connector::new("ws://localhost").unwrap();
    let mut client = Reconnecting::new(connector, Backoff::new());
    is_send(&client);
    is_send(&client.next_event());
    is_send(&client.send("hello"));
    is_send(&client.close(CloseCode::NORMAL, ""));
}
