//! Compression (RFC 7692), and how long a message may be.

use sansws::buf::SendBuffer;
use sansws::deflate::Deflate;
use sansws::handshake::HandshakeError;
use sansws::proto::Connection;
use sansws::wire::{FrameHeader, Opcode};
use sansws::{Config, Message};

use super::frames::still_open;
use super::link::{Came, closed, fragment, frame, frame_with};
use super::target::{Answer, Target};
use super::verdict::Level::{Must, Note};
use super::verdict::{Probe, Trouble, Verdict};

type Found = Result<Verdict, Trouble>;

pub const PROBES: &[Probe] = &[
    Probe {
        name: "deflate-offers",
        section: "RFC 7692 §7.1",
        level: Must,
        what: "answers offers of permessage-deflate with what fits them, or declines",
        run: offers,
    },
    Probe {
        name: "deflate-offers-invalid",
        section: "RFC 7692 §7.1",
        level: Must,
        what: "declines offers with parameters that are unknown, out of range or there twice",
        run: invalid_offers,
    },
    Probe {
        name: "deflate-echo",
        section: "RFC 7692 §7.2",
        level: Must,
        what: "takes compressed messages, and what it sends inflates to the same",
        run: compressed_echo,
    },
    Probe {
        name: "deflate-fragments",
        section: "RFC 7692 §6.1",
        level: Must,
        what: "fails on RSV1 of a continuation",
        run: |target| {
            let mut link = target.open_compressed(&Deflate::new())?;
            let header = FrameHeader::new(Opcode::Continuation, 0, None);
            let second = frame_with(FrameHeader { rsv1: true, ..header }, b"two")?;
            link.write(&[fragment(Opcode::Text, b"one")?, second].concat());
            link.failed(&[1002])
        },
    },
    Probe {
        name: "deflate-plain-too",
        section: "RFC 7692 §6",
        level: Must,
        what: "takes messages that are not compressed although they could be",
        run: |target| {
            let mut link = target.open_compressed(&Deflate::new())?;
            link.write(&frame(Opcode::Text, b"plain")?);
            still_open(&mut link)
        },
    },
    Probe {
        name: "deflate-invalid-data",
        section: "RFC 7692 §7.2.2",
        level: Must,
        what: "fails on data that does not inflate",
        run: |target| {
            let mut link = target.open_compressed(&Deflate::new())?;
            // RFC 1951 §3.2.3: a block of type 3 is an error
            link.write(&compressed(&[0xff; 16])?);
            link.failed(&[1007, 1002])
        },
    },
    Probe {
        name: "deflate-bomb",
        section: "RFC 7692 §8",
        level: Note,
        what: "limits what a message inflates to: 32 MiB out of 32 KiB",
        run: bomb,
    },
    Probe {
        name: "message-size",
        section: "RFC 6455 §10.4",
        level: Note,
        what: "takes long messages, up to a limit, and says 1009 above it",
        run: size,
    },
    Probe {
        name: "fragments-without-end",
        section: "RFC 6455 §10.4",
        level: Note,
        what: "limits the length of all fragments of a message together, below 32 MiB",
        run: |target| {
            let mut link = target.open()?;
            let part = vec![b'x'; 1 << 20];
            let mut bytes = fragment(Opcode::Binary, &part)?;
            for _ in 1..MOST >> 20 {
                bytes.extend(fragment(Opcode::Continuation, &part)?);
            }
            link.write_long(&bytes);
            link.failed(&[1009])
        },
    },
];

/// The longest message that is sent, in bytes. Most servers have their limit below it.
const MOST: usize = 32 << 20;

/// Settings whose offers are all different.
fn settings() -> [Deflate; 5] {
    [
        Deflate::new(),
        Deflate::new().client_max_window_bits(None),
        Deflate::new().server_no_context_takeover(true),
        Deflate::new().client_no_context_takeover(true),
        Deflate::new().server_max_window_bits(10),
    ]
}

fn offers(target: &Target) -> Found {
    let mut agreed = 0;
    let settings = settings();
    for settings in &settings {
        let config = Config::new().deflate(settings.clone());
        let answer = target.ask_with(&config, |_| {}, std::io::Write::write_all)?;
        match answer {
            Answer::Open(link) => agreed += usize::from(link.agreed.is_some()),
            Answer::Silence => return Ok(Verdict::Unknown(answer.to_string())),
            _ => {
                let offer = sansws::handshake::deflate::offer(settings);
                return Ok(Verdict::Wrong(format!("to {offer}: {answer}")));
            }
        }
    }
    Ok(match agreed {
        0 => Verdict::Noted("it does not compress".into()),
        agreed => Verdict::Right(format!("{agreed} of {} offers accepted", settings.len())),
    })
}

fn invalid_offers(target: &Target) -> Found {
    let mut refused = None;
    for parameters in [
        "unknown_parameter",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits",
        "server_no_context_takeover=1",
        "client_max_window_bits; client_max_window_bits",
    ] {
        let offer = format!("permessage-deflate; {parameters}");
        let answer = target.ask(|head| head.set("Sec-WebSocket-Extensions", &offer))?;
        match answer {
            Answer::Open(_) => {}
            Answer::Refused(_) | Answer::Ended(_) => refused = Some(format!("{answer}: {offer}")),
            Answer::Invalid(HandshakeError::UnofferedExtension) => {
                return Ok(Verdict::Wrong(format!("accepted: {offer}")));
            }
            Answer::Invalid(_) => return Ok(Verdict::Wrong(answer.to_string())),
            Answer::Silence => return Ok(Verdict::Unknown(answer.to_string())),
        }
    }
    Ok(refused.map_or_else(|| Verdict::Right("all declined".into()), Verdict::Noted))
}

fn compressed_echo(target: &Target) -> Found {
    target.needs_echo()?;
    drop(target.open_compressed(&Deflate::new())?);
    for settings in settings() {
        let mut ws = target.socket(&Config::new().deflate(settings))?;
        if ws.deflate().is_none() {
            continue;
        }
        // the second one refers to the first one, where that is allowed
        for n in 0..3 {
            let sent = format!("{n}: {}", "What compresses well, compresses well. ".repeat(50));
            ws.send(&*sent)?;
            loop {
                match ws.recv() {
                    Ok(Some(Message::Text(text))) if *text == *sent => break,
                    Ok(Some(_)) => {} // a greeting
                    Ok(None) => return Ok(Verdict::Wrong("closed".into())),
                    Err(error) => return Ok(Verdict::Wrong(error.to_string())),
                }
            }
        }
    }
    Ok(Verdict::Right("all of them came back".into()))
}

/// Returns a frame that says that this is compressed.
fn compressed(payload: &[u8]) -> Result<Vec<u8>, Trouble> {
    let header = FrameHeader { rsv1: true, ..FrameHeader::new(Opcode::Binary, 0, None) };
    frame_with(header, payload)
}

fn bomb(target: &Target) -> Found {
    let settings = Deflate::new();
    let mut link = target.open_compressed(&settings)?;
    let Some(agreed) = link.agreed else { return Err(Trouble("it does not compress".into())) };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Trouble(error.to_string()))?;
    let config = Config::new().deflate(settings.clone()).max_unsent(2 * MOST);
    let mut connection = Connection::client(&config, seed).with_deflate(agreed, &settings);
    let mut tx = SendBuffer::new();
    let zeros = vec![0; MOST];
    connection.feed(&mut tx, &zeros[..]).map_err(|error| Trouble(error.to_string()))?;
    while let Some(chunk) = tx.take_chunk() {
        link.write(&chunk);
    }
    Ok(match link.failed(&[1009])? {
        Verdict::Wrong(_) => Verdict::Noted("32 MiB are taken".into()),
        verdict => verdict,
    })
}

fn size(target: &Target) -> Found {
    let mut taken = 0;
    for len in [64 << 10, 1 << 20, 4 << 20, 16 << 20, MOST] {
        let mut link = target.open()?;
        link.write_long(&frame(Opcode::Binary, &vec![b'x'; len])?);
        link.write(&frame(Opcode::Ping, b"still there?")?);
        let came = match link.pong(b"still there?") {
            Ok(()) => {
                taken = len;
                continue;
            }
            Err(came) => came,
        };
        let seen = format!("{} KiB are taken, {} KiB are not: {came}", taken >> 10, len >> 10);
        return Ok(match came {
            Came::Close(Some((1009, _))) => {
                let limit = format!("{} KiB are taken, {} KiB are not", taken >> 10, len >> 10);
                Verdict::Right(format!("{limit}: {}", closed(1009, "")))
            }
            _ => Verdict::Noted(seen),
        });
    }
    Ok(Verdict::Noted(format!("{} KiB are taken", taken >> 10)))
}
