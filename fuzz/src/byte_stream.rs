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
/// file comes after a Close that says so and at no other time. What is written arrives as it was.
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
    let result = read_all(&mut stream, &input, &mut read, &mut written);
    check_read(&expected, &read, result);
    // for ever
    let mut byte = [0];
    match result {
        Ok(()) => assert!(matches!(stream.read(&mut byte), Ok(0))),
        Err(_) => assert!(stream.read(&mut byte).is_err()),
    }
    let taken = &stream.get_ref().get_ref().0.taken;
    check_written(role, taken, &written);
}

/// Reads, and writes between the reads, as the switches say.
fn read_all(
    stream: &mut ByteStream<Plain<Transport<'_>>>,
    input: &Input<'_>,
    read: &mut Vec<u8>,
    written: &mut Vec<u8>,
) -> Result<(), io::ErrorKind> {
    let mut buffer = [0; 50];
    let len = 1 + usize::from(input.switches >> 5) * 7;
    loop {
        if input.is_set(2) {
            let text = [b'a' + (written.len() % 26) as u8; 3];
            if let Ok(n) = stream.write(&text) {
                written.extend_from_slice(&text[..n]);
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
fn check_written(role: Role, taken: &[u8], written: &[u8]) {
    let plain = match role {
        Role::Server => Some(taken.to_vec()),
        Role::Client => model::without_masks(taken),
    };
    let Some(mut plain) = plain.as_deref() else { panic!("half a frame was written") };
    let mut bytes = Vec::new();
    while let [first, len @ 0..126, rest @ ..] = plain {
        let (payload, rest) = rest.split_at(usize::from(*len));
        if first & 0x0F == 2 {
            bytes.extend_from_slice(payload);
        }
        plain = rest;
    }
    assert_eq!((plain, &bytes[..]), (&[][..], written));
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
