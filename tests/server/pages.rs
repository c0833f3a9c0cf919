//! Plain HTTP on the port of the WebSockets.

use sansws::server::{Response, ServerError, handler_fn};

use crate::support::{bind, start, within};
use sansws_test::wire;

#[tokio::test]
async fn pages_share_the_port() {
    let server = bind()
        .await
        .route("/chat/{room}", handler_fn())
        .route("/both", handler_fn())
        .page("/", Response::html("<h1>Hello</h1>"))
        .page("/both", Response::text("a page, too").status(203).header("X-Mine", "yes"))
        .page("/files/{*path}", Response::new("image/svg+xml", "<svg/>"));
    let server = start(server);

    let answer = server.get("/?query").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n<h1>Hello</h1>"), "{answer}");
    assert_eq!(wire::header(&answer, "content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(wire::header(&answer, "content-length"), Some("14"));
    assert_eq!(wire::header(&answer, "x-content-type-options"), Some("nosniff"));

    let answer = server.get("/both").await;
    assert!(answer.starts_with("HTTP/1.1 203 "), "{answer}");
    assert_eq!(wire::header(&answer, "x-mine"), Some("yes"));
    server.connect("/both").await;
    assert!(server.get("/files/a/b.svg").await.ends_with("<svg/>"));

    let head = server.http("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    let post = server.http("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
    assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
    assert_eq!(wire::header(&post, "allow"), Some("GET, HEAD"));

    let nowhere = server.get("/nowhere").await;
    assert!(nowhere.starts_with("HTTP/1.1 404 "), "{nowhere}");
    let chat = server.get("/chat/lobby").await;
    assert!(chat.starts_with("HTTP/1.1 426 "), "{chat}");
    assert!(chat.contains("This is a WebSocket endpoint"), "{chat}");
    assert_eq!(wire::header(&chat, "upgrade"), Some("websocket"));
    server.stop().await;
}

/// The answer that whoever set up the proxy needs.
#[tokio::test]
async fn a_proxy_that_removed_upgrade_is_told_how_not_to() {
    let server = start(bind().await.route("/chat", handler_fn()));
    let request = wire::REQUEST.replacen("Upgrade: websocket\r\n", "", 1);
    let answer =
        server.http(&request.replacen("Connection: Upgrade", "Connection: close", 1)).await;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        body,
        "426 Upgrade Required: this is a WebSocket handshake without its Upgrade header, which a \
         reverse proxy in front has removed. For nginx, write into the location:\n\n\
         proxy_http_version 1.1;\n\
         proxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection $connection_upgrade;\n\nand beside the servers:\n\n\
         map $http_upgrade $connection_upgrade { default upgrade; '' close; }\n"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_fallback_answers_the_rest() {
    let fallback = |request: &sansws::server::Request<'_>| match request.path() {
        "/health" => Response::text("ok\n"),
        "/panic" => panic!("the fallback panics, as the test wants"),
        "/wrong" => Response::text("").header("Connection", "keep-alive"),
        path => Response::text(format!("{} {path}\n", request.http().method())).status(418),
    };
    let server = start(bind().await.route("/chat", handler_fn()).fallback(fallback));
    assert!(server.get("/health").await.ends_with("\r\n\r\nok\n"));
    assert!(server.get("/wrong").await.starts_with("HTTP/1.1 500 "));
    assert!(server.get("/panic").await.starts_with("HTTP/1.1 500 "));
    let answer = server.http("DELETE /x HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 418") && answer.ends_with("DELETE /x\n"), "{answer}");
    assert!(server.get("/chat").await.starts_with("HTTP/1.1 426 "));
    server.stop().await;
}

#[tokio::test]
async fn pages_that_cannot_be_sent_are_found_at_once() {
    let page = Response::text("x").header("Content-Length", "7");
    assert!(page.check().is_err());
    let error = within(bind().await.page("/", page).run()).await.unwrap_err();
    assert!(matches!(error, ServerError::Page { .. }), "{error:?}");
    assert!(error.to_string().starts_with("the page at \"/\": header \"Content-Length\""));
    assert!(Response::empty(600).check().is_err());
}

/// What load balancers send to find out whether a server is well.
#[tokio::test]
async fn http_1_0() {
    let server = bind().await.route("/chat", handler_fn()).page("/", Response::text("a page\n"));
    let server = start(server.health("/health"));
    let _ws = server.connect("/chat").await; // it runs
    for (line, status) in [
        ("GET /", 200),
        ("GET /health", 200),
        ("HEAD /health", 200),
        ("OPTIONS /health", 405),
        ("GET /nowhere", 404),
        ("GET /chat", 505),
    ] {
        let answer = server.http(&format!("{line} HTTP/1.0\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
    }
    server.stop().await;
}
