use std::io::{self, BufRead, Read, Write};

use sansws::blocking::{ByteStream, Plain, WebSocket};
use sansws::buf::RecvBuffer;
use sansws::proto::{Connection, Role};
use sansws::{Config, Parts};

use super::model::{self, Event};
use super::{Input, Piece};

/// A WebSocket as a stream of bytes, over a transport that gives it whatever pieces it likes.
///
/// What is read is what the binary messages of the model hold, to the last byte, and the end of
/// file comes after a Close that says so and at no other time. What is written arrives as it was,
/// in a message for each write. Between that stand the answers of the model, and no others: pongs,
/// and a Close, which refuses a text message.
pub fn byte_stream(data: &[u8]) {
    let input = Input::new(data);
    let role = if input.is_set(0) { Role::Server } else { Role::Client };
    let max_message_len = if input.is_set(1) { 60 } else { 1 << 20 };
    let config = Config::new()
        .max_message_len(max_message_len)
        .max_fragments(1000)
        .max_empty_fragments(8)
        .max_pending_pongs(1 << 20)
        .read_ahead(256);
    let expected = model::receive(
        &model::Setting {
            is_server: role == Role::Server,
            max_message_len: max_message_len as u64,
            max_fragments: 1000,
            max_empty_fragments: 8,
            closing: None,
            echo: false,
            deflate: None,
        },
        input.bytes,
    );
    let connection = match role {
        Role::Server => Connection::server(&config),
        Role::Client => Connection::client(&config, [7; 32]),
    };
    let transport = Transport { pieces: input.pieces().into_iter(), piece: &[], taken: Vec::new() };
    let rx = RecvBuffer::with_read_ahead(256);
    let parts = Parts::new(Plain(transport), connection, rx);
    let mut stream = WebSocket::from_parts(parts).into_byte_stream();

    let (mut read, mut written) = (Vec::new(), Vec::new());
    let result = read_all(&mut stream, &input, &expected, &mut read, &mut written);
    check_read(&expected, &read, result);
    // for ever
    let mut byte = [0];
    match result {
        Ok(()) => assert!(matches!(stream.read(&mut byte), Ok(0))),
        Err(_) => assert!(stream.read(&mut byte).is_err()),
    }
    let taken = &stream.get_ref().get_ref().0.taken;
    check_written(role, taken, &written, &expected);
}

/// Reads, and writes between the reads, as the switches say.
fn read_all(
    stream: &mut ByteStream<Plain<Transport<'_>>>,
    input: &Input<'_>,
    expected: &model::Seen,
    read: &mut Vec<u8>,
    written: &mut Vec<Vec<u8>>,
) -> Result<(), io::ErrorKind> {
    let mut buffer = [0; 50];
    let len = 1 + usize::from(input.switches >> 5) * 7;
    let mut has_failed = false;
    for round in 0.. {
        let is_long = input.is_set(4) && round < 20;
        if input.is_set(2) {
            let sizes = if is_long { LONG_WRITES } else { [3; 5] };
            let text = vec![b'a' + (round % 26) as u8; sizes[round % 5]];
            match stream.write(&text) {
                Ok(0) => assert!(text.is_empty(), "nothing of it was taken"),
                Ok(n) => {
                    assert!(!has_failed, "a write goes through behind one that failed");
                    assert_eq!(n, text.len().min(LONGEST_MESSAGE));
                    written.push(text[..n].to_vec());
                }
                Err(error) => {
                    assert!(expected.close_code.is_some() || has_text(expected), "{error}");
                    has_failed = true;
                }
            }
        }
        let n = if input.is_set(3) {
            let there = stream.fill_buf().map_err(|error| error.kind())?;
            let n = there.len().min(len);
            read.extend_from_slice(&there[..n]);
            stream.consume(n);
            n
        } else {
            let n = stream.read(&mut buffer[..len]).map_err(|error| error.kind())?;
            read.extend_from_slice(&buffer[..n]);
            n
        };
        if n == 0 {
            return Ok(());
        }
    }
    unreachable!("a stream ends")
}

/// The lengths of writes, in turn; one is longer than a message.
const LONG_WRITES: [usize; 5] = [3, 125, 126, 0, 40_000];

/// The documented one.
const LONGEST_MESSAGE: usize = 32 * 1024;

/// Whether a text has come, or a byte of one: it is refused.
fn has_text(expected: &model::Seen) -> bool {
    expected.events.iter().any(|it| matches!(it, Event::Text(_)))
        || expected.unfinished.as_ref().is_some_and(|it| it.0)
}

fn check_read(expected: &model::Seen, read: &[u8], result: Result<(), io::ErrorKind>) {
    let mut bytes = Vec::new();
    let mut events = expected.events.iter();
    let end = events.find_map(|event| match event {
        Event::Binary(payload) => {
            bytes.extend_from_slice(payload);
            None
        }
        Event::Ping(_) | Event::Pong(_) => None,
        other => Some(other),
    });
    match end {
        // a text message is refused at its first byte
        Some(Event::Close(_))
            if expected.unfinished.as_ref().is_some_and(|it| it.0 && !it.1.is_empty()) =>
        {
            assert_eq!((result, read), (Err(io::ErrorKind::InvalidData), &bytes[..]));
        }
        Some(Event::Close(close)) => {
            if let Some((false, unfinished)) = &expected.unfinished {
                bytes.extend_from_slice(unfinished);
            }
            let is_end = close.as_ref().is_none_or(|(code, _)| *code == 1000);
            let kind = io::ErrorKind::ConnectionAborted;
            assert_eq!(result, if is_end { Ok(()) } else { Err(kind) });
            assert_eq!(read, bytes);
        }
        Some(_) => {
            assert_eq!(result, Err(io::ErrorKind::InvalidData), "a text message");
            assert_eq!(read, bytes);
        }
        None => {
            let (is_text, unfinished) = match &expected.unfinished {
                Some((is_text, payload)) => (*is_text, &payload[..]),
                None => (false, &[][..]),
            };
            let is_broken = expected.failure.is_some();
            let kind = result.err();
            if is_broken || is_text {
                // a text of which nothing came shows with its first byte only
                let both = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
                assert!(
                    kind.is_some_and(|kind| both[..if is_broken { 1 } else { 2 }].contains(&kind))
                );
            } else {
                assert_eq!(kind, Some(io::ErrorKind::UnexpectedEof));
            }
            if !is_text {
                bytes.extend_from_slice(unfinished);
            }
            assert_eq!(read, bytes);
        }
    }
}

/// Binary messages, and answers to the peer between them.
fn check_written(role: Role, taken: &[u8], written: &[Vec<u8>], expected: &model::Seen) {
    let plain = match role {
        Role::Server => Some(taken.to_vec()),
        Role::Client => model::without_masks(taken),
    };
    let Some(plain) = plain else { panic!("half a frame was written") };
    let (messages, answers): (Vec<_>, Vec<_>) =
        frames(&plain).into_iter().partition(|it| it.0 == 2);
    let messages: Vec<_> = messages.into_iter().map(|it| it.1).collect();
    assert_eq!(messages, written);
    let expected_answers = frames(&expected.sent);
    if !has_text(expected) {
        assert_eq!(answers, expected_answers);
        return;
    }
    let is_pong = |it: &&(u8, &[u8])| it.0 == 10;
    let is_close = |it: &&(u8, &[u8])| it.0 == 8;
    assert!(
        answers.iter().filter(is_pong).eq(expected_answers.iter().filter(is_pong)),
        "{answers:?}, but {expected_answers:?}"
    );
    // a text of which nothing came may not have been refused
    let has_bytes =
        expected.events.iter().any(|it| matches!(it, Event::Text(it) if !it.is_empty()));
    let close: Vec<_> = answers.iter().filter(is_close).collect();
    assert!(close.len() <= 1, "{close:?}");
    let has_refused = matches!(&close[..], [close] if close.1.starts_with(&1003_u16.to_be_bytes()));
    assert!(!has_bytes || has_refused, "{close:?}");
}

/// Opcodes and payloads of frames without masks, each of which is a whole message.
fn frames(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while let [first, length, ..] = *bytes {
        assert_eq!(first & 0xF0, 0x80, "not a whole message");
        let (begin, length) = match (length, bytes) {
            (126, [_, _, high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            (0..126, _) => (2, usize::from(length)),
            _ => panic!("half a header, or a long message"),
        };
        frames.push((first & 0x0F, &bytes[begin..begin + length]));
        bytes = &bytes[begin + length..];
    }
    assert!(bytes.is_empty());
    frames
}

/// Gives a piece, or the beginning of it, for each read; takes all that is written.
struct Transport<'a> {
    pieces: std::vec::IntoIter<Piece<'a>>,
    piece: &'a [u8],
    taken: Vec<u8>,
}

impl Read for Transport<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            self.piece = self.pieces.next().map_or(&[], |piece| piece.bytes);
        }
        self.piece.read(buffer)
    }
}

impl Write for Transport<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.taken.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
