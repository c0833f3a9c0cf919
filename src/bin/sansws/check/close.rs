//! The closing handshake (RFC 6455 §5.5.1, §7).

use sansws::wire::Opcode;

use super::link::{Came, fragment, frame};
use super::target::Target;
use super::verdict::Level::{Must, Should};
use super::verdict::{Probe, Trouble, Verdict};

type Found = Result<Verdict, Trouble>;

pub const PROBES: &[Probe] = &[
    Probe {
        name: "close",
        section: "RFC 6455 §5.5.1",
        level: Must,
        what: "answers a Close by one, with the same code",
        run: |target| answers(target, &[1000, 1001, 1011, 3000, 4999]),
    },
    Probe {
        name: "close-without-code",
        section: "RFC 6455 §5.5.1",
        level: Must,
        what: "answers a Close without a code",
        run: |target| {
            Ok(match close(target, b"")? {
                came @ Came::Close(None | Some((1000, _))) => Verdict::Right(came.to_string()),
                came @ Came::Close(_) => Verdict::Noted(came.to_string()),
                came => Verdict::Wrong(came.to_string()),
            })
        },
    },
    Probe {
        name: "tcp-closed",
        section: "RFC 6455 §7.1.1",
        level: Must,
        what: "closes TCP first, right after the closing handshake",
        run: |target| {
            let mut link = target.open()?;
            link.write(&frame(Opcode::Close, &1000_u16.to_be_bytes())?);
            match link.end() {
                Came::Close(_) => {}
                came => return Ok(Verdict::Wrong(came.to_string())),
            }
            Ok(match link.next() {
                Came::End => Verdict::Right("TCP was closed".into()),
                Came::Broken(how) => Verdict::Noted(how),
                Came::Silence => Verdict::Wrong("TCP stays open".into()),
                came => Verdict::Wrong(format!("behind its Close: {came}")),
            })
        },
    },
    Probe {
        name: "close-codes-reserved",
        section: "RFC 6455 §7.4.1",
        level: Should,
        what: "fails on the codes 1005, 1006 and 1015, which never stand in a Close",
        run: |target| {
            let codes = [1005_u16, 1006, 1015].map(|code| code.to_be_bytes().to_vec());
            refuses_each(target, &codes, &[1002])
        },
    },
    Probe {
        name: "close-codes-unused",
        section: "RFC 6455 §7.4.2",
        level: Should,
        what: "fails on the codes 0, 999 and 5000, which mean nothing",
        run: |target| {
            let codes = [0_u16, 999, 5000].map(|code| code.to_be_bytes().to_vec());
            refuses_each(target, &codes, &[1002])
        },
    },
    Probe {
        name: "close-of-one-byte",
        section: "RFC 6455 §5.5.1",
        level: Should,
        what: "fails on a Close with half a code",
        run: |target| refuses_each(target, &[vec![3]], &[1002]),
    },
    Probe {
        name: "close-reason-invalid",
        section: "RFC 6455 §8.1",
        level: Must,
        what: "fails on a reason that is no UTF-8",
        run: |target| refuses_each(target, &[b"\x03\xe8bye\xff".to_vec()], &[1007, 1002]),
    },
    Probe {
        name: "close-in-message",
        section: "RFC 6455 §5.4",
        level: Must,
        what: "answers a Close between the fragments of a message",
        run: |target| {
            let mut link = target.open()?;
            link.write(&fragment(Opcode::Text, b"unfinished")?);
            link.write(&frame(Opcode::Close, &1000_u16.to_be_bytes())?);
            Ok(match link.end() {
                came @ Came::Close(_) => Verdict::Right(came.to_string()),
                came => Verdict::Wrong(came.to_string()),
            })
        },
    },
];

/// Sends a Close with this payload, and returns what comes back.
fn close(target: &Target, payload: &[u8]) -> Result<Came, Trouble> {
    let mut link = target.open()?;
    link.write(&frame(Opcode::Close, payload)?);
    Ok(link.end())
}

fn answers(target: &Target, codes: &[u16]) -> Found {
    let mut noted = None;
    for code in codes {
        match close(target, &code.to_be_bytes())? {
            Came::Close(Some((answer, _))) if answer == *code => {}
            // RFC 6455 §5.5.1: "typically echos the status code"
            came @ Came::Close(_) => noted = Some(format!("to {code}: {came}")),
            came => return Ok(Verdict::Wrong(format!("to {code}: {came}"))),
        }
    }
    Ok(noted.map_or_else(|| Verdict::Right("the same code came back".into()), Verdict::Noted))
}

/// Closes that are against a rule. One that repeats the fault is wrong; one that is in order ends
/// the connection too.
fn refuses_each(target: &Target, payloads: &[Vec<u8>], codes: &[u16]) -> Found {
    let mut right = None;
    let mut noted = None;
    for payload in payloads {
        let what = match payload[..] {
            [high, low] => format!("to {}: ", u16::from_be_bytes([high, low])),
            _ => String::new(),
        };
        match close(target, payload)? {
            came @ Came::Close(Some((code, _))) if codes.contains(&code) => {
                right = Some(came.to_string());
            }
            came @ (Came::Close(_) | Came::End | Came::Broken(_)) => {
                noted = Some(format!("{what}{came}"));
            }
            came => return Ok(Verdict::Wrong(format!("{what}{came}"))),
        }
    }
    Ok(match (noted, right) {
        (Some(seen), _) => Verdict::Noted(seen),
        (None, seen) => Verdict::Right(seen.unwrap_or_default()),
    })
}
