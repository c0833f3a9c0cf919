//! The texts that people see first when something is wrong, word for word.

use std::io::{Read, Write};
use std::thread;

use sansws::client::{Connector, Proxy};
use sansws::handshake::client::{Request, UrlError};
use sansws::handshake::{HandshakeError, UsageError};

use sansws::{Error, ProtocolError, blocking};

use super::support::{BOTH, head, serve};

/// The texts of both adapters for this answer, which are the same.
async fn answered(answer: &'static [u8]) -> String {
    let addr = serve(move |mut stream| {
        head(&mut stream);
        stream.write_all(answer).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let connector = Connector::new(&format!("ws://{addr}/")).unwrap();
    let mut texts = Vec::new();
    for adapter in BOTH {
        texts.push(adapter.fails(&connector).await.to_string());
    }
    assert_eq!(texts[0], texts[1]);
    texts.remove(0)
}

#[tokio::test]
async fn http_answers() {
    for (answer, text) in [
        (
            &b"HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\nno such page"[..],
            "server answered 404 Not Found instead of 101 Switching Protocols: no such page",
        ),
        (
            b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://example.com/\r\n\
              Content-Length: 0\r\n\r\n",
            "server answered 301 Moved Permanently instead of 101 Switching Protocols \
             (Location: https://example.com/)",
        ),
        (
            b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
              Content-Length: 0\r\n\r\n",
            "server answered 401 Unauthorized instead of 101 Switching Protocols \
             (WWW-Authenticate: Basic realm=\"x\")",
        ),
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\
              Content-Length: 0\r\n\r\n",
            "server answered 407 Proxy Authentication Required instead of 101 Switching Protocols \
             (Proxy-Authenticate: Basic)",
        ),
        (
            b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8\r\n\
              Content-Length: 0\r\n\r\n",
            "server answered 426 Upgrade Required instead of 101 Switching Protocols \
             (Sec-WebSocket-Version: 8)",
        ),
        (
            b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n",
            "server answered 429 Too Many Requests instead of 101 Switching Protocols \
             (Retry-After: 30)",
        ),
        (
            b"HTTP/1.1 503 Busy\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n",
            "server answered 503 Busy instead of 101 Switching Protocols (Retry-After: 30)",
        ),
    ] {
        assert_eq!(answered(answer).await, text);
    }
    // the first 200 bytes of a page
    let page: &[u8] = b"HTTP/1.1 500 Oh no\r\nContent-Length: 300\r\n\r\n";
    let page = [page, &[b'x'; 300]].concat().leak();
    assert_eq!(
        answered(page).await,
        format!(
            "server answered 500 Oh no instead of 101 Switching Protocols: {}",
            "x".repeat(200)
        )
    );
}

#[tokio::test]
async fn answers_that_are_not_http() {
    for (answer, text) in [
        (
            &b"\x15\x03\x01\x00\x02\x02\x46"[..],
            "the answer is TLS, not HTTP: the port is one for `wss://` (RFC 9112 §4)",
        ),
        (
            b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0d\0\0\0\x04\x08\0\0\0\0",
            "the answer is HTTP/2, and a WebSocket is opened by HTTP/1.1: turn that on for this \
             port, or take another one (RFC 9113 §3.4)",
        ),
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 80\r\n",
            "the answer begins with a head of the PROXY protocol: a load balancer sends it to a \
             server that does not expect it; turn it off there (haproxy: `send-proxy`), or on in \
             the server (RFC 9112 §4)",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the first line is not HTTP/1.1 (RFC 9112 §3)"),
        (b"", "the connection ended before the handshake was complete (RFC 9112 §8)"),
    ] {
        assert_eq!(answered(answer).await, text);
    }
}

#[cfg(not(feature = "rustls-no-provider"))]
#[tokio::test]
async fn tls_without_the_feature() {
    let connector = Connector::new("wss://127.0.0.1:1/").unwrap();
    for adapter in BOTH {
        assert_eq!(
            adapter.fails(&connector).await.to_string(),
            "`wss://` needs TLS: enable feature `rustls` of sansws (cargo add sansws -F rustls)"
        );
    }
}

/// What a server of ours answers to a request that is not a handshake, and says about it itself.
fn asked(request: &[u8]) -> (String, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = thread::spawn(move || blocking::accept(listener.accept().unwrap().0).unwrap_err());
    let mut stream = std::net::TcpStream::connect(addr).unwrap();
    stream.write_all(request).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    (String::from_utf8(answer).unwrap(), server.join().unwrap().to_string())
}

#[test]
fn requests_that_are_no_handshakes() {
    let (answer, _) = asked(b"GET /chat HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{answer}");
    assert!(answer.contains("\r\nUpgrade: websocket\r\n"), "{answer}");
    assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{answer}");
    assert!(
        answer.ends_with(
            "This is a WebSocket endpoint. Open it with a WebSocket client; in a browser, with \
             `new WebSocket(...)`.\n"
        ),
        "{answer}"
    );

    let removed = "the Upgrade header is missing although this is a WebSocket handshake: a reverse \
                   proxy in front removed it; nginx needs `proxy_http_version 1.1`, \
                   `proxy_set_header Upgrade $http_upgrade`, `proxy_set_header Connection \
                   $connection_upgrade` (RFC 6455 §4.2.1)";
    for version in ["1.0", "1.1"] {
        let head = format!(
            "GET /chat HTTP/{version}\r\nHost: h\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let (answer, error) = asked(head.as_bytes());
        assert_eq!(error, removed);
        assert!(answer.contains(removed), "{answer}");
    }

    let (_, error) = asked(b"\x16\x03\x01\x02\x00\x01\x00");
    assert_eq!(error, "TLS bytes on a plain `ws://` port (RFC 9112 §3)");
}

#[test]
fn rules_and_limits() {
    for (error, text) in [
        (
            Error::from(ProtocolError::MessageTooBig { announced: 17_825_792, limit: 16_777_216 }),
            "message of 17825792 bytes is over max_message_len 16777216; raise \
             Config::max_message_len (RFC 6455 §10.4)",
        ),
        (ProtocolError::UnmaskedFrame.into(), "frame from client is not masked (RFC 6455 §5.1)"),
        (ProtocolError::MaskedFrame.into(), "frame from server is masked (RFC 6455 §5.1)"),
        (ProtocolError::InvalidUtf8.into(), "text message is not valid UTF-8 (RFC 6455 §8.1)"),
        (
            ProtocolError::InvalidCloseCode(1005).into(),
            "close code 1005 must not be sent (RFC 6455 §7.4)",
        ),
        (
            HandshakeError::WrongAccept.into(),
            "Sec-WebSocket-Accept does not belong to the key that was sent (RFC 6455 §4.1)",
        ),
        (
            UsageError::ReservedHeader("Upgrade".into()).into(),
            "header \"Upgrade\" is written by the library; remove it (RFC 6455 §4)",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn urls() {
    for (url, text) in [
        ("http://h", "URL must begin with ws:// or wss:// (RFC 6455 §3)"),
        (
            "ws://h/a#b",
            "URL must not have a fragment; remove it, or write a \"#\" that belongs to the path as \
             %23 (RFC 6455 §3)",
        ),
        (
            "wss://me:secret@h/",
            "URL must not have a user name or password, which would show up in logs; remove them, \
             and give them to `basic_auth` of the request or connector (RFC 6455 §3)",
        ),
        (
            "ws://[fe80::1%25eth0]/",
            "IPv6 address in URL must not have a zone, which has a meaning on this machine alone; \
             connect to a `SocketAddrV6` with its `scope_id`, and give the stream to `client` \
             (RFC 6874)",
        ),
        (
            "ws://h/100%",
            "\"%\" in URL must stand before two hexadecimal digits; write one that means itself as \
             %25 (RFC 3986 §2.1)",
        ),
        (
            "ws://h/a b",
            "URL has a space, a control character or a character outside ASCII; percent-encode it \
             (RFC 3986 §2.1)",
        ),
        (
            "ws://b\u{fc}cher.example",
            "host has characters outside ASCII; give it in punycode, such as xn--bcher-kva.example \
             (RFC 5890)",
        ),
        ("ws:///path", "host in URL is missing or invalid (RFC 3986 §3.2.2)"),
        ("ws://h:0", "port in URL must be a number from 1 to 65535 (RFC 3986 §3.2.3)"),
    ] {
        let error: UrlError = Request::new(url).unwrap_err();
        assert_eq!(error.to_string(), text, "{url}");
        assert_eq!(Error::from(error).to_string(), text, "{url}");
    }
}

/// What a client is made of can be logged.
#[test]
fn debug_keeps_secrets() {
    let connector = Connector::new("ws://127.0.0.1/chat?token=hush").unwrap();
    for proxy in [
        Proxy::http("http://somebody:hush@127.0.0.1:3128").unwrap(),
        Proxy::socks5("socks5://somebody:hush@127.0.0.1").unwrap(),
    ] {
        let connector = connector.clone().header("X-Token", "hush").proxy(proxy.clone());
        let text = format!("{connector:?} {proxy:?}");
        assert!(!text.contains("hush") && !text.contains("aHVz"), "{text}");
        for part in ["127.0.0.1", "/chat", "X-Token", "has_credentials: true"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
