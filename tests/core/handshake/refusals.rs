//! C-11, C-12, C-33: responses other than 101.

use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::handshake::client::{Handshake, Refused, Request, Response};
use sansws::handshake::server::{Accept, Reject};

use crate::handshake::support::*;

/// The refusal in `pieces`; `None` if more is needed.
fn read(config: &Config, pieces: &[&[u8]], eof: bool) -> Option<Refused> {
    let request = Request::new("ws://h").unwrap();
    let mut handshake =
        Handshake::start(&request, [0; 16], config, &mut SendBuffer::new()).unwrap();
    let mut rx = RecvBuffer::new();
    let mut response = None;
    for piece in pieces {
        rx.extend_from_slice(piece);
        response = response.or_else(|| handshake.read_response(&mut rx).unwrap());
    }
    if eof && response.is_none() {
        response = handshake.receive_eof().unwrap();
    }
    response.map(|response| match response {
        Response::Refused(refused) => refused,
        other => panic!("{other:?}"),
    })
}

fn refused(text: &str) -> Refused {
    read(&Config::new(), &[text.as_bytes()], false).expect("the response is complete")
}

fn refused_at_eof(text: &str) -> Refused {
    assert!(read(&Config::new(), &[text.as_bytes()], false).is_none());
    read(&Config::new(), &[text.as_bytes()], true).expect("the response is complete")
}

#[test]
fn c_11_with_content_length() {
    let text = "HTTP/1.1 404 Not Found\r\nX: y\r\nContent-Length: 5\r\n\r\nhello, and more";
    let refused = refused(text);
    assert_eq!((refused.status(), refused.reason()), (404, "Not Found"));
    assert_eq!(refused.header("x"), Some("y"));
    assert_eq!(refused.headers().len(), 2);
    assert_eq!(refused.body(), b"hello");
    // cut off
    let short = refused_at_eof("HTTP/1.1 503 \r\nContent-Length: 9\r\n\r\nhello");
    assert_eq!((short.reason(), short.body()), ("Service Unavailable", &b"hello"[..]));
}

/// What stands between the chunks is bounded like what stands in them, however little of a body
/// comes with it.
#[test]
fn endless_framing_ends() {
    for endless in ["1;x\r\ny\r\n", "0", ";", "1;", "1\r\nx\r\n", "00001\r\nx\r\n"] {
        for limit in [1, 1000, 64 * 1024] {
            let config = Config::new().max_refusal_body_len(limit);
            let head = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n";
            let first = if endless == ";" { "1" } else { "" };
            let mut all = (head.to_owned() + first).into_bytes();
            let body = endless.repeat(4 * limit.max(1024) / endless.len() + 2);
            all.extend(body.as_bytes());
            let refused = read(&config, &[&all], false).expect("it ends");
            assert!(refused.body().len() <= limit);
        }
    }
    // as many chunks of a sensible size as the limit allows
    let config = Config::new().max_refusal_body_len(16_000);
    let head = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "10\r\n0123456789abcdef\r\n".repeat(1000) + "0\r\n\r\n";
    let refused = read(&config, &[head.as_bytes(), body.as_bytes()], false).unwrap();
    assert_eq!(refused.body().len(), 16_000);
}

#[test]
fn c_11_chunked() {
    let head = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n";
    let ok = head.to_owned() + "5\r\nhello\r\n00c;x=\"y\"\r\n, and more\r\n\r\n0\r\n";
    assert_eq!(refused(&ok).body(), b"hello, and more\r\n");
    let hex = head.to_owned() + "a \r\n0123456789\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
    assert_eq!(refused(&hex).body(), b"01234567890123456789");
    assert_eq!(refused_at_eof(&(head.to_owned() + "5\r\nhel")).body(), b"hel");
    // broken: what came before is kept
    for bad in ["\r\n", "x\r\n", "-1\r\n", "ffffffffffffffffff\r\n"] {
        assert_eq!(refused(&(head.to_owned() + "1\r\na\r\n" + bad)).body(), b"a", "{bad:?}");
    }
    assert_eq!(refused(&(head.to_owned() + "1\r\nabc")).body(), b"a");
}

#[test]
fn c_11_until_the_end_of_the_connection() {
    assert_eq!(refused_at_eof("HTTP/1.0 502 Bad Gateway\r\n\r\nhello").body(), b"hello");
    let other = "HTTP/1.1 500 \r\nTransfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhello";
    assert_eq!(refused_at_eof(other).body(), b"hello");
}

#[test]
fn c_11_without_a_body() {
    for text in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        // which of them?
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 400 Bad Request\r\nContent-Length: x\r\n\r\nab",
    ] {
        assert_eq!(refused(text).body(), b"", "{text}");
    }
}

/// C-11: at the limit and one over it.
#[test]
fn c_11_limit_on_the_body() {
    let config = Config::new().max_refusal_body_len(5);
    for (head, body) in [
        ("Content-Length: 6", "hello!"),
        ("Content-Length: 5", "hello"),
        ("Content-Length: 99999999999", "hello"),
        ("Transfer-Encoding: chunked", "3\r\nhel\r\n3\r\nlo!"),
        ("X: y", "hello!"),
    ] {
        let text = format!("HTTP/1.1 403 \r\n{head}\r\n\r\n{body}");
        let refused = read(&config, &[text.as_bytes()], false).unwrap();
        assert_eq!(refused.body(), b"hello", "{head}");
    }
    assert!(read(&config, &[b"HTTP/1.1 403 \r\n\r\nhell"], false).is_none());
    let none = Config::new().max_refusal_body_len(0);
    assert_eq!(read(&none, &[b"HTTP/1.1 403 \r\n\r\n"], false).unwrap().body(), b"");
    let default = 64 * 1024;
    let text = "HTTP/1.1 403 \r\n\r\n".to_owned() + &"a".repeat(default + 1);
    assert_eq!(refused(&text).body().len(), default);
}

#[test]
fn c_11_split_anywhere() {
    for text in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nhel\r\n\
         2\r\nlo\r\n0\r\n",
        "HTTP/1.1 404 Not Found\r\n\r\nhello",
    ] {
        for at in 0..=text.len() {
            let (a, b) = text.as_bytes().split_at(at);
            let refused = read(&Config::new(), &[a, b], true).unwrap();
            assert_eq!((refused.status(), refused.body()), (404, &b"hello"[..]), "{at}");
        }
        let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
        assert_eq!(read(&Config::new(), &bytes, true).unwrap().body(), b"hello");
    }
}

/// C-12, C-33: the text says what to do.
#[test]
fn texts() {
    for (text, expected) in [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 14\r\n\r\nno such page\r\n",
            "server answered 404 Not Found instead of 101 Switching Protocols: no such page",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\na\r\n\x1b\0b\x7f",
            "server answered 404 Not Found instead of 101 Switching Protocols: \
             a\\r\\n\\u{1b}\\u{0}b\\u{7f}",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: wss://other/\r\nContent-Length: 0\r\n\r\n",
            "server answered 302 Found instead of 101 Switching Protocols \
             (Location: wss://other/)",
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
             Content-Length: 3\r\n\r\nwho",
            "server answered 401 Unauthorized instead of 101 Switching Protocols \
             (WWW-Authenticate: Basic realm=\"x\"): who",
        ),
        (
            "HTTP/1.1 407 \r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
            "server answered 407 Proxy Authentication Required instead of 101 Switching Protocols \
             (Proxy-Authenticate: Basic)",
        ),
        (
            "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8, 7\r\n\
             Content-Length: 0\r\n\r\n",
            "server answered 426 Upgrade Required instead of 101 Switching Protocols \
             (Sec-WebSocket-Version: 8, 7)",
        ),
        (
            "HTTP/1.1 429 \r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n",
            "server answered 429 Too Many Requests instead of 101 Switching Protocols \
             (Retry-After: 5)",
        ),
        (
            "HTTP/1.1 503 \r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n",
            "server answered 503 Service Unavailable instead of 101 Switching Protocols \
             (Retry-After: 5)",
        ),
        (
            "HTTP/1.1 299\r\nContent-Length: 0\r\n\r\n",
            "server answered 299 instead of 101 Switching Protocols",
        ),
    ] {
        assert_eq!(refused(text).to_string(), expected);
    }
}

#[test]
fn texts_show_200_bytes_of_the_body() {
    let show = |body: &str| {
        let text = format!("HTTP/1.1 500 \r\nContent-Length: {}\r\n\r\n{body}", body.len());
        refused(&text).to_string().split_once("Protocols: ").unwrap().1.to_owned()
    };
    assert_eq!(show(&"a".repeat(200)), "a".repeat(200));
    assert_eq!(show(&"a".repeat(201)), "a".repeat(200));
    // not half a character
    assert_eq!(show(&("a".repeat(199) + "\u{e9}b")), "a".repeat(199));
    assert_eq!(show("caf\u{e9}"), "caf\u{e9}");
    // what the server wrote by itself is not taken for that
    assert_eq!(show("caf\u{fffd}"), "caf\u{fffd}");
}

#[test]
fn debug_hides_secrets() {
    let refused = refused("HTTP/1.1 403 \r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n");
    assert!(!format!("{refused:?}").contains("a=1"));
    let accept = Accept::new().header("Set-Cookie", "a=1");
    let reject = Reject::new(403).header("Set-Cookie", "a=1").body("secret");
    let shown = format!("{accept:?} {reject:?}");
    assert!(shown.matches("Set-Cookie").count() == 2, "{shown}");
    assert!(!shown.contains("a=1") && !shown.contains("secret"), "{shown}");
    // our own answers, read by our own client
    let (_, answer) = answer(request_without("Sec-WebSocket-K", &[]));
    let text = format!("{}\r\n\r\n{}", answer.head, answer.body);
    assert_eq!(
        self::refused(&text).to_string(),
        "server answered 400 Bad Request instead of 101 Switching Protocols: 400 Bad Request: \
         Sec-WebSocket-Key is missing (RFC 6455 §4.2.1)"
    );
}
