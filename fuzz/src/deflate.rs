use super::Input;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::deflate::{Agreement, Deflate};
use sansws::proto::{Connection, Role};
use sansws::wire::{FrameHeader, Opcode};
use sansws::{Config, Event, Message, ProtocolError};

/// Compressed payloads, right or wrong: the same verdict and the same messages however they are cut
/// and delivered, within the limits; and what came out comes out again when it is compressed by us.
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
    send_again(agreed, &whole.0);
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
    let mut connection = end(Role::Client, &config, agreed);
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

/// From one end of ours to the other.
fn send_again(agreed: Agreement, messages: &[Message]) {
    let mut server = end(Role::Server, &Config::new(), agreed);
    let mut client = end(Role::Client, &Config::new(), agreed);
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    for message in messages {
        assert_eq!(server.feed(&mut tx, message), Ok(()));
        while let Some(chunk) = tx.take_chunk() {
            rx.extend_from_slice(&chunk);
        }
        match client.poll_event(&mut rx, &mut tx) {
            Ok(Some(event)) => assert_eq!(event.into_message().as_ref(), Some(message)),
            other => panic!("{other:?}"),
        }
    }
}

fn end(role: Role, config: &Config, agreed: Agreement) -> Connection {
    let connection = match role {
        Role::Server => Connection::server(config),
        Role::Client => Connection::client(config, [7; 32]),
    };
    connection.with_deflate(agreed, &Deflate::new().threshold(1))
}

/// Small enough for a few bytes to exceed it.
const LIMIT: usize = 100_000;
