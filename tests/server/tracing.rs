//! The span of a connection and the events of the log, as a subscriber of `tracing` sees them.

use std::fmt;
use std::sync::{Arc, Mutex};

use ::tracing::field::{Field, Visit};
use ::tracing::span::{Attributes, Id, Record};
use ::tracing::subscriber::set_default;
use ::tracing::{Event, Metadata, Subscriber};
use sansws::CloseCode;
use sansws::server::handler_fn;
use sansws_test::process::alone;
use tokio::io::AsyncWriteExt;

use crate::support::{bind, closed, start, text, until, within};

/// A subscriber that keeps what it is told, one line each: `span ID: …`,
/// `event in ID: LEVEL …`, `close ID`.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lines: Vec<String>,
    spans: u64,
    /// The spans that the one thread is in.
    entered: Vec<u64>,
}

impl Lines {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().lines.clone()
    }

    fn has(&self, line: &str) -> bool {
        self.lines().iter().any(|it| it == line)
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("sansws") || metadata.target() == "test"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields(String::new());
        span.record(&mut fields);
        let mut state = self.0.lock().unwrap();
        state.spans += 1;
        let (id, name) = (state.spans, span.metadata().name());
        state.lines.push(format!("span {id}: {name}{}", fields.0));
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        let mut state = self.0.lock().unwrap();
        let span = state.entered.last().copied().unwrap_or(0);
        state.lines.push(format!("event in {span}: {}{}", event.metadata().level(), fields.0));
    }

    fn enter(&self, span: &Id) {
        let mut state = self.0.lock().unwrap();
        state.entered.push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.0.lock().unwrap().entered.pop(), Some(span.into_u64()));
    }

    fn try_close(&self, span: Id) -> bool {
        self.0.lock().unwrap().lines.push(format!("close {}", span.into_u64()));
        true
    }
}

/// Which places in the program speak at all is decided for all of its threads: a test that comes by
/// first, without a subscriber, may silence one for good.
fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn a_span_for_each_connection() {
    alone("tracing::a_span_for_each_connection", || run(a_span_for_each_connection_alone()));
}

async fn a_span_for_each_connection_alone() {
    let lines = Lines::default();
    let _guard = set_default(lines.clone());
    let handler = handler_fn()
        .on_open(|_| ::tracing::info!(target: "test", "opened"))
        .on_message(|client, message| {
            if message.as_text() == Some("panic") {
                panic!("as it was told to");
            }
            client.send(message)
        })
        .on_close(|_, _| ::tracing::info!(target: "test", "over"));
    let server = start(bind().await.route("/chat/{room}", handler));
    let mut ws = server.connect("/chat/a?token=secret").await;
    until(|| lines.has("event in 1: INFO message=opened")).await;
    let client = server.hub.all().clients().remove(0);
    let (id, peer) = (client.id(), client.info().peer_addr());
    // neither the query nor a header: they may hold what logs should not
    let span = format!("span 1: connection id={id} path=\"/chat/a\" peer={peer}");
    assert_eq!(lines.lines(), [span, "event in 1: INFO message=opened".into()]);
    for _ in 0..100 {
        within(ws.send("hello")).await.unwrap();
        text(&mut ws).await;
    }
    assert_eq!(lines.lines().len(), 2, "nothing for a message: {:#?}", lines.lines());
    drop(client);

    let mut other = server.connect("/chat/b").await;
    within(other.send("panic")).await.unwrap();
    assert_eq!(closed(&mut other).await.0, 1011);
    within(ws.close(CloseCode::NORMAL, "")).await.unwrap();
    until(|| ["close 1", "close 2"].iter().all(|line| lines.has(line))).await;
    let all = lines.lines();
    assert!(all.iter().any(|it| it.starts_with("event in 2: ERROR ") && it.contains("panicked")));
    for line in
        ["event in 1: DEBUG message=closed code=1000", "event in 2: DEBUG message=closed code=1011"]
    {
        assert!(lines.has(line), "{line}: {all:#?}");
    }
    for line in ["event in 1: INFO message=over", "event in 2: INFO message=over"] {
        assert!(lines.has(line), "{line}: {all:#?}");
    }
    server.stop().await;
}

#[test]
fn the_log_as_events() {
    alone("tracing::the_log_as_events", || run(the_log_as_events_alone()));
}

async fn the_log_as_events_alone() {
    let lines = Lines::default();
    let _guard = set_default(lines.clone());
    let server = start(bind().await.route("/", handler_fn()));
    assert_eq!(server.refused(&server.request("/nowhere")).await.0, 404);
    let mut scanner = tokio::net::TcpStream::connect(server.addr).await.unwrap();
    let peer = scanner.local_addr().unwrap();
    scanner.write_all(b"no HTTP\r\n\r\n").await.unwrap();
    until(|| server.hub.stats().bad_requests == 1).await;
    let all = lines.lines();
    let [refused, bad] = &all[..] else { panic!("{all:#?}") };
    assert!(refused.starts_with("event in 0: INFO "), "{refused}");
    assert!(refused.contains(" path=\"/nowhere\" status=404"), "{refused}");
    assert!(bad.starts_with("event in 0: DEBUG "), "{bad}");
    assert!(bad.contains(&format!(" peer={peer}")), "{bad}");
    server.stop().await;
}
