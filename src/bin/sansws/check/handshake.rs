//! The opening handshake (RFC 6455 §4).

use std::io::Write;

use sansws::Config;
use sansws::handshake::HandshakeError;

use super::target::{Answer, Head, Target};
use super::verdict::Level::{Must, Note};
use super::verdict::{Probe, Trouble, Verdict};

type Found = Result<Verdict, Trouble>;

pub const PROBES: &[Probe] = &[
    Probe {
        name: "accept-key",
        section: "RFC 6455 §4.2.2",
        level: Must,
        what: "answers 101 with the right Sec-WebSocket-Accept, and nothing that was not offered",
        run: |target| accepts(target, |_| {}),
    },
    Probe {
        name: "lower-case-names",
        section: "RFC 9110 §5.1",
        level: Must,
        what: "takes names of headers in lower case",
        run: |target| {
            accepts(target, |head| {
                head.fields.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
            })
        },
    },
    Probe {
        name: "upper-case-values",
        section: "RFC 6455 §4.2.1",
        level: Must,
        what: "takes Upgrade and Connection in upper case",
        run: |target| {
            accepts(target, |head| {
                head.set("Upgrade", "WEBSOCKET");
                head.set("Connection", "UPGRADE");
            })
        },
    },
    Probe {
        name: "connection-tokens",
        section: "RFC 6455 §4.2.1",
        level: Must,
        what: "finds Upgrade among other tokens of Connection",
        run: |target| accepts(target, |head| head.set("Connection", "keep-alive, Upgrade")),
    },
    Probe {
        name: "head-byte-by-byte",
        section: "RFC 9112 §2",
        level: Must,
        what: "takes a request that arrives one byte at a time",
        run: byte_by_byte,
    },
    Probe {
        name: "upgrade-missing",
        section: "RFC 6455 §4.2.1",
        level: Must,
        what: "does not answer 101 without Upgrade",
        run: |target| refuses(target, |head| head.remove("Upgrade")),
    },
    Probe {
        name: "connection-missing",
        section: "RFC 6455 §4.2.1",
        level: Must,
        what: "does not answer 101 without Connection",
        run: |target| refuses(target, |head| head.remove("Connection")),
    },
    Probe {
        name: "key-missing",
        section: "RFC 6455 §4.2.1",
        level: Must,
        what: "refuses a request without a key",
        run: |target| refuses(target, |head| head.remove("Sec-WebSocket-Key")),
    },
    Probe {
        name: "key-short",
        section: "RFC 6455 §4.2.1",
        level: Must,
        what: "refuses a key of 8 bytes",
        run: |target| refuses(target, |head| head.set("Sec-WebSocket-Key", "MDEyMzQ1Njc=")),
    },
    Probe {
        name: "key-long",
        section: "RFC 6455 §4.2.1",
        level: Must,
        what: "refuses a key of 24 bytes",
        run: |target| {
            refuses(target, |head| {
                head.set("Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3");
            })
        },
    },
    Probe {
        name: "key-not-base64",
        section: "RFC 6455 §4.2.1",
        level: Must,
        what: "refuses a key that is no base64",
        run: |target| {
            refuses(target, |head| head.set("Sec-WebSocket-Key", "**********************=="))
        },
    },
    Probe {
        name: "version-8",
        section: "RFC 6455 §4.2.2",
        level: Must,
        what: "refuses version 8, unless it speaks that, with 426 and Sec-WebSocket-Version",
        run: |target| {
            Ok(match other_version(target, "8")? {
                Verdict::Wrong(seen) if seen.starts_with("101") => Verdict::Noted(seen),
                verdict => verdict,
            })
        },
    },
    Probe {
        name: "version-99",
        section: "RFC 6455 §4.2.2",
        level: Must,
        what: "refuses a version that nobody speaks with 426 and Sec-WebSocket-Version",
        run: |target| other_version(target, "99"),
    },
    Probe {
        name: "version-missing",
        section: "RFC 6455 §4.2.1",
        level: Must,
        what: "refuses a request without a version",
        run: |target| refuses(target, |head| head.remove("Sec-WebSocket-Version")),
    },
    Probe {
        name: "http-1.0",
        section: "RFC 6455 §4.2.1",
        level: Must,
        what: "refuses a request of HTTP/1.0",
        run: |target| refuses(target, |head| head.line = head.line.replace("/1.1", "/1.0")),
    },
    Probe {
        name: "post",
        section: "RFC 6455 §4.2.1",
        level: Must,
        what: "refuses another method than GET",
        run: |target| {
            refuses(target, |head| {
                head.line = head.line.replacen("GET", "POST", 1);
                head.add("Content-Length", "0");
            })
        },
    },
    Probe {
        name: "host-missing",
        section: "RFC 9112 §3.2",
        level: Must,
        what: "answers 400 to a request without Host",
        run: |target| refuses(target, |head| head.remove("Host")),
    },
    Probe {
        name: "host-twice",
        section: "RFC 9112 §3.2",
        level: Must,
        what: "answers 400 to a request with two Hosts",
        run: |target| refuses(target, |head| head.add("Host", "second.example")),
    },
    Probe {
        name: "host-invalid",
        section: "RFC 9112 §3.2",
        level: Must,
        what: "answers 400 to a Host that is none",
        run: |target| refuses(target, |head| head.set("Host", "a b/c")),
    },
    Probe {
        name: "body",
        section: "RFC 9110 §9.3.1",
        level: Note,
        what: "refuses a GET with a body, which would be taken for frames",
        run: |target| {
            refuses(target, |head| {
                head.add("Content-Length", "5");
                head.behind = "hello".into();
            })
        },
    },
    Probe {
        name: "unknown-subprotocol",
        section: "RFC 6455 §4.2.2",
        level: Note,
        what: "chooses no subprotocol that it does not know",
        run: |target| {
            let header = ("Sec-WebSocket-Protocol", "sansws-check.invalid");
            not_chosen(target, header, &HandshakeError::UnofferedSubprotocol)
        },
    },
    Probe {
        name: "unknown-extension",
        section: "RFC 6455 §9.1",
        level: Must,
        what: "accepts no extension that it does not know",
        run: |target| {
            let header = ("Sec-WebSocket-Extensions", "sansws-check; a=1");
            not_chosen(target, header, &HandshakeError::UnofferedExtension)
        },
    },
    Probe {
        name: "other-origin",
        section: "RFC 6455 §10.2",
        level: Note,
        what: "refuses pages of other sites",
        run: |target| refuses(target, |head| head.set("Origin", "http://sansws-check.invalid")),
    },
];

/// A request that is valid.
fn accepts(target: &Target, change: impl FnOnce(&mut Head)) -> Found {
    Ok(judge_valid(target.ask(change)?))
}

fn judge_valid(answer: Answer) -> Verdict {
    match answer {
        Answer::Open(_) => Verdict::Right(answer.to_string()),
        Answer::Silence => Verdict::Unknown(answer.to_string()),
        _ => Verdict::Wrong(answer.to_string()),
    }
}

/// A request that is not.
fn refuses(target: &Target, change: impl FnOnce(&mut Head)) -> Found {
    let answer = target.ask(change)?;
    let seen = answer.to_string();
    Ok(match answer {
        Answer::Refused(_) => Verdict::Right(seen),
        Answer::Ended(_) => Verdict::Noted(seen),
        Answer::Silence => Verdict::Unknown(seen),
        Answer::Open(_) => Verdict::Wrong(seen),
        // for a key that was changed, 101 has another accept key than the reader looks for
        Answer::Invalid(HandshakeError::WrongAccept) => Verdict::Wrong("101".into()),
        Answer::Invalid(_) => Verdict::Noted(seen),
    })
}

fn other_version(target: &Target, version: &str) -> Found {
    let answer = target.ask(|head| head.set(VERSION, version))?;
    let seen = answer.to_string();
    Ok(match answer {
        Answer::Refused(refused) => match (refused.status(), refused.header(VERSION)) {
            (426, Some(version)) => Verdict::Right(format!("{seen}, {VERSION}: {version}")),
            (_, Some(version)) => Verdict::Noted(format!("{seen}, {VERSION}: {version}")),
            (_, None) => Verdict::Wrong(format!("{seen}, without {VERSION}")),
        },
        Answer::Open(_) => Verdict::Wrong(seen),
        Answer::Ended(_) | Answer::Invalid(_) => Verdict::Noted(seen),
        Answer::Silence => Verdict::Unknown(seen),
    })
}

const VERSION: &str = "Sec-WebSocket-Version";

/// Something that is offered and that no server knows. The reader of the answer has not offered it,
/// and finds it there.
fn not_chosen(target: &Target, header: (&str, &str), chosen: &HandshakeError) -> Found {
    let answer = target.ask(|head| head.set(header.0, header.1))?;
    let seen = answer.to_string();
    Ok(match answer {
        Answer::Open(_) => Verdict::Right("101, and it is not chosen".into()),
        Answer::Refused(_) => Verdict::Noted(seen),
        Answer::Invalid(error) if error == *chosen => {
            Verdict::Wrong("101, and it is chosen".into())
        }
        Answer::Invalid(_) => Verdict::Wrong(seen),
        Answer::Ended(_) => Verdict::Noted(seen),
        Answer::Silence => Verdict::Unknown(seen),
    })
}

fn byte_by_byte(target: &Target) -> Found {
    let answer = target.ask_with(
        &Config::new(),
        |_| {},
        |stream, bytes| {
            bytes.iter().try_for_each(|byte| {
                stream.write_all(&[*byte])?;
                stream.flush()
            })
        },
    )?;
    Ok(judge_valid(answer))
}
