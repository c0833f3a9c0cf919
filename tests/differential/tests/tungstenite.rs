//! Against tungstenite, which applications that come to this crate most often come from.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use sansws::ProtocolError;
use sansws::proto::Role;
use sansws_differential::{End, Got, Hex, MAX_MESSAGE_LEN, Verdict, ours, pongs, streams};
use tungstenite::error::CapacityError;
use tungstenite::protocol::{self, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

/// A disagreement that is known, and why it is one.
struct Disagreement {
    name: &'static str,
    why: &'static str,
    is: fn(&Verdict<ProtocolError>, &Verdict<String>) -> bool,
}

/// Each must be seen in every run: what is no longer true has to go.
const KNOWN: [Disagreement; 7] = [
    Disagreement {
        name: "shortest length",
        why: "RFC 6455 §5.2 wants the shortest form of the length; tungstenite takes any",
        is: |ours, theirs| {
            matches!(ours.end, End::Failed(_, ProtocolError::NonMinimalLength))
                && theirs.events.starts_with(&ours.events)
        },
    },
    Disagreement {
        name: "close code 1014",
        why: "registered after the RFC; tungstenite takes it for an invalid one",
        is: |ours, theirs| {
            matches!(ours.end, End::Closed(Some((1014, _)))) && is_invalid_close(theirs)
        },
    },
    Disagreement {
        name: "invalid close code",
        why: "tungstenite answers it with 1002 as we do, but as if the peer had closed with 1002",
        is: |ours, theirs| {
            matches!(ours.end, End::Failed(_, ProtocolError::InvalidCloseCode(_)))
                && is_invalid_close(theirs)
        },
    },
    Disagreement {
        name: "invalid close code and reason",
        why: "two rules are broken at once; tungstenite looks at the reason first",
        is: |ours, theirs| {
            matches!(ours.end, End::Failed(_, ProtocolError::InvalidCloseCode(_)))
                && matches!(theirs.end, End::Failed(1007, _))
        },
    },
    Disagreement {
        name: "first bit of the length",
        why: "RFC 6455 §5.2 forbids 2^63 and more; for tungstenite it is only too long",
        is: |ours, theirs| {
            matches!(ours.end, End::Failed(_, ProtocolError::LengthOverflow))
                && matches!(theirs.end, End::Failed(1009, _))
        },
    },
    Disagreement {
        name: "length before the rest",
        why: "two rules are broken at once; tungstenite looks at the length first",
        is: |ours, theirs| {
            matches!(ours.end, End::Failed(1002, _)) && matches!(theirs.end, End::Failed(1009, _))
        },
    },
    Disagreement {
        name: "at the first byte",
        why: "we fail at the byte that breaks the rule, tungstenite at the end of its frame",
        is: |ours, theirs| matches!(ours.end, End::Failed(..)) && theirs.end == End::Waits,
    },
];

/// What tungstenite makes of a Close with a code that it does not take.
fn is_invalid_close(theirs: &Verdict<String>) -> bool {
    matches!(&theirs.end, End::Closed(Some((1002, reason))) if reason == "Protocol violation")
}

#[test]
fn same_verdicts_on_the_same_bytes() {
    let mut agreed = 0;
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..20_000 {
        for (role, peer) in [(Role::Server, Role::Client), (Role::Client, Role::Server)] {
            let bytes = streams::stream(peer, seed);
            let (ours, theirs) = (ours(role, &bytes), theirs(role, &bytes));
            *ends.entry(kind(&ours)).or_default() += 1;
            if agree(&ours, &theirs) {
                agreed += 1;
                continue;
            }
            let known = KNOWN.iter().find(|it| (it.is)(&ours, &theirs));
            let same_start = theirs.events.starts_with(&ours.events);
            match known {
                Some(known) if same_start => *seen.entry(known.name).or_default() += 1,
                _ => panic!(
                    "{role:?}, seed {seed}: {}\nours:   {ours}\ntheirs: {theirs}\n\
                     {ours:?}\n{theirs:?}",
                    Hex(&bytes)
                ),
            }
        }
    }
    println!("{agreed} streams with the same verdict, of these kinds, ours:");
    ends.iter().for_each(|(end, count)| println!("{count:8}  {end}"));
    for known in &KNOWN {
        let count = seen.get(known.name).copied().unwrap_or(0);
        println!("{count:8}  disagree: {} ({})", known.name, known.why);
        assert!(count > 0, "{:?} is no disagreement any more: take it out", known.name);
    }
    assert!(agreed > 20_000, "only {agreed} streams with the same verdict");
}

fn agree(ours: &Verdict<ProtocolError>, theirs: &Verdict<String>) -> bool {
    let same_end = match (&ours.end, &theirs.end) {
        (End::Failed(ours, _), End::Failed(theirs, _)) => ours == theirs,
        (End::Closed(ours), End::Closed(theirs)) => ours == theirs,
        (End::Waits, End::Waits) => true,
        _ => false,
    };
    same_end && ours.events == theirs.events && ours.pongs == theirs.pongs
}

fn kind(verdict: &Verdict<ProtocolError>) -> String {
    match &verdict.end {
        End::Waits => "waits".to_owned(),
        End::Closed(_) => "closed by the peer".to_owned(),
        End::Failed(code, error) => {
            let error = format!("{error:?}");
            format!("{code} {}", error.split(['(', ' ']).next().unwrap_or_default())
        }
    }
}

/// tungstenite's verdict.
fn theirs(role: Role, bytes: &[u8]) -> Verdict<String> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_LEN))
        .max_frame_size(Some(MAX_MESSAGE_LEN));
    let role = match role {
        Role::Server => protocol::Role::Server,
        Role::Client => protocol::Role::Client,
    };
    let socket = Socket { incoming: bytes, outgoing: Vec::new() };
    let mut socket = WebSocket::from_raw_socket(socket, role, Some(config));
    let mut events = Vec::new();
    let end = loop {
        match socket.read() {
            Ok(Message::Text(text)) => events.push(Got::Text(text.to_string())),
            Ok(Message::Binary(binary)) => events.push(Got::Binary(binary.to_vec())),
            Ok(Message::Ping(payload)) => events.push(Got::Ping(payload.to_vec())),
            Ok(Message::Pong(payload)) => events.push(Got::Pong(payload.to_vec())),
            Ok(Message::Close(close)) => {
                break End::Closed(close.map(|it| (it.code.into(), it.reason.to_string())));
            }
            Ok(Message::Frame(frame)) => panic!("{frame:?}"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break End::Waits,
            Err(error) => {
                let code = match &error {
                    Error::Protocol(_) => 1002,
                    Error::Utf8(_) => 1007,
                    Error::Capacity(CapacityError::MessageTooLong { .. }) => 1009,
                    other => panic!("{other:?}"),
                };
                break End::Failed(code, format!("{error:?}"));
            }
        }
    };
    // what waits to be sent goes with the next call, whatever it says itself
    let _ = socket.flush();
    let pongs = pongs(&socket.get_ref().outgoing);
    Verdict { events, end, pongs }
}

/// Bytes to read, and then no more for the time being.
struct Socket<'a> {
    incoming: &'a [u8],
    outgoing: Vec<u8>,
}

impl Read for Socket<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.incoming.read(buf)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.outgoing.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
