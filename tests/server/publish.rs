//! Requests of plain HTTP with a body, and their handlers.

use std::future::pending;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use sansws::Config;
use sansws::server::{HttpRequest, Response, Server, ServerError, handler_fn};
use sansws_test::process::skip;
use sansws_test::wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;

use crate::support::{bind, start, text, until, within};

/// A server that publishes what is posted, and shows it.
async fn publisher() -> Server {
    let publish = |request: HttpRequest| async move {
        match (request.method(), request.param("room"), request.text()) {
            ("POST" | "PUT", Some(room), Some(text)) => {
                let to = request.hub().room(room).send(text).unwrap();
                Response::text(format!("{to}: {text}"))
            }
            ("POST", _, _) => Response::empty(400),
            _ => Response::empty(405).header("Allow", "POST, PUT"),
        }
    };
    bind()
        .await
        .route("/ws", handler_fn().on_open(|client| client.join("lobby")))
        .http("/publish/{room}", publish)
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n{body}")
}

#[tokio::test]
async fn bodies_reach_the_handler_and_the_clients() {
    let server = start(publisher().await);
    let mut ws = server.connect("/ws").await;
    until(|| server.hub.room("lobby").len() == 1).await;
    for (headers, body, published) in [
        ("Content-Length: 5\r\n", "hello", "hello"),
        ("Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nA: b\r\n\r\n", "hello"),
        ("", "", ""),
        ("Content-Length: 2\r\n", "hi and another request", "hi"),
    ] {
        let answer = server.http(&post("/publish/lobby", headers, body)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n1: {published}")), "{answer}");
        assert_eq!(wire::header(&answer, "connection"), Some("close"));
        assert_eq!(text(&mut ws).await, published);
    }
    let answer = server.http(&post("/publish/a%2Fb", "Content-Length: 1\r\n", "\u{7f}")).await;
    assert!(answer.ends_with("0: \u{7f}"), "{answer}");
    let head = server.http("HEAD /publish/lobby HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
    assert_eq!(wire::header(&head, "allow"), Some("POST, PUT"));
    server.stop().await;
}

/// The body waits until it is asked for, as curl does with large ones.
#[tokio::test]
async fn a_client_that_expects_to_be_asked() {
    let server = start(publisher().await);
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let head = post("/publish/x", "Expect: 100-continue\r\nContent-Length: 2\r\n", "");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    within(stream.read_exact(&mut go_on)).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hi").await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("0: hi"), "{answer}");
    // what is too long is not asked for
    let head = post("/publish/x", "Expect: 100-continue\r\nContent-Length: 99999999\r\n", "");
    let answer = server.http(&head).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn bodies_that_are_refused() {
    let server = start(publisher().await.max_body_len(10));
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (headers, body, status) in [
        ("Content-Length: 10\r\n", "0123456789", 200),
        ("Content-Length: 11\r\n", "01234567890", 413),
        (chunked, "b\r\n01234567890\r\n0\r\n\r\n", 413),
        (chunked, "5\r\nhello\r\n6\r\n", 413),
        (chunked, "5\nhello\r\n0\r\n\r\n", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello", 400),
        ("Content-Length: -5\r\n", "hello", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", 501),
        ("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n", 400),
        ("Content-Length: 2\r\n", "\u{e9}", 200),
        ("Origin: http://evil.example\r\nContent-Length: 1\r\n", "x", 403),
        ("Origin: null\r\nContent-Length: 1\r\n", "x", 403),
    ] {
        let answer = server.http(&post("/publish/x", headers, body)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers} {body}: {answer}");
    }
    // HTTP/1.0 has no chunks
    let answer =
        server.http("POST /publish/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert!(answer.await.starts_with("HTTP/1.1 400 "));
    server.stop().await;
}

/// Each kind of request has its answer at the other's place.
#[tokio::test]
async fn what_is_documented_for_other_paths_holds() {
    let server = publisher().await.page("/page", Response::text("a page"));
    let server = start(server.http("/ws", |_| async { Response::text("both") }).health("/health"));
    let upgrade = server.refused(&server.request("/publish/x")).await;
    assert_eq!(upgrade.0, 404, "{}", upgrade.1);
    let answer = server.http(&post("/page", "Content-Length: 1\r\n", "x")).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert_eq!(wire::header(&answer, "allow"), Some("GET, HEAD"));
    let answer = server.http(&post("/nowhere", "Content-Length: 1\r\n", "x")).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    // a path may have both
    assert!(server.get("/ws").await.ends_with("\r\n\r\nboth"));
    server.connect("/ws").await;
    server.stop().await;

    let twice = publisher().await.http("/publish/{other}", |_| async { Response::empty(200) });
    let error = within(twice.run()).await.unwrap_err();
    assert!(matches!(error, ServerError::Path(_)), "{error:?}");
    let server = start(bind().await.route("/ws", handler_fn()));
    assert!(server.get("/ws").await.starts_with("HTTP/1.1 426 "));
    server.stop().await;
}

#[tokio::test]
async fn handlers_that_fail() {
    let server = bind()
        .await
        .http("/panic", |_| async { panic!("the handler panics, as the test wants") })
        .http("/panic/{at}", |request| {
            assert_ne!(request.param("at"), Some("once"), "the closure panics, as the test wants");
            async { Response::empty(204) }
        })
        .http("/wrong", |_| async { Response::text("").header("Content-Length", "7") });
    let server = start(server);
    for (path, status) in
        [("/panic", 500), ("/panic/once", 500), ("/panic/x", 204), ("/wrong", 500)]
    {
        let answer = server.http(&post(path, "Content-Length: 0\r\n", "")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    assert_eq!(server.hub.stats().panics, 2);
    server.stop().await;
}

/// Neither a client that sends slowly nor a handler that never answers keeps its place.
#[tokio::test]
async fn everything_has_an_end() {
    let short = Config::new().handshake_timeout(Duration::from_millis(200));
    let server = publisher().await.http("/never", |_| pending()).config(short);
    let server = start(server);
    for (path, length, body, status) in
        [("/publish/x", 5, "hell", 408), ("/never", 5, "hello", 503), ("/never", 0, "", 503)]
    {
        let headers = format!("Content-Length: {length}\r\n");
        let answer = server.http(&post(path, &headers, body)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    // one that leaves in the middle is told about, and is no panic
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(post("/never", "Content-Length: 5\r\n", "he").as_bytes()).await.unwrap();
    let before = server.hub.stats().bad_requests;
    drop(stream);
    until(|| server.hub.stats().bad_requests == before + 1).await;
    server.stop().await;
}

/// A body that never comes is a pending request, and gives way to others.
#[tokio::test]
async fn bodies_on_the_way_are_pending() {
    let server = start(publisher().await.max_pending(1));
    let mut slow = TcpStream::connect(server.addr).await.unwrap();
    slow.write_all(post("/publish/x", "Content-Length: 5\r\n", "").as_bytes()).await.unwrap();
    let answer = server.http(&post("/publish/x", "Content-Length: 1\r\n", "x")).await;
    assert!(answer.ends_with("0: x"), "{answer}");
    assert_eq!(server.hub.stats().gave_way, 1);
    server.stop().await;
}

/// Other programs publish: curl, and python's own client, in both framings.
#[tokio::test]
async fn other_programs_publish() {
    let server = start(publisher().await);
    let mut ws = server.connect("/ws").await;
    until(|| server.hub.room("lobby").len() == 1).await;
    let large = "x".repeat(60_000); // curl asks before it sends that much
    let python = "import http.client as h, sys\n\
        c = h.HTTPConnection(sys.argv[1], timeout=10)\n\
        c.request('POST', '/publish/lobby', iter([b'in ', b'pieces']), encode_chunked=True,\n\
                  headers={'Transfer-Encoding': 'chunked'})\n\
        print(c.getresponse().read().decode(), end='')\n";
    let url = format!("http://{}/publish/lobby", server.addr);
    let chunked = "Transfer-Encoding: chunked";
    for (program, arguments, input, published) in [
        ("curl", vec!["-m", "10", "-sd", "hello", &*url], "", "hello"),
        ("curl", vec!["-m", "10", "-sT", "-", "-H", chunked, &*url], "piped", "piped"),
        (
            "curl",
            vec!["-m", "10", "-sd", "@-", "-H", "Expect: 100-continue", &*url],
            &*large,
            &*large,
        ),
        ("python3", vec!["-c", python, url.split('/').nth(2).unwrap()], "", "in pieces"),
    ] {
        let Some(answer) = run(program, &arguments, input).await else { continue };
        assert_eq!(answer, format!("1: {published}"), "{program}");
        assert_eq!(text(&mut ws).await, published);
    }
    server.stop().await;
}

/// What a program prints; `None` after a word about it if it is not there.
async fn run(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        skip("other_programs_publish", &format!("{program} does not start; install it"));
        return None;
    };
    let input = input.to_owned();
    let output = spawn_blocking(move || {
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output()
    });
    let output = within(output).await.unwrap().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}
