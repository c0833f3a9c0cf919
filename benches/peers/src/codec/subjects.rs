//! The protocol layers under comparison: for each a closure that handles one burst of messages.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};

use super::io::{Memory, now};
use super::{Case, End, Operation};
use crate::scenario::{KEY, Kind, parse_header, push_header};
use crate::servers::floor::apply_mask;

/// Handles one burst.
pub type Turn = Box<dyn FnMut()>;

pub struct Subject {
    pub name: &'static str,
    pub build: fn(&Case) -> Turn,
}

pub const SUBJECTS: [Subject; 8] = [
    Subject { name: "floor", build: floor },
    Subject { name: "sansws", build: sansws },
    Subject { name: "tungstenite", build: tungstenite },
    Subject { name: "fastwebsockets", build: fastwebsockets },
    Subject { name: "tokio-websockets", build: tokio_websockets },
    Subject { name: "sockudo-ws protocol", build: sockudo },
    Subject { name: "yawc", build: yawc },
    Subject { name: "soketto", build: soketto },
];

/// Copies, looks at the header, applies the mask, validates text; no more.
fn floor(case: &Case) -> Turn {
    let (case, burst, payload) = (*case, case.burst(), case.payload());
    let mut buffer = Vec::with_capacity(burst.len() + 16 * case.count());
    match case.operation {
        Operation::Decode => Box::new(move || {
            buffer.clear();
            buffer.extend_from_slice(black_box(&burst));
            let mut at = 0;
            while let Some(header) = parse_header(&buffer[at..]) {
                let end = at + header.header_len + header.len;
                let payload = &mut buffer[at + header.header_len..end];
                apply_mask(payload, header.key.unwrap_or_default());
                if case.kind != Kind::Binary {
                    black_box(simdutf8::basic::from_utf8(payload).is_ok());
                }
                black_box(payload);
                at = end;
            }
            assert_eq!(at, buffer.len());
        }),
        Operation::Encode => Box::new(move || {
            buffer.clear();
            for _ in 0..case.count() {
                let masked = case.end == End::Client;
                push_header(&mut buffer, case.kind.opcode(), case.len, masked);
                if masked {
                    buffer.extend_from_slice(&KEY);
                }
                let start = buffer.len();
                buffer.extend_from_slice(black_box(&payload));
                if masked {
                    apply_mask(&mut buffer[start..], KEY);
                }
            }
            black_box(&buffer);
        }),
    }
}

fn sansws(case: &Case) -> Turn {
    use sansws::Config;
    use sansws::buf::{RecvBuffer, SendBuffer};
    use sansws::bytes::Buf;
    use sansws::proto::{Connection, MessageRef};

    let (case, burst, payload) = (*case, case.burst(), Bytes::from(case.payload()));
    let config = Config::new().max_unsent(usize::MAX);
    let mut conn = match case.end {
        End::Server => Connection::server(&config),
        End::Client => Connection::client(&config, [7; 32]),
    };
    let (mut rx, mut tx) = (RecvBuffer::with_read_ahead(super::BURST), SendBuffer::new());
    match case.operation {
        Operation::Decode => Box::new(move || {
            let mut count = 0;
            let mut rest = black_box(&burst[..]);
            while !rest.is_empty() {
                let space = rx.space();
                let n = space.len().min(rest.len());
                space[..n].copy_from_slice(&rest[..n]);
                rx.commit(n);
                rest = &rest[n..];
                while let Some(event) = conn.poll_event(&mut rx, &mut tx).expect("valid") {
                    black_box(&event);
                    count += 1;
                }
            }
            assert_eq!(count, case.count());
        }),
        Operation::Encode => Box::new(move || {
            for _ in 0..case.count() {
                // a client masks and a small message is copied: there is no point in owning them
                let sent = match case.end {
                    End::Server if case.len >= 16 * 1024 => conn.feed(&mut tx, payload.clone()),
                    _ => conn.feed(&mut tx, MessageRef::binary(&payload)),
                };
                sent.expect("there is room");
            }
            black_box(tx.chunk());
            tx.advance(tx.remaining());
        }),
    }
}

fn tungstenite(case: &Case) -> Turn {
    use tungstenite::protocol::{Message, Role, WebSocket};

    let (case, payload) = (*case, Bytes::from(case.payload()));
    let role = match case.end {
        End::Server => Role::Server,
        End::Client => Role::Client,
    };
    let mut ws = WebSocket::from_raw_socket(Memory::new(case.burst()), role, None);
    match case.operation {
        Operation::Decode => Box::new(move || {
            for _ in 0..case.count() {
                black_box(ws.read().expect("valid"));
            }
        }),
        Operation::Encode => Box::new(move || {
            for _ in 0..case.count() {
                ws.write(Message::Binary(payload.clone())).expect("there is room");
            }
            ws.flush().expect("memory takes it");
        }),
    }
}

fn fastwebsockets(case: &Case) -> Turn {
    use fastwebsockets::{FragmentCollector, Frame, Payload, Role, WebSocket};

    let (case, payload) = (*case, case.payload());
    let role = match case.end {
        End::Server => Role::Server,
        End::Client => Role::Client,
    };
    let ws = WebSocket::after_handshake(Memory::new(case.burst()), role);
    let mut ws = FragmentCollector::new(ws);
    match case.operation {
        Operation::Decode => Box::new(move || {
            for _ in 0..case.count() {
                black_box(now(ws.read_frame()).expect("valid"));
            }
        }),
        Operation::Encode => Box::new(move || {
            for _ in 0..case.count() {
                let frame = Frame::binary(Payload::Borrowed(&payload));
                now(ws.write_frame(frame)).expect("memory takes it");
            }
        }),
    }
}

fn tokio_websockets(case: &Case) -> Turn {
    use tokio_websockets::{ClientBuilder, Config, Limits, Message, ServerBuilder};

    let (case, payload) = (*case, Bytes::from(case.payload()));
    let memory = Memory::new(case.burst());
    let config = Config::default().frame_size(usize::MAX);
    let limits = Limits::unlimited();
    let mut ws = match case.end {
        End::Server => ServerBuilder::new().config(config).limits(limits).serve(memory),
        End::Client => ClientBuilder::new().config(config).limits(limits).take_over(memory),
    };
    match case.operation {
        Operation::Decode => Box::new(move || {
            for _ in 0..case.count() {
                black_box(now(ws.next()).expect("endless").expect("valid"));
            }
        }),
        Operation::Encode => Box::new(move || {
            for _ in 0..case.count() {
                now(ws.feed(Message::binary(payload.clone()))).expect("there is room");
            }
            now(ws.flush()).expect("memory takes it");
        }),
    }
}

fn sockudo(case: &Case) -> Turn {
    use sockudo_ws::protocol::{Message, Protocol};
    use sockudo_ws::{Config, Role};

    let (case, burst, payload) = (*case, case.burst(), Bytes::from(case.payload()));
    let role = match case.end {
        End::Server => Role::Server,
        End::Client => Role::Client,
    };
    let config = Config::default();
    let mut protocol = Protocol::new(role, config.max_frame_size, config.max_message_size);
    let mut buffer = BytesMut::with_capacity(2 * burst.len());
    let mut messages = Vec::new();
    match case.operation {
        Operation::Decode => Box::new(move || {
            buffer.reserve(burst.len());
            buffer.extend_from_slice(black_box(&burst));
            protocol.process_into(&mut buffer, &mut messages).expect("valid");
            assert_eq!(messages.len(), case.count());
            messages.drain(..).for_each(|message| drop(black_box(message)));
        }),
        Operation::Encode => Box::new(move || {
            buffer.clear();
            for _ in 0..case.count() {
                let message = Message::Binary(payload.clone());
                protocol.encode_message(&message, &mut buffer).expect("there is room");
            }
            black_box(&buffer);
        }),
    }
}

fn yawc(case: &Case) -> Turn {
    use yawc::{Frame, Options, Role, WebSocket};

    let (case, payload) = (*case, Bytes::from(case.payload()));
    let role = match case.end {
        End::Server => Role::Server,
        End::Client => Role::Client,
    };
    let options = Options::default().with_utf8().with_limits(16 << 20, 32 << 20);
    let ws = WebSocket::from_stream(Memory::new(case.burst()), role, options);
    let mut ws = ws.expect("nothing was negotiated");
    match case.operation {
        Operation::Decode => Box::new(move || {
            for _ in 0..case.count() {
                black_box(now(ws.next_frame()).expect("valid"));
            }
        }),
        Operation::Encode => Box::new(move || {
            for _ in 0..case.count() {
                now(ws.feed(Frame::binary(payload.clone()))).expect("there is room");
            }
            now(ws.flush()).expect("memory takes it");
        }),
    }
}

fn soketto(case: &Case) -> Turn {
    use futures_util::io::{BufReader, BufWriter};
    use soketto::Mode;
    use soketto::connection::Builder;

    let (case, payload) = (*case, case.payload());
    let mode = match case.end {
        End::Server => Mode::Server,
        End::Client => Mode::Client,
    };
    let memory = BufReader::new(BufWriter::new(Memory::new(case.burst())));
    let (mut sender, mut receiver) = Builder::new(memory, mode).finish();
    let mut message = Vec::new();
    match case.operation {
        Operation::Decode => Box::new(move || {
            for _ in 0..case.count() {
                message.clear();
                black_box(now(receiver.receive_data(&mut message)).expect("valid"));
                if case.kind != Kind::Binary {
                    // it leaves this to the application
                    black_box(std::str::from_utf8(&message).is_ok());
                }
            }
        }),
        Operation::Encode => Box::new(move || {
            for _ in 0..case.count() {
                now(sender.send_binary(&payload)).expect("memory takes it");
            }
            now(sender.flush()).expect("memory takes it");
        }),
    }
}
