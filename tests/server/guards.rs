//! Functions in front of a handler: who is it, may there be one more, and then the handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sansws::proto::MessageRef;
use sansws::server::{Accept, Client, Guard, Handler, Received, Request, Response};
use sansws::server::{guard, handler_fn};

use crate::support::{Log, bind, closed, start, text, until, within};

struct User(String);

fn logged_in(request: &Request<'_>) -> Result<Accept, Response> {
    let name = request.query().ok_or_else(|| Response::text("log in").status(401))?;
    assert!(request.state::<User>().is_none());
    let accept = Accept::new().client_state(User(name.to_owned()));
    Ok(accept.header("X-User", name).subprotocol("first"))
}

/// So many at a time; it waits before it knows.
#[derive(Clone)]
struct Quota(Arc<AtomicUsize>);

struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Guard for Quota {
    async fn check(&self, request: &Request<'_>) -> Result<Accept, Response> {
        let User(name) = request.state().expect("it has been asked who that is");
        tokio::task::yield_now().await;
        let one_less = |free: usize| free.checked_sub(1);
        let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
        let taken = self.0.fetch_update(set, fetch, one_less);
        taken.map_err(|_| Response::text(format!("no place for {name}")).status(429))?;
        Ok(Accept::new().client_state(Place(Arc::clone(&self.0))))
    }
}

/// Refuses one of those that have a place, and does not see what it keeps itself.
struct Chat(Log);

impl Handler for Chat {
    async fn on_request(&self, request: &Request<'_>) -> Result<Accept, Response> {
        let User(name) = request.state().unwrap();
        assert!(request.state::<Place>().is_some() && request.state::<u8>().is_none());
        match &**name {
            "eve" => Err(Response::text("not you").status(403)),
            _ => Ok(Accept::new().client_state(7_u8).header("X-Last", "yes")),
        }
    }

    async fn on_open(&self, client: &Client) {
        let (User(name), number) = (client.state().unwrap(), client.state::<u8>().unwrap());
        let _ = client.send(format!("{name} {number}"));
    }

    async fn on_message(&self, client: &Client, message: Received<'_>) {
        let _ = client.send(message);
    }

    async fn on_ping(&self, _: &Client, payload: &[u8]) {
        self.0.add(format!("ping {}", payload.len()));
    }

    async fn on_pong(&self, _: &Client, payload: &[u8]) {
        self.0.add(format!("pong {}", payload.len()));
    }

    async fn on_close(&self, client: &Client, info: &sansws::proto::CloseInfo<'_>) {
        self.0.add(format!("{} {}", client.state::<User>().unwrap().0, info.code));
    }
}

#[tokio::test]
async fn one_after_the_other() {
    let free = Arc::new(AtomicUsize::new(2));
    let log = Log::default();
    let chat = guard(logged_in, guard(Quota(Arc::clone(&free)), Chat(log.clone())));
    let server = start(bind().await.route("/", chat));

    let refused = |query: &str| server.request(&format!("/{query}"));
    assert_eq!(server.refused(&refused("")).await, (401, "log in".into()));
    assert_eq!(server.refused(&refused("?eve")).await, (403, "not you".into()));
    assert_eq!(free.load(Ordering::SeqCst), 2, "she gave her place back");

    let with_subprotocol = server.request("/?ann").subprotocol("first");
    let mut ann = server.try_connect(&with_subprotocol).await.unwrap();
    assert_eq!(ann.subprotocol(), Some("first"));
    assert_eq!(text(&mut ann).await, "ann 7");
    let ask = sansws_test::wire::REQUEST.replacen("/chat", "/?bob", 1);
    let ask = ask.replacen("\r\n\r\n", "\r\nSec-WebSocket-Protocol: first\r\n\r\n", 1);
    let mut bob = tokio::net::TcpStream::connect(server.addr).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut bob, ask.as_bytes()).await.unwrap();
    let head = crate::support::read_head(&mut bob).await.to_lowercase();
    assert!(head.contains("x-user: bob\r\n") && head.contains("x-last: yes\r\n"), "{head}");
    let carol = refused("?carol");
    assert_eq!(server.refused(&carol).await, (429, "no place for carol".into()));

    // the events are those of the handler
    ann.send(MessageRef::ping(&[0; 3])).await.unwrap();
    ann.send("hello").await.unwrap();
    assert_eq!(text(&mut ann).await, "hello");
    ann.send(MessageRef::pong(&[0; 4])).await.unwrap();
    ann.close(sansws::CloseCode::NORMAL, "").await.unwrap();
    assert_eq!(closed(&mut ann).await.0, 1000);
    until(|| free.load(Ordering::SeqCst) == 1).await;
    assert_eq!(log.lines(), ["ping 3", "pong 4", "ann 1000"]);
    drop(bob);
    until(|| free.load(Ordering::SeqCst) == 2).await;
    within(server.stop()).await;
}

/// Later functions change what earlier ones have chosen, and only that.
#[tokio::test]
async fn what_is_accepted_with_adds_up() {
    let first = |_: &Request<'_>| {
        Ok(Accept::new().subprotocol("a").client_state(1_u8).client_state("kept"))
    };
    let handler = handler_fn()
        .on_request(|request| {
            assert_eq!(request.state(), Some(&1_u8));
            Ok(Accept::new().subprotocol("b").client_state(2_u8))
        })
        .on_open(|client| {
            let (number, word) = (client.state::<u8>().unwrap(), client.state::<&str>().unwrap());
            client.send(format!("{number} {word}"))
        });
    let server = start(bind().await.route("/", guard(first, handler)));
    let request = server.request("/").subprotocol("a").subprotocol("b");
    let mut ws = server.try_connect(&request).await.unwrap();
    assert_eq!(ws.subprotocol(), Some("b"));
    assert_eq!(text(&mut ws).await, "2 kept");
    server.stop().await;
}

/// A panic is one of the handler's as far as others can tell.
#[tokio::test]
async fn a_guard_that_panics() {
    let broken = |request: &Request<'_>| match request.query() {
        Some("panic") => panic!("as the test wants it"),
        _ => Ok(Accept::new()),
    };
    let server = start(bind().await.route("/", guard(broken, handler_fn())));
    assert_eq!(server.refused(&server.request("/?panic")).await.0, 500);
    assert_eq!(server.hub.stats().panics, 1);
    drop(server.connect("/").await);
    server.stop().await;
}
