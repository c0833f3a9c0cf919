//! The attackers: a process of its own, one thread, one epoll, less urgent than the honest client.
//!
//! Each writes as fast as its socket takes, and reads what comes back only to throw it away.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::load::shake_hands;
use crate::scenario::{KEY, Kind, frame};

/// What they send.
#[derive(Clone, Copy, PartialEq)]
pub enum Attack {
    EmptyPongs,
    Pings,
    Tiny,
    Large,
    Zeros,
    /// Tiny messages, to handlers that compute.
    Handlers,
    /// Tiny messages, and the echoes are not read.
    Deaf,
}

impl Attack {
    pub const ALL: [Self; 7] = [
        Self::EmptyPongs,
        Self::Pings,
        Self::Tiny,
        Self::Large,
        Self::Zeros,
        Self::Handlers,
        Self::Deaf,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::EmptyPongs => "pongs",
            Self::Pings => "pings",
            Self::Tiny => "tiny",
            Self::Large => "64K",
            Self::Zeros => "zeros",
            Self::Handlers => "handlers",
            Self::Deaf => "deaf",
        }
    }

    pub const fn title(self) -> &'static str {
        match self {
            Self::EmptyPongs => "empty pongs",
            Self::Pings => "pings of 4 bytes",
            Self::Tiny => "messages of 1 byte",
            Self::Large => "messages of 64 KiB",
            Self::Zeros => "16 MiB of zeros, compressed",
            Self::Handlers => "messages of 1 byte to handlers that compute for 1 ms",
            Self::Deaf => "messages of 1 byte, reading nothing",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attack| attack.name() == name)
    }

    fn reads(self) -> bool {
        self != Self::Deaf
    }

    /// Frames to be sent over and over.
    fn burst(self) -> Vec<u8> {
        const TOGETHER: usize = 64 * 1024;
        let frame = match self {
            Self::EmptyPongs => frame(10, b"", Some(KEY)),
            Self::Pings => frame(9, b"ping", Some(KEY)),
            Self::Tiny | Self::Handlers | Self::Deaf => frame(2, b"x", Some(KEY)),
            Self::Large => frame(2, &Kind::Binary.payload(64 * 1024), Some(KEY)),
            Self::Zeros => {
                let mut frame = frame(2, &zeros(16 << 20), Some(KEY));
                frame[0] |= 0x40; // RFC 7692 §6: compressed
                frame
            }
        };
        frame.repeat((TOGETHER / frame.len()).max(1))
    }
}

/// So many zeros, as permessage-deflate sends them: about a thousandth.
fn zeros(len: usize) -> Vec<u8> {
    let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
    let mut out = Vec::with_capacity(len / 100);
    let sync = flate2::FlushCompress::Sync;
    deflate.compress_vec(&vec![0; len], &mut out, sync).expect("there is room for it");
    // RFC 7692 §7.2.1: without the empty block that a flush ends with
    out.truncate(out.len() - 4);
    out
}

/// Says `ok` when all are connected, and goes on until it is killed; says `out` for each that the
/// server gets rid of.
pub fn run(attack: Attack, addr: SocketAddr, count: usize) -> io::Result<()> {
    let extensions = match attack {
        Attack::Zeros => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        _ => "",
    };
    let mut poll = Poll::new()?;
    let mut attackers = Vec::with_capacity(count);
    for id in 0..count {
        let mut stream = shake_hands(addr, extensions)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(id), interest)?;
        attackers.push(Attacker { stream, offset: 0, open: true });
    }
    let burst = attack.burst();
    println!("ok");
    let mut buffer = vec![0; 256 * 1024];
    let mut events = Events::with_capacity(count);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let attacker = &mut attackers[event.token().0];
            // One after the other, each until its socket takes no more and has no more. That it was
            // thrown out ends an attacker, not the attack.
            if attacker.open && attacker.rage(&burst, attack.reads(), &mut buffer).is_err() {
                attacker.open = false;
                println!("out");
                poll.registry().deregister(&mut attacker.stream)?;
            }
        }
    }
}

struct Attacker {
    stream: TcpStream,
    offset: usize,
    open: bool,
}

impl Attacker {
    fn rage(&mut self, burst: &[u8], reads: bool, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let wrote = would_block(self.stream.write(&burst[self.offset..]))?;
            self.offset = (self.offset + wrote.unwrap_or(0)) % burst.len();
            let read = if reads { would_block(self.stream.read(buffer))? } else { None };
            if read == Some(0) {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if wrote.is_none() && read.is_none() {
                return Ok(());
            }
        }
    }
}

fn would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
