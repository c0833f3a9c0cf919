//! UTF-8 (RFC 6455 §8.1).

use sansws::wire::Opcode;

use super::link::{fragment, frame};
use super::verdict::Level::{Must, Note};
use super::verdict::{Probe, Verdict};

pub const PROBES: &[Probe] = &[
    Probe {
        name: "utf-8",
        section: "RFC 6455 §5.6",
        level: Must,
        what: "sends characters of one to four bytes back as they were",
        run: |target| {
            target.needs_echo()?;
            let text = "aü€𝄞\u{0}\u{10ffff}".as_bytes();
            let mut link = target.open()?;
            link.write(&frame(Opcode::Text, text)?);
            Ok(match link.echo(Opcode::Text, text) {
                Ok(()) => Verdict::Right("it came back".into()),
                Err(came) => Verdict::Wrong(came.to_string()),
            })
        },
    },
    Probe {
        name: "invalid-text",
        section: "RFC 6455 §8.1",
        level: Must,
        what: "fails on invalid UTF-8: a stray byte, a surrogate, a long form, an end too soon",
        run: |target| {
            let payloads = [&b"ab\xff"[..], b"\xed\xa0\x80", b"\xc0\xaf", b"end\xe2\x82"];
            let cases: Result<Vec<_>, _> =
                payloads.iter().map(|payload| frame(Opcode::Text, payload)).collect();
            target.fails_on_each(&cases?, &[1007])
        },
    },
    Probe {
        name: "invalid-text-in-fragments",
        section: "RFC 6455 §8.1",
        level: Must,
        what: "fails on text that is no UTF-8 in its second fragment",
        run: |target| {
            let frames = [
                fragment(Opcode::Text, b"valid \xe2")?,
                fragment(Opcode::Continuation, b"\x28 not")?,
                frame(Opcode::Continuation, b"valid")?,
            ];
            target.fails_on(&frames.concat(), &[1007])
        },
    },
    Probe {
        name: "invalid-text-at-once",
        section: "RFC 6455 §8.1",
        level: Note,
        what: "fails on a fragment that is no UTF-8 before the message is complete",
        run: |target| target.fails_on(&fragment(Opcode::Text, b"ab\xff")?, &[1007]),
    },
];
