//! Frames, fragments and control frames (RFC 6455 §5).

use sansws::wire::{FrameHeader, Opcode};

use super::link::{Came, Link, fragment, frame, frame_with};
use super::target::Target;
use super::verdict::Level::{Must, Note};
use super::verdict::{Probe, Trouble, Verdict};

type Found = Result<Verdict, Trouble>;

pub const PROBES: &[Probe] = &[
    Probe {
        name: "echo",
        section: "RFC 6455 §5.6",
        level: Note,
        what: "sends a text and a binary message back: other probes need that",
        run: |target| {
            target.needs_echo()?;
            let sent = [(Opcode::Text, &b"hello"[..]), (Opcode::Binary, b"\x00\xff")];
            echoes(target, &sent, false)
        },
    },
    Probe {
        name: "empty-message",
        section: "RFC 6455 §5.6",
        level: Must,
        what: "takes messages without a byte",
        run: |target| goes_on(target, &[frame(Opcode::Text, b"")?, frame(Opcode::Binary, b"")?]),
    },
    Probe {
        name: "lengths",
        section: "RFC 6455 §5.2",
        level: Must,
        what: "reads all three forms of a length: 125, 126, 65535 and 65536 bytes",
        run: |target| {
            let messages = [125, 126, 65_535, 65_536].map(|len| vec![b'x'; len]);
            let sent: Vec<_> = messages.iter().map(|it| (Opcode::Binary, &it[..])).collect();
            match target.echoes {
                Some(true) => echoes(target, &sent, false),
                _ => {
                    let frames = sent.iter().map(|(opcode, payload)| frame(*opcode, payload));
                    goes_on(target, &frames.collect::<Result<Vec<_>, _>>()?)
                }
            }
        },
    },
    Probe {
        name: "frames-in-one-segment",
        section: "RFC 6455 §5.1",
        level: Must,
        what: "finds all frames that arrive together",
        run: |target| {
            target.needs_echo()?;
            let sent = [b"one", b"two", b"six"].map(|text| (Opcode::Text, &text[..]));
            echoes(target, &sent, false)
        },
    },
    Probe {
        name: "byte-by-byte",
        section: "RFC 6455 §5.1",
        level: Must,
        what: "takes a frame that arrives one byte at a time",
        run: |target| {
            target.needs_echo()?;
            echoes(target, &[(Opcode::Text, b"a byte at a time")], true)
        },
    },
    Probe {
        name: "fragments",
        section: "RFC 6455 §5.4",
        level: Must,
        what: "joins the fragments of a message, with a ping between them",
        run: fragments,
    },
    Probe {
        name: "continuation-first",
        section: "RFC 6455 §5.4",
        level: Must,
        what: "fails on a continuation of nothing",
        run: |target| target.fails_on(&frame(Opcode::Continuation, b"x")?, &[1002]),
    },
    Probe {
        name: "message-in-message",
        section: "RFC 6455 §5.4",
        level: Must,
        what: "fails on a message that begins within another",
        run: |target| {
            let frames = [fragment(Opcode::Text, b"one")?, frame(Opcode::Text, b"two")?];
            target.fails_on(&frames.concat(), &[1002])
        },
    },
    Probe {
        name: "unmasked",
        section: "RFC 6455 §5.1",
        level: Must,
        what: "fails on a frame without a mask",
        run: |target| {
            let mut bytes = FrameHeader::new(Opcode::Text, 5, None).encode().to_vec();
            bytes.extend_from_slice(b"plain");
            target.fails_on(&bytes, &[1002])
        },
    },
    Probe {
        name: "reserved-bits",
        section: "RFC 6455 §5.2",
        level: Must,
        what: "fails on RSV1, RSV2 and RSV3, of which nothing was agreed",
        run: |target| {
            let header = FrameHeader::new(Opcode::Text, 0, None);
            let headers = [
                FrameHeader { rsv1: true, ..header },
                FrameHeader { rsv2: true, ..header },
                FrameHeader { rsv3: true, ..header },
            ];
            target.fails_on_each(&frames(headers)?, &[1002])
        },
    },
    Probe {
        name: "reserved-opcodes",
        section: "RFC 6455 §5.2",
        level: Must,
        what: "fails on the opcodes 3, 7, 11 and 15",
        run: |target| {
            let mut cases = Vec::new();
            for opcode in [3, 7, 11, 15] {
                let mut bytes = frame(Opcode::Binary, b"x")?;
                bytes[0] = 0x80 | opcode;
                cases.push(bytes);
            }
            target.fails_on_each(&cases, &[1002])
        },
    },
    Probe {
        name: "long-form-of-length",
        section: "RFC 6455 §5.2",
        level: Note,
        what: "fails on a length in more bytes than it needs",
        run: |target| {
            let short = frame(Opcode::Binary, b"x")?;
            let mut bytes = vec![short[0], 0x80 | 126, 0, 1];
            bytes.extend_from_slice(&short[2..]);
            target.fails_on(&bytes, &[1002]) // the MUST is one for who sends
        },
    },
    Probe {
        name: "length-of-2-to-the-63",
        section: "RFC 6455 §5.2",
        level: Must,
        what: "fails on a length with its highest bit set",
        run: |target| {
            let mut bytes = frame(Opcode::Binary, &[0; 65_536])?;
            bytes[2] = 0x80;
            bytes.truncate(FrameHeader::MAX_LEN);
            target.fails_on(&bytes, &[1002, 1009])
        },
    },
    Probe {
        name: "ping",
        section: "RFC 6455 §5.5.2",
        level: Must,
        what: "answers pings with their payload, of 0 to 125 bytes",
        run: |target| {
            let mut link = target.open()?;
            for payload in [&b""[..], b"hello", &[0xfe; 125]] {
                link.write(&frame(Opcode::Ping, payload)?);
                if let Err(came) = link.pong(payload) {
                    return Ok(Verdict::Wrong(format!("{} bytes: {came}", payload.len())));
                }
            }
            Ok(Verdict::Right("all of them came back".into()))
        },
    },
    Probe {
        name: "pong-unasked",
        section: "RFC 6455 §5.5.3",
        level: Must,
        what: "takes a pong that it has not asked for",
        run: |target| goes_on(target, &[frame(Opcode::Pong, b"unasked")?]),
    },
    Probe {
        name: "ping-of-126-bytes",
        section: "RFC 6455 §5.5",
        level: Must,
        what: "fails on a ping with 126 bytes",
        run: |target| target.fails_on(&frame(Opcode::Ping, &[0; 126])?, &[1002]),
    },
    Probe {
        name: "fragmented-ping",
        section: "RFC 6455 §5.5",
        level: Must,
        what: "fails on a ping in fragments",
        run: |target| target.fails_on(&fragment(Opcode::Ping, b"x")?, &[1002]),
    },
];

/// Returns a short frame for each header.
fn frames<const N: usize>(headers: [FrameHeader; N]) -> Result<Vec<Vec<u8>>, Trouble> {
    headers.iter().map(|header| frame_with(*header, b"x")).collect()
}

/// Sends frames that are in order. The connection has to go on.
fn goes_on(target: &Target, frames: &[Vec<u8>]) -> Found {
    let mut link = target.open()?;
    link.write(&frames.concat());
    still_open(&mut link)
}

/// A connection that has to go on.
pub fn still_open(link: &mut Link) -> Found {
    Ok(match link.is_alive()? {
        Ok(()) => Verdict::Right("the connection goes on".into()),
        Err(came) => Verdict::Wrong(came.to_string()),
    })
}

/// Sends messages, all at once or byte by byte, and waits for each.
fn echoes(target: &Target, sent: &[(Opcode, &[u8])], slowly: bool) -> Found {
    let mut link = target.open()?;
    let frames: Result<Vec<_>, _> = sent.iter().map(|(op, payload)| frame(*op, payload)).collect();
    let bytes = frames?.concat();
    for chunk in bytes.chunks(if slowly { 1 } else { bytes.len() }) {
        link.write(chunk);
    }
    wait_for(&mut link, sent)
}

/// Waits for messages that come back.
fn wait_for(link: &mut Link, sent: &[(Opcode, &[u8])]) -> Found {
    for (opcode, payload) in sent {
        if let Err(came) = link.echo(*opcode, payload) {
            let what = format!("{opcode} of {} bytes", payload.len());
            return Ok(Verdict::Wrong(format!("instead of the {what}: {came}")));
        }
    }
    Ok(Verdict::Right("all of them came back".into()))
}

fn fragments(target: &Target) -> Found {
    let mut link = target.open()?;
    let text = "one, ü, two".as_bytes();
    let (first, second) = text.split_at(6); // within a character
    link.write(&[fragment(Opcode::Text, first)?, frame(Opcode::Ping, b"between")?].concat());
    match link.pong(b"between") {
        Ok(()) => {}
        // RFC 6455 §5.5.2: "as soon as is practical", which may be behind the message
        Err(came @ Came::Silence) => return Ok(Verdict::Noted(format!("for the ping, {came}"))),
        Err(came) => return Ok(Verdict::Wrong(came.to_string())),
    }
    link.write(&fragment(Opcode::Continuation, b"")?);
    link.write(&frame(Opcode::Continuation, second)?);
    match target.echoes {
        Some(true) => wait_for(&mut link, &[(Opcode::Text, text)]),
        _ => still_open(&mut link),
    }
}
