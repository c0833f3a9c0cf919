use sansws::bytes::Buf;

use super::{Input, Piece, check_memory, model};
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::proto::{Connection, MessageKind, Receiver, Reply, Role, Sender, State};
use sansws::wire::{FrameHeader, Opcode, apply_mask};
use sansws::{CloseCode, CloseFrame, Config, Event, Message, ProtocolError};

/// What a client sends to a server.
pub fn frame_stream_server(data: &[u8]) {
    frame_stream(Role::Server, data);
}

/// What a server sends to a client.
pub fn frame_stream_client(data: &[u8]) {
    frame_stream(Role::Client, data);
}

/// However the bytes are cut, whichever way they take into the buffer, whoever owns the two
/// directions and however little is done in one call: the same events, the same errors, the same
/// replies, which are those of the model. Whoever takes some of it in chunks gets the same
/// messages. Nothing is processed after the end, and memory is held in proportion to what came.
fn frame_stream(role: Role, data: &[u8]) {
    let input = Input::new(data);
    let setting = Setting {
        role,
        config: config(&input),
        read_ahead: read_ahead(&input),
        limits: if input.is_set(SWITCH_LOW_LIMITS) { LOW_LIMITS } else { DEFAULT_LIMITS },
        max_pongs: if input.is_set(SWITCH_MANY_PONGS) { MANY } else { DEFAULT_PONGS },
        in_chunks: input.is_set(SWITCH_CHUNKS),
        closing: input.is_set(SWITCH_CLOSING),
        echo: input.is_set(SWITCH_ECHO),
        deflate: input.is_set(SWITCH_DEFLATE).then_some(!input.is_set(SWITCH_TAKEOVER)),
    };
    let whole = [Piece { bytes: input.bytes, way: 0 }];
    let expected = setting.run(&whole, Manner::default());
    check_emitted(role, &expected.sent);
    setting.check_model(input.bytes, &expected);

    let pieces = input.pieces();
    for manner in [
        Manner { look: true, ..Manner::default() },
        Manner { own: true, ..Manner::default() },
        Manner { halves: true, ..Manner::default() },
        Manner { drain: input.is_set(SWITCH_MANY_PONGS), ..Manner::default() },
    ] {
        assert_eq!(setting.run(&pieces, manner), expected, "{manner:?}");
    }
    let first = input.plan.first().copied().unwrap_or(0);
    if setting.deflate.is_some() {
        // small steps over much that is inflated take long
        let is_short = input.bytes.len() <= LONG_COMPRESSED;
        let steps = Some(if is_short { 1 + usize::from(first % 64) } else { 4096 });
        for halves in [false, true] {
            let manner = Manner { steps, halves, ..Manner::default() };
            assert_eq!(setting.run(&pieces, manner), expected, "{manner:?}");
        }
    }
    // what comes in chunks is not sent back
    if !setting.echo {
        let manner = Manner { chunks: Some(first), ..Manner::default() };
        let seen = setting.run(&pieces, manner);
        assert_eq!(of_model(&seen.events), of_model(&expected.events), "{manner:?}");
        assert_eq!((seen.result, &seen.sent), (expected.result, &expected.sent), "{manner:?}");
        assert_eq!((&seen.end, seen.close_code), (&expected.end, expected.close_code));
    }
}

/// The first switches of an input.
const SWITCH_CHUNKS: u32 = 0;
const SWITCH_LOW_LIMITS: u32 = 1;
const SWITCH_CLOSING: u32 = 2;
const SWITCH_ECHO: u32 = 3;
const SWITCH_MANY_PONGS: u32 = 4;
const SWITCH_SMALL_READS: u32 = 5;
const SWITCH_DEFLATE: u32 = 6;
const SWITCH_TAKEOVER: u32 = 7;

/// As good as no limit.
const MANY: usize = 1 << 20;

/// What is not set in a [`Config`].
const DEFAULT_LIMITS: (u64, u32, u32) = (16 << 20, 131_072, 1024);
const LOW_LIMITS: (u64, u32, u32) = (60, 5, 1);
const DEFAULT_PONGS: usize = 16;

/// More than this is too much for a model that looks at a text anew with each byte of it.
const LONG: usize = 8192;
/// The same where it inflates anew with each byte.
const LONG_COMPRESSED: usize = 400;

/// The Close of this end, if it sends one by itself.
const GOODBYE: (CloseCode, &str) = (CloseCode::GOING_AWAY, "bye");

fn config(input: &Input<'_>) -> Config {
    let mut config = Config::new().max_unsent(usize::MAX);
    if input.is_set(SWITCH_LOW_LIMITS) {
        let (len, fragments, empty) = LOW_LIMITS;
        config = config.max_message_len(len as usize);
        config = config.max_fragments(fragments).max_empty_fragments(empty);
    }
    if input.is_set(SWITCH_MANY_PONGS) {
        config = config.max_pending_pongs(MANY);
    }
    config
}

fn read_ahead(input: &Input<'_>) -> usize {
    if input.is_set(SWITCH_SMALL_READS) { 256 } else { RecvBuffer::DEFAULT_READ_AHEAD }
}

struct Setting {
    role: Role,
    config: Config,
    /// Of a message: its length, its fragments, those of them in a row that are empty.
    limits: (u64, u32, u32),
    max_pongs: usize,
    read_ahead: usize,
    /// Messages are taken as they arrive.
    in_chunks: bool,
    /// This end closes before anything arrives.
    closing: bool,
    /// Every message is sent back.
    echo: bool,
    /// Messages may be compressed; with `true` each begins with an empty window.
    deflate: Option<bool>,
}

/// What must make no difference.
#[derive(Clone, Copy, Debug, Default)]
struct Manner {
    /// Ask whether there is an event, and read on, before taking it.
    look: bool,
    /// Make the events own what they hold, and keep them all.
    own: bool,
    /// The two directions have two owners.
    halves: bool,
    /// Write after every piece.
    drain: bool,
    /// Inflate so many bytes in one call.
    steps: Option<usize>,
    /// Take chunks or messages, whichever the bits say in turn.
    chunks: Option<u8>,
}

/// All that is seen of a connection.
#[derive(Debug, PartialEq)]
struct Seen {
    events: Vec<Got>,
    result: Result<(), ProtocolError>,
    sent: Vec<u8>,
    idle: bool,
    close_code: Option<u16>,
    end: String,
}

#[derive(Debug, PartialEq)]
enum Got {
    Message(Message),
    Chunk { kind: MessageKind, first: bool, last: bool, payload: Vec<u8> },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// A connection in one part or in two.
enum End {
    Whole(Connection),
    Halves(Receiver, Sender),
}

impl Setting {
    fn run(&self, pieces: &[Piece<'_>], manner: Manner) -> Seen {
        let connection = match self.role {
            Role::Server => Connection::server(&self.config),
            Role::Client => Connection::client(&self.config, [7; 32]),
        };
        #[cfg(feature = "deflate")]
        let connection = self.with_deflate(connection);
        let mut end = match manner.halves {
            false => End::Whole(connection),
            true => {
                let (receiver, sender) = connection.split();
                End::Halves(receiver, sender)
            }
        };
        if let Some(steps) = manner.steps {
            end.work_in_steps(steps);
        }
        let mut bits = 0;
        let mut in_chunks = || {
            bits += 1;
            manner.chunks.map_or(self.in_chunks, |it| it >> (bits % 8) & 1 != 0)
        };
        let mut rx = RecvBuffer::with_read_ahead(self.read_ahead);
        let mut tx = SendBuffer::new();
        // looking finds what was asked for last
        assert_eq!(end.poll(&mut rx, &mut tx, false, in_chunks()), Ok(None));
        let (mut events, mut sent) = (Vec::new(), Vec::new());
        let (mut result, mut received) = (Ok(()), 0);
        if self.closing {
            end.close(&mut tx);
        }
        let mut pieces = pieces.iter();
        while let Some(piece) = pieces.next() {
            piece.feed(&mut rx);
            received += piece.bytes.len();
            while result.is_ok() {
                let expected = if manner.look { end.advance(&mut rx, &mut tx) } else { None };
                // more may come between the look and the taking
                if expected == Some(Ok(true)) {
                    for piece in pieces.by_ref().take(4) {
                        piece.feed(&mut rx);
                        received += piece.bytes.len();
                    }
                }
                let polled = end.poll(&mut rx, &mut tx, manner.own, in_chunks());
                if let Some(expected) = expected {
                    assert_eq!(polled.as_ref().map(Option::is_some), expected.as_ref().copied());
                }
                match polled {
                    Ok(None) if end.is_paused() => {
                        assert!(manner.steps.is_some(), "there is no bound on the work");
                        // more may come before it goes on
                        for piece in pieces.by_ref().take(1) {
                            piece.feed(&mut rx);
                            received += piece.bytes.len();
                        }
                    }
                    Ok(None) => break,
                    Ok(Some(event)) => {
                        if self.echo
                            && let Got::Message(message) = &event
                        {
                            end.send(&mut tx, message);
                        }
                        events.push(event);
                    }
                    Err(error) => result = Err(error),
                }
            }
            // RFC 1951 §3.2.5: two bits may stand for 258 bytes
            let factor = if self.deflate.is_some() { 1032 } else { 1 };
            check_memory(&rx, received * factor, self.read_ahead);
            if manner.drain {
                drain(&mut tx, &mut sent);
            }
            if result.is_err() {
                break;
            }
        }
        drain(&mut tx, &mut sent);
        let idle = rx.is_idle();
        let (state, close_code) = (end.summary(), end.close_code());
        // RFC 6455 §7.1.7: after a failure nothing of the peer is processed
        if result.is_err() {
            let ping = frame(self.role, Opcode::Ping, b"x");
            for bytes in pieces.map(|piece| piece.bytes).chain([&ping[..]]) {
                rx.extend_from_slice(bytes);
                assert_eq!(end.poll(&mut rx, &mut tx, false, self.in_chunks).map(|_| ()), result);
                assert!(tx.is_empty() && rx.is_idle(), "something was processed after a failure");
                assert_eq!(end.summary(), state);
            }
        }
        let is_cut = match self.deflate {
            None => result == Err(ProtocolError::InvalidUtf8),
            Some(_) => result.is_err(),
        };
        Seen { events: joined(events, is_cut), result, sent, idle, close_code, end: state }
    }
}

impl Setting {
    /// What is sent is plain, as the model sends it.
    #[cfg(feature = "deflate")]
    fn with_deflate(&self, connection: Connection) -> Connection {
        let Some(no_context_takeover) = self.deflate else { return connection };
        let mut agreed = sansws::deflate::Agreement::new();
        agreed.server_no_context_takeover = no_context_takeover;
        agreed.client_no_context_takeover = no_context_takeover;
        let settings = sansws::deflate::Deflate::new().threshold(usize::MAX);
        connection.with_deflate(agreed, &settings)
    }

    /// The model makes the same of the bytes.
    fn check_model(&self, bytes: &[u8], seen: &Seen) {
        let deflate = if cfg!(feature = "deflate") { self.deflate } else { None };
        if bytes.len() > if deflate.is_some() { LONG_COMPRESSED } else { LONG } {
            return;
        }
        let (max_message_len, max_fragments, max_empty_fragments) = self.limits;
        let model = model::receive(
            &model::Setting {
                is_server: self.role == Role::Server,
                max_message_len,
                max_fragments,
                max_empty_fragments,
                closing: self.closing.then_some((GOODBYE.0.as_u16(), GOODBYE.1)),
                echo: self.echo && !self.in_chunks,
                deflate,
            },
            bytes,
        );
        let events = of_model(&seen.events);
        let sent = match self.role {
            Role::Server => Some(seen.sent.clone()),
            Role::Client => model::without_masks(&seen.sent),
        };
        let Some(sent) = sent else { panic!("frames without masks: {:02x?}", seen.sent) };
        // RFC 6455 §5.5.3: beyond a limit only the newest pong is kept
        let pongs = |events: &[model::Event]| {
            events.iter().filter(|it| matches!(it, model::Event::Ping(_))).count()
        };
        let has_all_pongs = pongs(&events).max(model.pongs) <= self.max_pongs;
        // an engine looks ahead, and sees a fault in what is compressed sooner or later
        let by_model = |failure: &model::Failure| failure.rules == ["InvalidDeflate"];
        if seen.result == Err(ProtocolError::InvalidDeflate)
            || model.failure.as_ref().is_some_and(by_model)
        {
            // until one of them sees it both see the same, and no message is complete behind that
            let (short, long) = match events.len() < model.events.len() {
                true => (&events, &model.events),
                false => (&model.events, &events),
            };
            let (both, behind) = long.split_at(short.len());
            assert_eq!(short, both, "{:?} of {bytes:02x?}", seen.result);
            let is_message =
                |it: &model::Event| matches!(it, model::Event::Text(_) | model::Event::Binary(_));
            assert!(!behind.iter().any(is_message), "{behind:?} of {bytes:02x?}");
            if seen.result.is_ok() {
                let got = events.iter().filter(|it| is_message(it)).count();
                assert_eq!(got, complete_messages(bytes), "a wrong message of {bytes:02x?}");
            }
            if model.failure.is_none() {
                assert!(model.unfinished.is_some(), "{:?} between messages", seen.result);
            }
            if has_all_pongs {
                let (first, second) = (without_close(&sent), without_close(&model.sent));
                let len = first.len().min(second.len());
                assert_eq!(first[..len], second[..len], "{:?} of {bytes:02x?}", seen.result);
            }
            return;
        }
        assert_eq!(events, model.events, "{:?} of {bytes:02x?}", seen.result);
        match (&model.failure, seen.result) {
            (None, Ok(())) => {}
            (Some(failure), Err(error)) => {
                let name = format!("{error:?}");
                let is_named = |rule: &&str| name.starts_with(*rule);
                assert!(failure.rules.iter().any(is_named), "{name}: {failure:?}");
                assert_eq!(error.close_code().as_u16(), failure.code);
            }
            (failure, result) => panic!("{result:?}, but {failure:?}"),
        }
        assert_eq!(seen.close_code, model.close_code);
        if has_all_pongs {
            assert_eq!(sent, model.sent);
        }
    }
}

/// The events as the model has them.
fn of_model(events: &[Got]) -> Vec<model::Event> {
    let mut under_way = Vec::new();
    events.iter().filter_map(|event| event.model(&mut under_way)).collect()
}

/// How many messages end in frames that are right, up to a Close.
fn complete_messages(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Ok(Some((header, len))) = FrameHeader::parse(bytes) {
        let payload_len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        let Some(rest) = bytes[len..].get(payload_len..) else { break };
        if header.opcode == Opcode::Close {
            break;
        }
        count += usize::from(header.fin && !header.opcode.is_control());
        bytes = rest;
    }
    count
}

/// What has been sent before the Close.
fn without_close(sent: &[u8]) -> &[u8] {
    let mut at = 0;
    while let Ok(Some((header, len))) = FrameHeader::parse(&sent[at..]) {
        if header.opcode == Opcode::Close {
            break;
        }
        at += len + usize::try_from(header.payload_len).unwrap_or(0);
    }
    &sent[..at]
}

impl End {
    /// What `poll` is going to say; `None` where that cannot be asked.
    fn advance(
        &mut self,
        rx: &mut RecvBuffer,
        tx: &mut SendBuffer,
    ) -> Option<Result<bool, ProtocolError>> {
        let Self::Whole(connection) = self else { return None };
        let found = connection.advance(rx, tx);
        assert_eq!(connection.advance(rx, tx), found, "looking twice is looking once");
        Some(found)
    }

    fn poll(
        &mut self,
        rx: &mut RecvBuffer,
        tx: &mut SendBuffer,
        own: bool,
        in_chunks: bool,
    ) -> Result<Option<Got>, ProtocolError> {
        match self {
            Self::Whole(connection) => {
                let polled = match in_chunks {
                    true => connection.poll_chunk(rx, tx),
                    false => connection.poll_event(rx, tx),
                };
                Ok(polled?.map(|event| Got::new(event, own)))
            }
            Self::Halves(receiver, sender) => {
                let polled = match in_chunks {
                    true => receiver.poll_chunk(rx),
                    false => receiver.poll_event(rx),
                };
                match polled {
                    Ok(None) => Ok(None),
                    Ok(Some((event, reply))) => {
                        let event = Got::new(event, own);
                        sender.reply(tx, reply);
                        Ok(Some(event))
                    }
                    Err(error) => {
                        sender.reply(tx, Reply::from(error));
                        Err(error)
                    }
                }
            }
        }
    }

    fn work_in_steps(&mut self, bytes: usize) {
        match self {
            Self::Whole(it) => it.work_in_steps(bytes),
            Self::Halves(receiver, sender) => {
                receiver.work_in_steps(bytes);
                sender.work_in_steps(bytes);
            }
        }
    }

    fn is_paused(&self) -> bool {
        match self {
            Self::Whole(it) => it.is_paused(),
            Self::Halves(receiver, sender) => receiver.is_paused() || sender.is_paused(),
        }
    }

    fn send(&mut self, tx: &mut SendBuffer, message: &Message) {
        let (open, result) = match self {
            Self::Whole(it) => (it.state() == State::Open, it.feed(tx, message)),
            Self::Halves(_, it) => (it.state() == State::Open, it.feed(tx, message)),
        };
        assert_eq!(result.is_ok(), open, "{result:?}");
    }

    fn close(&mut self, tx: &mut SendBuffer) {
        let close = CloseFrame { code: GOODBYE.0, reason: GOODBYE.1 };
        let result = match self {
            Self::Whole(connection) => connection.close(tx, Some(close)),
            Self::Halves(_, sender) => sender.close(tx, Some(close)),
        };
        assert_eq!(result, Ok(()));
    }

    fn close_code(&self) -> Option<u16> {
        match self {
            Self::Whole(it) => it.close_info().map(|it| it.code),
            Self::Halves(_, it) => it.close_info().map(|it| it.code),
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Whole(it) => {
                format!("{:?} {:?} {:?}", it.state(), it.transport(), it.close_info())
            }
            Self::Halves(_, it) => {
                format!("{:?} {:?} {:?}", it.state(), it.transport(), it.close_info())
            }
        }
    }
}

impl Got {
    /// As the model has it; `None` for a part of a message that is not the last one.
    fn model(&self, under_way: &mut Vec<u8>) -> Option<model::Event> {
        Some(match self {
            Self::Message(Message::Text(text)) => model::Event::Text(text.to_string()),
            Self::Message(Message::Binary(bytes)) => model::Event::Binary(bytes.to_vec()),
            Self::Chunk { kind, last, payload, .. } => {
                under_way.extend_from_slice(payload);
                if !last {
                    return None;
                }
                let message = core::mem::take(under_way);
                match kind {
                    MessageKind::Binary => model::Event::Binary(message),
                    MessageKind::Text => match String::from_utf8(message) {
                        Ok(text) => model::Event::Text(text),
                        Err(error) => panic!("{error}"),
                    },
                }
            }
            Self::Ping(payload) => model::Event::Ping(payload.clone()),
            Self::Pong(payload) => model::Event::Pong(payload.clone()),
            Self::Close(close) => model::Event::Close(close.clone()),
        })
    }

    fn new(event: Event<'_>, own: bool) -> Self {
        match event {
            Event::Text(text) if own => Self::Message(Message::Text(text.into_owned())),
            Event::Text(text) => Self::Message(Message::from(text.as_str())),
            Event::Binary(binary) if own => Self::Message(Message::Binary(binary.into_bytes())),
            Event::Binary(binary) => Self::Message(Message::from(binary.to_vec())),
            Event::Chunk(chunk) => Self::Chunk {
                kind: chunk.kind,
                first: chunk.first,
                last: chunk.last,
                payload: chunk.payload.to_vec(),
            },
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Close(close) => {
                Self::Close(close.map(|it| (it.code.as_u16(), it.reason.to_string())))
            }
            other => panic!("an event that the fuzzers do not know: {other:?}"),
        }
    }
}

/// Chunks that follow each other are one: where a message was cut means nothing.
///
/// How much is delivered (with `is_cut`) before the byte that makes a text or a compressed message
/// impossible depends on what came with that byte.
fn joined(events: Vec<Got>, is_cut: bool) -> Vec<Got> {
    let mut joined: Vec<Got> = Vec::new();
    let mut inside = false;
    for event in events {
        if let Got::Chunk { kind, first, last, payload } = &event {
            assert_eq!(*first, !inside, "a message begins where the one before ended");
            assert!(*last || !payload.is_empty(), "an empty chunk");
            inside = !last;
            if let Some(Got::Chunk { kind: before, last: ended, payload: all, .. }) =
                joined.last_mut()
                && !*ended
            {
                assert_eq!(before, kind);
                all.extend_from_slice(payload);
                *ended = *last;
                continue;
            }
        }
        assert!(!inside || !matches!(event, Got::Message(_)), "a message inside of another one");
        joined.push(event);
    }
    if is_cut {
        joined.pop_if(|it| matches!(it, Got::Chunk { last: false, .. }));
    }
    joined
}

/// Everything in the buffer, in vectored and owned chunks in turn.
fn drain(tx: &mut SendBuffer, sent: &mut Vec<u8>) {
    while tx.has_remaining() {
        let before = sent.len();
        let len = tx.len();
        if before.is_multiple_of(2) {
            let n = tx.chunk().len();
            sent.extend_from_slice(tx.chunk());
            tx.advance(n);
        } else if let Some(chunk) = tx.take_chunk() {
            sent.extend_from_slice(&chunk);
        }
        assert!(sent.len() > before, "something is left but nothing comes out");
        assert_eq!(tx.len(), len - (sent.len() - before));
    }
    assert!(tx.is_empty());
}

/// What was sent is whole frames as the role wants them, nothing but pongs behind the one Close.
fn check_emitted(role: Role, mut sent: &[u8]) {
    let mut closed = false;
    while !sent.is_empty() {
        let Ok(Some((header, len))) = FrameHeader::parse(sent) else { panic!("half a header") };
        assert_eq!(header.mask.is_some(), role == Role::Client);
        assert!(header.fin && !header.rsv1 && !header.rsv2 && !header.rsv3);
        assert_ne!(header.opcode, Opcode::Continuation);
        assert!(!closed || header.opcode == Opcode::Pong, "{header:?} behind the Close");
        closed |= header.opcode == Opcode::Close;
        let end = len + usize::try_from(header.payload_len).unwrap_or(usize::MAX - len);
        assert!(end <= sent.len(), "half a frame");
        sent = &sent[end..];
    }
}

/// A frame as the peer of `role` sends it.
fn frame(role: Role, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [1, 2, 3, 4];
    let mask = (role == Role::Server).then_some(KEY);
    let header = FrameHeader::new(opcode, payload.len() as u64, mask);
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(payload);
    if mask.is_some() {
        let at = bytes.len() - payload.len();
        apply_mask(&mut bytes[at..], KEY, 0);
    }
    bytes
}
