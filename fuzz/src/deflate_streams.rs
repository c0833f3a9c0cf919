use std::sync::OnceLock;

use sansws::bytes::Buf;

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::deflate::{Agreement, Deflate};
use sansws::proto::Connection;
use sansws::wire::{FrameHeader, Opcode};
use sansws::{Config, Event, ProtocolError};

use super::source::Source;

/// Deflate streams put together from literals, matches, stored blocks and blocks with BFINAL: what
/// comes out is what they were put together from.
///
/// Before that, another connection of the thread inflates a secret with the decompressor and the
/// memory that are used next. It must not come out again, whatever distance a match names.
pub fn deflate_streams(data: &[u8]) {
    let mut source = Source(data);
    let switches = source.byte();
    inflate_a_secret();

    let takes_over = switches & 1 != 0;
    let mut agreed = Agreement::new();
    agreed.server_no_context_takeover = true;
    agreed.client_no_context_takeover = !takes_over;
    agreed.client_max_window_bits = 8 + (switches >> 5);
    let window = 1 << agreed.client_max_window_bits;
    let config = Config::new().max_message_len(LIMIT);
    let mut end = Connection::server(&config).with_deflate(agreed, &Deflate::new());
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    // all that a window may hold: nothing of it is the secret
    let mut all: Vec<u8> = Vec::new();
    for _ in 0..4 {
        if !takes_over {
            all.clear();
        }
        let begin = all.len();
        let (payload, verdict) = put_together(&mut source, &mut all, begin, window);
        let stream = in_two_frames(&payload, source.byte().into());
        let step = 1 + usize::from(source.byte()) * 16;
        let received = receive(&mut end, &mut rx, &mut tx, &stream, step, switches & 2 != 0);
        let expected = &all[begin..];
        let has_secret = received.0.windows(SECRET.len()).any(|it| it == SECRET);
        assert!(!has_secret, "a secret came out");
        match received {
            (got, Ok(true)) => {
                assert_ne!(verdict, Verdict::Wrong, "a distance before the beginning was taken");
                assert!(got == expected, "inflated to something else");
            }
            (_, Ok(false)) => panic!("a message that does not end"),
            (got, Err(error)) => {
                assert_ne!(verdict, Verdict::Right, "refused: {error}");
                assert!(expected.starts_with(&got), "inflated to something else: {error}");
                return;
            }
        }
    }
}

const LIMIT: usize = 100_000;
const SECRET: &[u8] = b"\xde\xad\xfe\xedSECRET\xfe\xfe";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Right,
    /// A distance is longer than was agreed: it may be refused.
    TooFar,
    Wrong,
}

/// Another client of the same thread.
fn inflate_a_secret() {
    static WIRE: OnceLock<Vec<u8>> = OnceLock::new();
    let mut agreed = Agreement::new();
    agreed.client_no_context_takeover = true;
    agreed.server_no_context_takeover = true;
    let settings = Deflate::new().threshold(1);
    let wire = WIRE.get_or_init(|| {
        let client = Connection::client(&Config::new(), [1; 32]);
        let (mut client, mut tx) = (client.with_deflate(agreed, &settings), SendBuffer::new());
        assert_eq!(client.feed(&mut tx, &SECRET.repeat(3000)[..]), Ok(()));
        tx.copy_to_bytes(tx.remaining()).to_vec()
    });
    let mut victim = Connection::server(&Config::new()).with_deflate(agreed, &settings);
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    rx.extend_from_slice(wire);
    assert!(matches!(victim.poll_event(&mut rx, &mut tx), Ok(Some(Event::Binary(_)))));
}

/// The payload of a message, which inflates to what is put to the end of `all`.
fn put_together(
    source: &mut Source<'_>,
    all: &mut Vec<u8>,
    begin: usize,
    window: usize,
) -> (Vec<u8>, Verdict) {
    let mut bits = Bits::default();
    let mut verdict = Verdict::Right;
    'blocks: for _ in 0..source.byte() % 5 {
        let kind = source.byte();
        let is_final = kind & 8 != 0;
        bits.put(is_final.into(), 1);
        if kind & 1 != 0 {
            bits.put(0, 2);
            bits.align();
            let len = u16::from(source.byte()) * if kind & 2 != 0 { 129 } else { 1 };
            bits.bytes.extend_from_slice(&len.to_le_bytes());
            bits.bytes.extend_from_slice(&(!len).to_le_bytes());
            let text: Vec<u8> = (0..len).map(|i| b'a' + (i % 23) as u8).collect();
            bits.bytes.extend_from_slice(&text);
            all.extend_from_slice(&text);
        } else {
            bits.put(1, 2);
            for _ in 0..source.byte() % 24 {
                let op = source.byte();
                if op < 100 {
                    bits.symbol(op.into());
                    all.push(op);
                    continue;
                }
                let len = if op & 1 != 0 { 258 } else { 3 + u32::from(op >> 1 & 7) };
                let distance = distance(op, source.byte(), source.byte(), all.len(), window);
                bits.matched(len, distance as u32);
                if distance > all.len() {
                    verdict = Verdict::Wrong;
                    break 'blocks;
                }
                if distance > window {
                    verdict = Verdict::TooFar;
                }
                (0..len).for_each(|_| all.push(all[all.len() - distance]));
            }
            bits.symbol(256);
        }
        if is_final {
            bits.align();
        }
        if all.len() - begin > LIMIT {
            verdict = Verdict::Wrong;
            break;
        }
    }
    if verdict != Verdict::Wrong {
        bits.put(0, 3); // RFC 7692 §7.2.1: an empty stored block, whose length is not sent
    }
    bits.align();
    (bits.bytes, verdict)
}

/// A distance at which something could go wrong: around all there is, or around the window.
fn distance(op: u8, high: u8, low: u8, len: usize, window: usize) -> usize {
    let (high, low) = (usize::from(high), usize::from(low));
    let distance = match op >> 4 & 3 {
        0 => len + low % 3,
        1 => (window + low % 3).saturating_sub(1),
        2 => high * 128 + low,
        _ => low + 1,
    };
    distance.clamp(1, 32768)
}

fn in_two_frames(payload: &[u8], cut: usize) -> Vec<u8> {
    let (first, second) = payload.split_at(cut * payload.len() / 255);
    let mut stream = Vec::new();
    for (is_first, part) in [(true, first), (false, second)] {
        let opcode = if is_first { Opcode::Binary } else { Opcode::Continuation };
        let mut header = FrameHeader::new(opcode, part.len() as u64, Some([0; 4]));
        (header.fin, header.rsv1) = (!is_first, is_first);
        stream.extend_from_slice(&header.encode());
        stream.extend_from_slice(part);
    }
    stream
}

/// What comes out, and whether that was all.
fn receive(
    end: &mut Connection,
    rx: &mut RecvBuffer,
    tx: &mut SendBuffer,
    stream: &[u8],
    step: usize,
    in_chunks: bool,
) -> (Vec<u8>, Result<bool, ProtocolError>) {
    let (mut got, mut done) = (Vec::new(), false);
    for piece in stream.chunks(step) {
        rx.extend_from_slice(piece);
        loop {
            let polled = match in_chunks {
                true => end.poll_chunk(rx, tx),
                false => end.poll_event(rx, tx),
            };
            match polled {
                Ok(None) => break,
                Ok(Some(Event::Binary(message))) => {
                    got.extend_from_slice(&message);
                    done = true;
                }
                Ok(Some(Event::Chunk(chunk))) => {
                    got.extend_from_slice(chunk.payload);
                    done |= chunk.last;
                }
                Ok(Some(other)) => panic!("{other:?}"),
                Err(error) => return (got, Err(error)),
            }
        }
    }
    (got, Ok(done))
}

/// A writer of deflate streams with the fixed codes of RFC 1951 §3.2.6.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    last: u32,
    len: u32,
}

impl Bits {
    /// The lowest bit first.
    fn put(&mut self, value: u32, bits: u32) {
        for i in 0..bits {
            self.last |= (value >> i & 1) << self.len;
            self.len += 1;
            if self.len == 8 {
                self.align();
            }
        }
    }

    fn align(&mut self) {
        if self.len > 0 {
            self.bytes.push(self.last as u8);
            (self.last, self.len) = (0, 0);
        }
    }

    /// A code: the highest bit first.
    fn code(&mut self, code: u32, bits: u32) {
        (0..bits).rev().for_each(|i| self.put(code >> i & 1, 1));
    }

    fn symbol(&mut self, symbol: u32) {
        match symbol {
            0..=143 => self.code(0x30 + symbol, 8),
            144..=255 => self.code(0x190 + symbol - 144, 9),
            256..=279 => self.code(symbol - 256, 7),
            _ => self.code(0xC0 + symbol - 280, 8),
        }
    }

    /// A match of 3 to 10 or of 258 bytes.
    fn matched(&mut self, len: u32, distance: u32) {
        self.symbol(if len == 258 { 285 } else { 257 + len - 3 });
        let (mut code, mut base, mut extra) = (0, 1, 0);
        while code < 29 && base + (1 << extra) <= distance {
            base += 1 << extra;
            code += 1;
            if code >= 4 && code % 2 == 0 {
                extra += 1;
            }
        }
        self.code(code, 5);
        self.put(distance - base, extra);
    }
}
