//! Offers and answers: RFC 7692 §5, §7.1. Both ends as functions of header values.

use sansws::deflate::{Agreement, Deflate};
use sansws::handshake::deflate::{choose, confirm, offer};
use sansws::handshake::{HandshakeError, extensions};

/// A server that asks for nothing of its own.
fn lenient() -> Deflate {
    Deflate::new().server_no_context_takeover(false).client_no_context_takeover(false)
}

/// What a server answers; `None` if it declines.
fn answer(settings: &Deflate, offers: &str) -> Option<String> {
    let (agreed, answer) = choose([offers.as_bytes()], settings).unwrap()?;
    // whoever offered this must be able to make the same of it
    let parsed: Vec<_> = extensions::parse([answer.as_bytes()]).collect();
    assert_eq!(parsed.len(), 1);
    assert_eq!(agreed, expected(&answer));
    Some(answer)
}

/// What an answer means to whoever reads the RFC.
fn expected(answer: &str) -> Agreement {
    let mut agreed = Agreement::new();
    for param in answer.split("; ").skip(1) {
        match param.split_once('=') {
            None if param == "server_no_context_takeover" => {
                agreed.server_no_context_takeover = true;
            }
            None if param == "client_no_context_takeover" => {
                agreed.client_no_context_takeover = true;
            }
            Some(("server_max_window_bits", bits)) => {
                agreed.server_max_window_bits = bits.parse().unwrap();
            }
            Some(("client_max_window_bits", bits)) => {
                agreed.client_max_window_bits = bits.parse().unwrap();
            }
            _ => panic!("{answer}"),
        }
    }
    agreed
}

const PMD: &str = "permessage-deflate";

/// D-1, D-2, D-3, D-5: offers that a server declines, which is no error.
#[test]
fn server_declines() {
    for params in [
        "foo",
        "foo=1",
        "Server_No_Context_Takeover",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=010",
        "server_max_window_bits=+9",
        "server_max_window_bits=-9",
        "server_max_window_bits=9.0",
        "server_max_window_bits=0x9",
        "server_max_window_bits=99999999999999999999",
        "server_max_window_bits=a",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=09",
        "client_max_window_bits=0",
        "server_no_context_takeover=1",
        "server_no_context_takeover=true",
        "client_no_context_takeover=true",
        "client_no_context_takeover=\"\\1\"",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits; client_max_window_bits=10",
        "client_max_window_bits; client_max_window_bits",
        "server_no_context_takeover; x",
    ] {
        assert_eq!(answer(&lenient(), &format!("{PMD}; {params}")), None, "{params}");
        // the next offer is as good as if it came alone
        let then = format!("{PMD}; {params}, x, {PMD}; server_max_window_bits=10, {PMD}");
        let expected = format!("{PMD}; server_max_window_bits=10");
        assert_eq!(answer(&lenient(), &then), Some(expected), "{params}");
    }
    for offers in ["", "x", "permessage-bzip2, x-webkit-deflate-frame", "Permessage-Deflate"] {
        let lines = [offers.as_bytes()];
        let lines = if offers.is_empty() { &[] } else { &lines[..] };
        assert_eq!(choose(lines.iter().copied(), &lenient()), Ok(None), "{offers}");
    }
}

/// D-5: only what does not follow the grammar is an error, wherever it stands.
#[test]
fn server_fails_on_malformed_lines() {
    for offers in ["server_max_window_bits=", "permessage-deflate;;", "permessage-deflate, ;"] {
        let offers = format!("{PMD}, {PMD}; {offers}");
        assert!(choose([offers.as_bytes()], &lenient()).is_err(), "{offers}");
    }
}

/// D-6 to D-11: what a server without wishes of its own answers.
#[test]
fn server_answers() {
    for (offers, expected) in [
        ("", ""),
        ("; server_no_context_takeover", "; server_no_context_takeover"),
        ("; client_no_context_takeover", "; client_no_context_takeover"),
        ("; client_max_window_bits", ""),
        ("; client_max_window_bits=15", ""),
        ("; client_max_window_bits=10", "; client_max_window_bits=10"),
        ("; client_max_window_bits=8", "; client_max_window_bits=8"),
        ("; client_max_window_bits=\"1\\0\"", "; client_max_window_bits=10"),
        ("; server_max_window_bits=15", "; server_max_window_bits=15"),
        ("; server_max_window_bits=12", "; server_max_window_bits=12"),
        ("; server_max_window_bits=\"12\"", "; server_max_window_bits=12"),
        ("; server_max_window_bits=8", "; server_max_window_bits=8"),
        (
            "; client_max_window_bits=9; server_max_window_bits=11; client_no_context_takeover; \
             server_no_context_takeover",
            "; server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=11; client_max_window_bits=9",
        ),
        ("; server_max_window_bits=10, permessage-deflate", "; server_max_window_bits=10"),
        (", permessage-deflate; server_max_window_bits=10", ""),
    ] {
        let answer = answer(&lenient(), &format!("{PMD}{offers}"));
        assert_eq!(answer, Some(format!("{PMD}{expected}")), "{offers}");
    }
}

/// D-7 to D-11: what it answers when it has wishes.
#[test]
fn server_answers_by_its_settings() {
    let small = lenient().server_max_window_bits(11).client_max_window_bits(Some(10));
    let deaf = lenient().client_max_window_bits(None);
    for (settings, offers, expected) in [
        // the default: a connection that is idle holds nothing
        (Deflate::new(), "", "; server_no_context_takeover; client_no_context_takeover"),
        (
            Deflate::new(),
            "; client_max_window_bits",
            "; server_no_context_takeover; client_no_context_takeover",
        ),
        (lenient().server_no_context_takeover(true), "", "; server_no_context_takeover"),
        (lenient().client_no_context_takeover(true), "", "; client_no_context_takeover"),
        (small.clone(), "", "; server_max_window_bits=11"),
        (small.clone(), "; server_max_window_bits=15", "; server_max_window_bits=11"),
        (small.clone(), "; server_max_window_bits=9", "; server_max_window_bits=9"),
        (
            small.clone(),
            "; client_max_window_bits",
            "; server_max_window_bits=11; client_max_window_bits=10",
        ),
        (
            small.clone(),
            "; client_max_window_bits=12",
            "; server_max_window_bits=11; client_max_window_bits=10",
        ),
        (
            small,
            "; client_max_window_bits=9",
            "; server_max_window_bits=11; client_max_window_bits=9",
        ),
        (deaf.clone(), "; client_max_window_bits", ""),
        (deaf, "; client_max_window_bits=9", ""),
    ] {
        let answer = answer(&settings, &format!("{PMD}{offers}"));
        assert_eq!(answer, Some(format!("{PMD}{expected}")), "{offers}");
    }
}

/// The example of §7.1.3, and offers over several lines.
#[test]
fn several_lines() {
    let lines = [
        &b"permessage-deflate; client_max_window_bits; server_max_window_bits=10"[..],
        b"permessage-deflate; client_max_window_bits",
    ];
    let (_, answer) = choose(lines, &lenient()).unwrap().unwrap();
    assert_eq!(answer, "permessage-deflate; server_max_window_bits=10");
    let lines = [&b"x"[..], b"permessage-deflate; foo", b"permessage-deflate"];
    assert_eq!(choose(lines, &lenient()).unwrap().unwrap().1, PMD);
}

/// A client offers what browsers do, unless it is told otherwise.
#[test]
fn client_offers() {
    for (settings, expected) in [
        (Deflate::new(), "; client_max_window_bits"),
        (lenient(), "; client_max_window_bits"),
        (Deflate::new().client_max_window_bits(None), ""),
        (Deflate::new().client_max_window_bits(Some(12)), "; client_max_window_bits=12"),
        (
            Deflate::new().server_max_window_bits(9),
            "; server_max_window_bits=9; client_max_window_bits",
        ),
        (
            Deflate::new().server_no_context_takeover(true).client_no_context_takeover(true),
            "; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
        ),
    ] {
        assert_eq!(offer(&settings), format!("{PMD}{expected}"));
    }
}

/// D-9: a window below the smallest that is accepted is declined, and the client's next offer
/// taken.
#[test]
fn the_smallest_window() {
    for min in 8..=15 {
        for asked in 8..=15 {
            let offer = format!("{PMD}; server_max_window_bits={asked}");
            let settings = lenient().min_window_bits(min);
            let chosen = choose([offer.as_bytes()], &settings).unwrap();
            let bits = chosen.map(|(agreed, _)| agreed.server_max_window_bits);
            assert_eq!(bits, (asked >= min).then_some(asked), "{asked} of at least {min}");
            let offers = format!("{offer}, {PMD}; client_max_window_bits=8");
            let (agreed, _) = choose([offers.as_bytes()], &settings).unwrap().unwrap();
            let expected = if asked >= min { asked } else { 15 };
            assert_eq!(agreed.server_max_window_bits, expected);
        }
    }
    for bits in [0, 7, 16] {
        let settings = Deflate::new().min_window_bits(bits);
        let error = sansws::Config::new().deflate(settings).check().unwrap_err();
        assert!(error.to_string().contains("min_window_bits"));
    }
}

/// D-12, D-14, D-15, D-16: answers a client fails on.
#[test]
fn client_fails() {
    let asks = Deflate::new().server_no_context_takeover(true).server_max_window_bits(10);
    let hints = Deflate::new().client_max_window_bits(None);
    for (settings, params) in [
        (lenient(), "; foo"),
        (lenient(), "; server_max_window_bits=0"),
        (lenient(), "; server_max_window_bits=7"),
        (lenient(), "; server_max_window_bits=16"),
        (lenient(), "; server_max_window_bits=99"),
        (lenient(), "; server_max_window_bits=010"),
        (lenient(), "; server_max_window_bits"),
        (lenient(), "; client_max_window_bits"),
        (lenient(), "; client_max_window_bits=0"),
        (lenient(), "; client_max_window_bits=99"),
        (lenient(), "; server_no_context_takeover=1"),
        (lenient(), "; client_no_context_takeover; client_no_context_takeover"),
        (lenient(), "; server_max_window_bits=10; server_max_window_bits=10"),
        (lenient(), ", permessage-deflate"),
        (lenient(), "; server_max_window_bits=9, permessage-deflate; server_max_window_bits=8"),
        (hints, "; client_max_window_bits=10"),
        (asks.clone(), ""),
        (asks.clone(), "; server_no_context_takeover"),
        (asks.clone(), "; server_max_window_bits=10"),
        (asks, "; server_no_context_takeover; server_max_window_bits=11"),
    ] {
        let answer = format!("{PMD}{params}");
        let result = confirm([answer.as_bytes()], &settings);
        assert_eq!(result, Err(HandshakeError::InvalidDeflate), "{params}");
    }
    for answer in ["x", "permessage-deflate, x", "x, permessage-deflate", "Permessage-deflate"] {
        let result = confirm([answer.as_bytes()], &lenient());
        assert_eq!(result, Err(HandshakeError::UnofferedExtension), "{answer}");
    }
    for answer in [",;", ";", "permessage-deflate;", "permessage-deflate; server_max_window_bits="]
    {
        let result = confirm([answer.as_bytes()], &lenient());
        assert_eq!(result, Err(HandshakeError::InvalidExtensions), "{answer}");
    }
    for answer in ["", ",", " , "] {
        assert_eq!(confirm([answer.as_bytes()], &lenient()), Ok(None), "{answer}");
    }
}

/// D-13: answers a client takes, and what they mean to it.
#[test]
fn client_takes() {
    let asks = Deflate::new().server_no_context_takeover(true).server_max_window_bits(10);
    for (settings, params) in [
        (lenient(), ""),
        (lenient(), "; server_no_context_takeover"),
        (lenient(), "; client_no_context_takeover"),
        (lenient(), "; client_max_window_bits=15"),
        (lenient(), "; client_max_window_bits=8"),
        (lenient(), "; server_max_window_bits=8"),
        (lenient(), "; server_max_window_bits=\"12\"; client_max_window_bits=12"),
        (lenient().client_max_window_bits(None), "; server_max_window_bits=12"),
        (asks.clone(), "; server_no_context_takeover; server_max_window_bits=10"),
        (asks, "; server_max_window_bits=8; server_no_context_takeover"),
    ] {
        let answer = format!("{PMD}{params}");
        let agreed = confirm([answer.as_bytes()], &settings);
        assert_eq!(agreed, Ok(Some(expected(&answer.replace('"', "")))), "{params}");
    }
    assert_eq!(confirm([], &lenient()), Ok(None));
}

/// §7.1.1.2, §7.1.2.2: a client keeps to what it has hinted at, whatever the answer.
#[test]
fn client_keeps_to_its_hints() {
    let hints = Deflate::new().client_no_context_takeover(true).client_max_window_bits(Some(11));
    for (params, bits) in
        [("", 11), ("; client_max_window_bits=15", 11), ("; client_max_window_bits=9", 9)]
    {
        let answer = format!("{PMD}{params}");
        let agreed = confirm([answer.as_bytes()], &hints).unwrap().unwrap();
        assert!(agreed.client_no_context_takeover);
        assert_eq!(agreed.client_max_window_bits, bits);
    }
}

/// Whatever two ends of ours want, they agree on the same.
#[test]
fn both_ends_agree() {
    let mut all = Vec::new();
    for takeover in [None, Some(false), Some(true)] {
        for bits in [8, 11, 15] {
            for client_bits in [None, Some(8), Some(12), Some(15)] {
                for client_takeover in [None, Some(false), Some(true)] {
                    let mut settings = Deflate::new().server_max_window_bits(bits);
                    if let Some(yes) = takeover {
                        settings = settings.server_no_context_takeover(yes);
                    }
                    if let Some(yes) = client_takeover {
                        settings = settings.client_no_context_takeover(yes);
                    }
                    all.push(settings.client_max_window_bits(client_bits));
                }
            }
        }
    }
    for client in &all {
        for server in &all {
            let offer = offer(client);
            let (chosen, answer) = choose([offer.as_bytes()], server).unwrap().unwrap();
            let mut confirmed = confirm([answer.as_bytes()], client).unwrap().unwrap();
            // the client may use less than the server has to reckon with
            assert!(confirmed.client_max_window_bits <= chosen.client_max_window_bits);
            confirmed.client_max_window_bits = chosen.client_max_window_bits;
            assert_eq!(confirmed, chosen);
        }
    }
}
