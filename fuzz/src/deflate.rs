use super::Input;
use super::inflate::inflate;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::deflate::{Agreement, Deflate};
use sansws::proto::{Connection, Role};
use sansws::wire::{FrameHeader, Opcode, apply_mask};
use sansws::{Config, Event, Message, ProtocolError};

/// Compressed payloads, right or wrong: the same verdict and the same messages however they are cut
/// and delivered, within the limits; and what came out comes out again when it is compressed by us,
/// in both roles, without a look beyond the window that was agreed.
///
/// What the peer sends is `[length] [payload]`, over and over; a length of 255 is the rest.
pub fn compressed_messages(data: &[u8]) {
    let input = Input::new(data);
    let opcode = if input.is_set(0) { Opcode::Text } else { Opcode::Binary };
    let mut agreed = Agreement::new();
    agreed.server_no_context_takeover = input.is_set(1);
    agreed.client_no_context_takeover = input.is_set(1);
    let bits = 8 + (input.switches >> 5);
    agreed.server_max_window_bits = bits;
    agreed.client_max_window_bits = bits;

    // a server's frames, which are not masked
    let mut stream = Vec::new();
    let mut left = input.bytes;
    while let Some((&len, rest)) = left.split_first() {
        let len = if len == 255 { rest.len() } else { usize::from(len).min(rest.len()) };
        let (payload, rest) = rest.split_at(len);
        left = rest;
        let (first, second) = payload.split_at(if input.is_set(2) { len / 2 } else { 0 });
        if input.is_set(2) {
            put(&mut stream, opcode, false, first);
            put(&mut stream, Opcode::Continuation, true, second);
        } else {
            put(&mut stream, opcode, true, payload);
        }
    }

    let whole = receive(agreed, false, &[&stream]);
    let steps: Vec<&[u8]> =
        Input { bytes: &stream, ..input }.pieces().iter().map(|it| it.bytes).collect();
    for in_chunks in [false, true] {
        assert_eq!(receive(agreed, in_chunks, &steps), whole, "{in_chunks}");
    }
    assert_eq!(receive(agreed, true, &[&stream]), whole);
    let level = [2, 1, 6, 9][usize::from(input.switches >> 3 & 3)];
    for from in [Role::Server, Role::Client] {
        send_again(from, agreed, level, &whole.0);
    }
}

fn put(stream: &mut Vec<u8>, opcode: Opcode, fin: bool, payload: &[u8]) {
    let mut header = FrameHeader::new(opcode, payload.len() as u64, None);
    header.fin = fin;
    header.rsv1 = opcode != Opcode::Continuation;
    stream.extend_from_slice(&header.encode());
    stream.extend_from_slice(payload);
}

/// What a client makes of it.
fn receive(
    agreed: Agreement,
    in_chunks: bool,
    pieces: &[&[u8]],
) -> (Vec<Message>, Result<(), ProtocolError>) {
    let config = Config::new().max_message_len(LIMIT);
    let mut connection = end(Role::Client, &config, agreed, 2);
    let (mut rx, mut tx) = (RecvBuffer::with_read_ahead(256), SendBuffer::new());
    let mut messages = Vec::new();
    let mut under_way = Vec::new();
    let mut received = 0;
    for piece in pieces {
        rx.extend_from_slice(piece);
        received += piece.len();
        loop {
            let polled = match in_chunks {
                true => connection.poll_chunk(&mut rx, &mut tx),
                false => connection.poll_event(&mut rx, &mut tx),
            };
            match polled {
                Ok(None) => break,
                Ok(Some(Event::Chunk(chunk))) => {
                    assert!(chunk.last || !chunk.payload.is_empty());
                    under_way.extend_from_slice(chunk.payload);
                    assert!(under_way.len() <= LIMIT);
                    if chunk.last {
                        messages.push(under_way.as_slice().into());
                        under_way.clear();
                    }
                }
                Ok(Some(event)) => {
                    let Some(message) = event.into_message() else { panic!("not a message") };
                    assert!(message.len() <= LIMIT);
                    // chunks are compared by their bytes
                    messages.push(message.into_bytes().into());
                }
                Err(error) => {
                    let _ = error.to_string();
                    return (messages, Err(error));
                }
            }
            let most = 2 * received + LIMIT + 64 * 1024;
            assert!(rx.capacity() <= most, "{} bytes held", rx.capacity());
        }
    }
    (messages, Ok(()))
}

/// From one end of ours to the other, each message twice: the second one refers to the first, if
/// that is in the window.
fn send_again(from: Role, agreed: Agreement, level: u8, messages: &[Message]) {
    let to = if from == Role::Server { Role::Client } else { Role::Server };
    let mut sender = end(from, &Config::new(), agreed, level);
    let mut receiver = end(to, &Config::new(), agreed, level);
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let mut window = Some(Vec::new());
    for message in messages.iter().flat_map(|message| [message, message]) {
        assert_eq!(sender.feed(&mut tx, message), Ok(()));
        let frame = tx.copy_to_bytes(tx.remaining());
        check_window(from, agreed, &frame, message, &mut window);
        rx.extend_from_slice(&frame);
        match receiver.poll_event(&mut rx, &mut tx) {
            Ok(Some(event)) => assert_eq!(event.into_message().as_ref(), Some(message)),
            other => panic!("{other:?}"),
        }
    }
}

/// RFC 7692 §7.1, §7.2.2: what is in a frame of ours, by another reading of it. `window` is what
/// was compressed before, if all of that was read.
fn check_window(
    from: Role,
    agreed: Agreement,
    frame: &[u8],
    message: &Message,
    window: &mut Option<Vec<u8>>,
) {
    let Ok(Some((header, len))) = FrameHeader::parse(frame) else { panic!("half a header") };
    let mut payload = frame[len..].to_vec();
    if let Some(key) = header.mask {
        apply_mask(&mut payload, key, 0);
    }
    if !header.rsv1 {
        assert!(payload == message.as_bytes(), "another message than was sent");
        return;
    }
    let (no_context_takeover, bits) = match from {
        Role::Server => (agreed.server_no_context_takeover, agreed.server_max_window_bits),
        Role::Client => (agreed.client_no_context_takeover, agreed.client_max_window_bits),
    };
    if no_context_takeover {
        *window = Some(Vec::new());
    }
    // it is read bit by bit
    if payload.len() > 4096 || window.as_ref().is_some_and(|it| it.len() > 4 * LIMIT) {
        *window = None;
    }
    let Some(window) = window else { return };
    let begin = window.len();
    payload.extend_from_slice(&[0x00, 0x00, 0xff, 0xff]);
    let (progress, fault) = inflate(&payload, window);
    assert_eq!(fault, None);
    assert!(window[begin..] == *message.as_bytes(), "inflated to something else");
    let farthest = progress.farthest;
    assert!(farthest <= 1 << bits, "{farthest} bytes back, with {bits} bits");
}

fn end(role: Role, config: &Config, agreed: Agreement, level: u8) -> Connection {
    let connection = match role {
        Role::Server => Connection::server(config),
        Role::Client => Connection::client(config, [7; 32]),
    };
    connection.with_deflate(agreed, &Deflate::new().threshold(1).level(level))
}

/// Small enough for a few bytes to exceed it.
const LIMIT: usize = 100_000;
