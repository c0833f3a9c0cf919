//! P: what both sides take for an HTTP head, seen from the server.

use sansws::Config;
use sansws::handshake::HandshakeError;

use crate::handshake::support::*;

fn error(head: impl AsRef<[u8]>) -> HandshakeError {
    answer(head).0.unwrap_err()
}

/// P-1: only CR LF ends a line.
#[test]
fn p_1_heads_are_octets() {
    let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x85Evil: 1\r\n\r\n";
    let request = request(bytes);
    assert_eq!(request.headers().count(), 2);
    assert_eq!(request.headers().nth(1), Some(("X", &b"a\x85Evil: 1"[..])));
    assert_eq!(request.header("evil"), None);
    for separator in [b'\x0b', b'\x0c', b'\x1c', b'\x1d', b'\x1e'] {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: h\r\nX: a?Evil: 1\r\n\r\n".to_vec();
        bytes[29] = separator;
        assert_eq!(error(bytes), HandshakeError::MalformedHeader);
    }
}

#[test]
fn p_2_bare_line_feeds() {
    assert_eq!(error("GET / HTTP/1.1\nHost: x\n\n"), HandshakeError::BareLineFeed);
    assert_eq!(error("GET / HTTP/1.1\r\nHost: x\n\r\n"), HandshakeError::BareLineFeed);
    assert_eq!(error("\nGET / HTTP/1.1\r\n\r\n"), HandshakeError::BareLineFeed);
    let error = respond("HTTP/1.1 101\nUpgrade: websocket\n\n").unwrap_err();
    assert_eq!(error, HandshakeError::BareLineFeed);
}

#[test]
fn p_3_bare_carriage_returns() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\r\n",
        "\rGET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\rx",
    ] {
        assert_eq!(error(head), HandshakeError::BareCarriageReturn, "{head:?}");
    }
    let error = respond("HTTP/1.1 101\r\nServer: a\rb\r\n\r\n").unwrap_err();
    assert_eq!(error, HandshakeError::BareCarriageReturn);
}

#[test]
fn p_4_empty_lines_before_the_request() {
    for count in 0..=4 {
        assert_eq!(status("\r\n".repeat(count) + GOLDEN_REQUEST), 101);
    }
    assert_eq!(error("\r\n".repeat(5) + GOLDEN_REQUEST), HandshakeError::MalformedStartLine);
}

#[test]
fn p_5_white_space_before_the_first_header() {
    for space in [" ", "\t"] {
        let head = format!("GET / HTTP/1.1\r\n{space}Host: x\r\n\r\n");
        assert_eq!(error(head), HandshakeError::FoldedHeader);
        let error = respond(format!("HTTP/1.1 101 \r\n{space}A: b\r\n\r\n")).unwrap_err();
        assert_eq!(error, HandshakeError::FoldedHeader);
    }
}

#[test]
fn p_6_white_space_before_the_colon() {
    for line in ["Upgrade : websocket", "Upgrade\t: websocket", "X : y"] {
        assert_eq!(error(request_with(&[line])), HandshakeError::MalformedHeader);
    }
}

#[test]
fn p_7_folded_headers_in_requests() {
    for fold in ["Sec-WebSocket-Protocol: a,\r\n b", "X: y\r\n\tz", "X:\r\n "] {
        assert_eq!(error(request_with(&[fold])), HandshakeError::FoldedHeader);
    }
}

#[test]
fn p_8_folded_headers_in_responses() {
    let folded = GOLDEN_RESPONSE.replace("\r\n\r\n", "\r\nServer: x\r\n y\r\n\r\n");
    let accepted = accepted(folded);
    let server: Vec<_> = accepted.header("server").unwrap().split_whitespace().collect();
    assert_eq!(server, ["x", "y"]);
    assert_eq!(accepted.headers().count(), 5);
    // a header counts once, however many lines it has
    let folded = "\r\nServer: x".to_owned() + &"\r\n y".repeat(200) + "\r\n\r\n";
    let accepted = self::accepted(GOLDEN_RESPONSE.replace("\r\n\r\n", &folded));
    assert_eq!(accepted.headers().count(), 5);
}

#[test]
fn p_9_control_characters() {
    for byte in (0..32).chain([127]).filter(|byte| !b"\t\r\n".contains(byte)) {
        let byte = char::from(byte);
        let line = format!("Origin: http://a{byte}b");
        assert_eq!(error(request_with(&[&line])), HandshakeError::MalformedHeader, "{line:?}");
        let line = format!("X{byte}: y");
        assert_eq!(error(request_with(&[&line])), HandshakeError::MalformedHeader, "{line:?}");
        let response = GOLDEN_RESPONSE.replace("Upgrade:", &format!("X: a{byte}\r\nUpgrade:"));
        assert_eq!(respond(response).unwrap_err(), HandshakeError::MalformedHeader);
    }
    assert_eq!(status(request_with(&["X: a\tb"])), 101);
}

#[test]
fn p_9_lines_that_are_no_headers() {
    for line in ["X", ": y", "X y: z", "\"X\": y", "X\u{e9}: y", "(X): y"] {
        assert_eq!(error(request_with(&[line])), HandshakeError::MalformedHeader, "{line:?}");
    }
}

#[test]
fn p_10_white_space_around_values() {
    let head = request_without("Sec-WebSocket-V", &["Sec-WebSocket-Version:\t 13 \t", "X: \t"]);
    assert_eq!(request(&head).header("sec-websocket-version"), Some("13"));
    assert_eq!(request(&head).header("x"), Some(""));
    assert_eq!(status(head), 101);
    assert_eq!(status(GOLDEN_REQUEST.replace(": ", ":")), 101);
}

#[test]
fn p_11_names_in_any_case_and_order() {
    let mut lines = NEEDED.map(str::to_ascii_uppercase);
    lines[3] = NEEDED[3].replace("Sec-WebSocket-Key", "sEc-wEbSoCkEt-KeY");
    lines.reverse();
    assert_eq!(status(request_of(&lines.each_ref().map(String::as_str))), 101);
}

#[test]
fn p_12_lists_on_several_lines() {
    let lines = ["Connection: keep-alive", "Connection: Upgrade"];
    assert_eq!(status(request_without("Connection", &lines)), 101);
    let request = request(request_with(&[
        "Sec-WebSocket-Protocol: a, b",
        "X: y",
        "Sec-WebSocket-Protocol: c",
    ]));
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn p_13_empty_list_elements() {
    assert_eq!(status(request_without("Connection", &["Connection: , Upgrade,, "])), 101);
    let many = |count| format!("Connection: {}Upgrade", ",".repeat(count));
    assert_eq!(status(request_without("Connection", &[&many(32)])), 101);
    assert_eq!(status(request_without("Connection", &[&many(33)])), 426);
    let many = |count| format!("Sec-WebSocket-Protocol: {}a", ",".repeat(count));
    assert_eq!(status(request_with(&[&many(32)])), 101);
    assert_eq!(status(request_with(&[&many(33)])), 400);
    let many = |count| format!("Sec-WebSocket-Extensions: {}a", ",".repeat(count));
    assert_eq!(status(request_with(&[&many(32)])), 101);
    assert_eq!(status(request_with(&[&many(33)])), 400);
}

#[test]
fn p_14_values_that_are_not_utf8() {
    let mut head = GOLDEN_REQUEST.as_bytes().to_vec();
    head.truncate(head.len() - 2);
    head.extend_from_slice(b"User-Agent: caf\xe9\r\nX-N: caf\xe9\r\n\r\n");
    let request = request(&head);
    assert_eq!(request.header("x-n"), None);
    assert_eq!(request.headers().last(), Some(("X-N", &b"caf\xe9"[..])));
    assert!(format!("{request:?}").contains("caf\u{fffd}"));
    assert_eq!(status(head), 101);
}

/// A request of exactly `len` bytes.
fn request_of_len(len: usize) -> String {
    let head = request_with(&["X: "]);
    let padding = "a".repeat(len - head.len());
    request_with(&[&format!("X: {padding}")])
}

/// P-15, P-25: at the limit and one over it.
#[test]
fn p_15_length_of_the_head() {
    let limit = 16 * 1024;
    assert_eq!(status(request_of_len(limit)), 101);
    assert_eq!(error(request_of_len(limit + 1)), HandshakeError::HeadTooLong { limit });
    assert_eq!(status(request_of_len(4 * limit)), 431);
    // known before the end is there
    assert_eq!(status(&request_of_len(limit + 5)[..limit + 1]), 431);
    let response = |len: usize| {
        let head = GOLDEN_RESPONSE.replace("\r\n\r\n", "\r\nX: \r\n\r\n");
        head.replace("X: ", &format!("X: {}", "a".repeat(len - head.len())))
    };
    assert!(respond(response(limit)).is_ok());
    let error = respond(response(limit + 1)).unwrap_err();
    assert_eq!(error, HandshakeError::HeadTooLong { limit });
}

/// P-15, P-25: at the limit and one over it.
#[test]
fn p_15_number_of_headers() {
    let request = |count: usize| request_with(&vec!["X: y"; count - NEEDED.len()]);
    assert_eq!(status(request(100)), 101);
    assert_eq!(error(request(101)), HandshakeError::TooManyHeaders { limit: 100 });
    assert_eq!(status(request(129)), 431);
    let config = Config::new().max_head_len(1 << 20);
    assert_eq!(answer_with(&config, request(10_000)).1.status, 431);
    let config = config.max_headers(10_000);
    assert_eq!(answer_with(&config, request(10_000)).1.status, 101);

    let response = |count: usize| {
        GOLDEN_RESPONSE.replace("\r\n\r\n", &"\r\nX: y".repeat(count - 4)) + "\r\n\r\n"
    };
    assert!(respond(response(100)).is_ok());
    let error = respond(response(101)).unwrap_err();
    assert_eq!(error, HandshakeError::TooManyHeaders { limit: 100 });
}

/// P-16: at the limit and one over it.
#[test]
fn p_16_length_of_the_target() {
    let limit = 8 * 1024;
    let request =
        |len: usize| GOLDEN_REQUEST.replace("/chat", &format!("/{}", "a".repeat(len - 1)));
    assert_eq!(status(request(limit)), 101);
    assert_eq!(error(request(limit + 1)), HandshakeError::TargetTooLong { limit });
    // known before the end is there
    assert_eq!(status(&request(limit + 9)[..limit + 5]), 414);
}

#[test]
fn p_17_length_of_the_method() {
    assert_eq!(status("A".repeat(32) + " / HTTP/1.1\r\nHost: h\r\n\r\n"), 405);
    assert_eq!(error("A".repeat(33)), HandshakeError::MethodTooLong);
    assert_eq!(status("A".repeat(1024) + " / HTTP/1.1\r\n\r\n"), 501);
}

#[test]
fn p_18_bytes_that_are_not_http() {
    let (result, answer) = answer(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert_eq!(result, Err(HandshakeError::TlsBytes));
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("TLS bytes on a plain `ws://` port"), "{}", answer.body);
    for bytes in
        [&b"\x00\x01"[..], b"\x81\x85", b"\xff", b"<xml/>", b"{\"a\": 1}", b" GET / HTTP/1.1\r\n"]
    {
        assert_eq!(error(bytes), HandshakeError::MalformedStartLine, "{bytes:?}");
    }
    for line in
        ["GET", "GET /", "GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ", "hello world"]
    {
        let head = format!("{line}\r\n\r\n");
        assert_eq!(error(head), HandshakeError::MalformedStartLine, "{line}");
    }
}

#[test]
fn p_19_host() {
    assert_eq!(error(request_without("Host", &[])), HandshakeError::InvalidHost);
    assert_eq!(error(request_with(&["Host: h"])), HandshakeError::InvalidHost);
    for host in ["", "a b", "a/b", "a@b", "h:x", "h:99999", "[::1", "h, h", "http://h", "\u{e9}"] {
        let head = request_without("Host", &[&format!("Host: {host}")]);
        assert_eq!(error(head), HandshakeError::InvalidHost, "{host}");
    }
    for host in ["h", "h:80", "[::1]:9000", "127.0.0.1", "EXAMPLE.com:", "xn--bcher-kva.example"] {
        let head = request_without("Host", &[&format!("Host: {host}")]);
        assert_eq!(request(&head).host(), host);
        assert_eq!(status(head), 101);
    }
}

#[test]
fn p_20_absolute_targets() {
    let with = |target: &str| GOLDEN_REQUEST.replace("/chat", target);
    for (target, host, path, query) in [
        ("http://h:80/chat?x=1", "h:80", "/chat", Some("x=1")),
        ("HTTPS://[::1]/", "[::1]", "/", None),
        ("ws://h", "h", "/", None),
        ("wss://h?a=/b?c", "h", "/", Some("a=/b?c")),
        ("/chat", "server.example.com", "/chat", None),
        ("/?", "server.example.com", "/", Some("")),
        ("//x/y?z", "server.example.com", "//x/y", Some("z")),
        ("/a://b", "server.example.com", "/a://b", None),
        ("/%20%2F", "server.example.com", "/%20%2F", None),
    ] {
        let head = with(target);
        let request = request(&head);
        assert_eq!(request.target(), target);
        assert_eq!((request.host(), request.path(), request.query()), (host, path, query));
        assert_eq!(status(head), 101, "{target}");
    }
    for target in
        ["ftp://h/", "http://", "http:///", "http://u@h/", "http:/h", "h:80", "chat", "?x://h"]
    {
        assert_eq!(error(with(target)), HandshakeError::InvalidTarget, "{target}");
    }
}

#[test]
fn p_21_other_forms_of_targets() {
    for target in ["*", "?", "/a#b", "/\u{e9}", "/a\x7f", "/a\tb", "**", "\\", "/\0"] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(error(head), HandshakeError::InvalidTarget, "{target}");
    }
    assert_eq!(status("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n"), 400);
    let request = request("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((request.method(), request.path()), ("OPTIONS", "*"));
}

#[test]
fn p_22_bodies() {
    for line in [
        "Content-Length: 5",
        "Content-Length: 5, 5",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding:",
    ] {
        assert_eq!(error(request_with(&[line])), HandshakeError::UnexpectedBody, "{line}");
    }
    assert_eq!(status(request_with(&["Content-Length: 0"])), 101);
    assert_eq!(status(request_with(&["Content-Length: 0", "Content-Length: 00"])), 101);
    // not an upgrade: the application may answer it
    let post = request("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(post.method(), "POST");
}

#[test]
fn p_23_ambiguous_bodies() {
    for lines in [
        &["Content-Length: 0", "Transfer-Encoding: chunked"][..],
        &["Transfer-Encoding: identity", "Content-Length: 5"],
        &["Content-Length: 5", "Content-Length: 6"],
        &["Content-Length: 5, 6"],
        &["Content-Length: "],
        &["Content-Length: +5"],
        &["Content-Length: -1"],
        &["Content-Length: 0x5"],
        &["Content-Length: 5 5"],
        &["Content-Length: 5,"],
        &["Content-Length: 99999999999999999999"],
        &["Content-Length: \u{660}"],
    ] {
        assert_eq!(error(request_with(lines)), HandshakeError::InvalidContentLength, "{lines:?}");
    }
}
