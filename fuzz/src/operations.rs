use std::collections::VecDeque;
use std::time::Duration;

use sansws::bytes::{Buf, Bytes};
use sansws::{CloseCode, CloseFrame, Config, Event, KeepAlive, PreparedMessage};

use sansws::buf::{RecvBuffer, SendBuffer};
#[cfg(feature = "deflate")]
use sansws::deflate::{Agreement, Deflate};
use sansws::proto::{Connection, MessageKind, MessageRef, Outcome, State};

use super::source::Source;

/// Two ends of this crate, joined by bytes that are cut anywhere, and any sequence of calls.
///
/// Neither may ever accuse the other of a violation. What was taken arrives in order and whole,
/// also where one end closes: messages, pings, pongs and the Close. Each ping is answered, or the
/// one right behind it is; a Close is answered by its code, and both ends tell the same of it. What
/// was not taken has left nothing behind, and what was handed over stays what it was.
pub fn operations(data: &[u8]) {
    let mut source = Source(data);
    let mut ends = ends(&mut source);
    for _ in 0..400 {
        if source.0.is_empty() {
            break;
        }
        let op = source.byte();
        let [left, right] = &mut ends;
        let (this, other) = if op & 1 == 0 { (left, right) } else { (right, left) };
        let is_over = match op >> 1 & 15 {
            0..=11 => {
                this.call(op, &mut source);
                this.has_timed_out
            }
            12 | 13 => carry(op, &mut source, this, other),
            15 if op & 64 != 0 => {
                this.connection.work_in_steps(STEP);
                this.poll(other)
            }
            15 if op & 128 != 0 => {
                this.is_under_way = !this.connection.proceed(&mut this.tx);
                false
            }
            _ => this.poll(other),
        };
        if is_over {
            return;
        }
        for end in &ends {
            for (bytes, copy) in &end.kept {
                assert!(bytes == copy, "what was handed over has changed");
            }
        }
    }
    // to the end: everything that was taken arrives, and so do the answers to it
    for _ in 0..4 {
        for i in 0..2 {
            let [left, right] = &mut ends;
            let (this, other) = if i == 0 { (left, right) } else { (right, left) };
            while let Some(chunk) = this.tx.take_chunk() {
                other.rx.extend_from_slice(&chunk);
                if other.poll(this) {
                    return;
                }
            }
            if this.poll(other) {
                return;
            }
        }
    }
    let has_closed = ends.iter().any(|end| end.has_sent_close);
    for end in &mut ends {
        assert!(end.sent.is_empty(), "never arrived: {:?}", end.sent);
        assert!(end.tx.is_empty(), "something is left to be sent");
        assert_eq!((end.has_sent_close, end.received.is_some()), (has_closed, has_closed));
        let state = if has_closed { State::Closing } else { State::Open };
        assert_eq!(end.connection.state(), state);
        let outcome = if has_closed { Outcome::Clean } else { Outcome::Abnormal };
        assert_eq!(end.connection.receive_eof(), outcome);
        // RFC 6455 §7.1.5
        let (code, reason) = match end.received.take() {
            None => (1006, String::new()),
            Some(close) => close.unwrap_or((1005, String::new())),
        };
        let Some(info) = end.connection.close_info() else { panic!("it has ended") };
        assert_eq!((info.code, &*info.reason, info.clean), (code, &*reason, has_closed));
    }
}

/// What one end has sent, in the order in which it comes at the other.
#[derive(Debug, PartialEq)]
enum Sent {
    Message(bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// One that answers a ping. RFC 6455 §5.5.3: only the answer to the newest one has to come.
    Answer(Vec<u8>),
    Close(Received),
}

/// The code and the reason of a Close.
type Received = Option<(u16, String)>;

struct End {
    connection: Connection,
    rx: RecvBuffer,
    tx: SendBuffer,
    in_chunks: bool,
    /// What the other end has to deliver.
    sent: VecDeque<Sent>,
    /// The last of them is a message that is not in `tx` yet: control frames may go before it.
    is_under_way: bool,
    has_sent_close: bool,
    /// The Close that has come.
    received: Option<Received>,
    /// A message in fragments that this end is writing: whether it is text, and its payload.
    writing: Option<(bool, Vec<u8>)>,
    /// One that it gets in chunks.
    reading: Option<(bool, Vec<u8>)>,
    /// Pings that it has sent.
    pings: u16,
    /// Those of the keep-alive among them, which have a number.
    keep_alives: u32,
    /// What it was handed, and a copy of that.
    kept: Vec<(Bytes, Vec<u8>)>,
    now: Duration,
    has_timed_out: bool,
    #[cfg(feature = "deflate")]
    settings: Deflate,
}

fn ends(source: &mut Source<'_>) -> [End; 2] {
    let (first, second) = (source.byte(), source.byte());
    let mut config = Config::new()
        .max_message_len(LIMIT)
        .max_pending_pongs(1 + usize::from(second & 3))
        .max_unsent(if second & 4 != 0 { 5000 } else { 1 << 20 });
    if second & 8 != 0 {
        config = config.keep_alive(KeepAlive::Every(Duration::from_millis(300)));
        config = config.pong_timeout(Duration::from_millis(200));
    }
    let connections = [Connection::server(&config), Connection::client(&config, [7; 32])];
    #[cfg(feature = "deflate")]
    let (connections, settings) = with_deflate(connections, first, second);
    let mut read_ahead = 256;
    let mut in_chunks = first;
    connections.map(|connection| {
        let end = End {
            connection,
            rx: RecvBuffer::with_read_ahead(read_ahead),
            tx: SendBuffer::new(),
            in_chunks: in_chunks & 1 != 0,
            sent: VecDeque::new(),
            is_under_way: false,
            has_sent_close: false,
            received: None,
            writing: None,
            reading: None,
            pings: 0,
            keep_alives: 0,
            kept: Vec::new(),
            now: Duration::from_secs(1),
            has_timed_out: false,
            #[cfg(feature = "deflate")]
            settings: settings.clone(),
        };
        (read_ahead, in_chunks) = (1024, in_chunks >> 1);
        end
    })
}

#[cfg(feature = "deflate")]
fn with_deflate(ends: [Connection; 2], first: u8, second: u8) -> ([Connection; 2], Deflate) {
    if first & 4 == 0 {
        return (ends, Deflate::new());
    }
    let mut agreed = Agreement::new();
    agreed.server_no_context_takeover = first & 8 != 0;
    agreed.client_no_context_takeover = first & 16 != 0;
    agreed.server_max_window_bits = 8 + (first >> 5);
    agreed.client_max_window_bits = 8 + (second >> 5);
    let settings = Deflate::new().threshold(1).level(1 + (second >> 4 & 1) * 5);
    (ends.map(|end| end.with_deflate(agreed, &settings)), settings)
}

/// What is compressed or inflated at once, where that is bounded.
const STEP: usize = 300;

/// The longest message, in bytes.
const LIMIT: usize = 400_000;

impl Source<'_> {
    fn len(&mut self) -> usize {
        match self.byte() {
            byte @ 0..200 => byte.into(),
            byte @ 200..230 => usize::from(byte - 199) * 257,
            byte @ 230..250 => usize::from(byte - 229) * 4111,
            byte => usize::from(byte - 249) * 33_333,
        }
    }

    /// A text, of this length or a little more.
    fn text(&mut self, len: usize) -> String {
        let kind = self.byte() % 4;
        let mut state = u32::from(self.byte()) + 1;
        let mut text = String::new();
        while text.len() < len {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.push(match kind {
                0 => 'a',
                1 => char::from((state >> 24) as u8 & 0x7F),
                2 => '\u{1F600}',
                _ => char::from(b"abcabcab"[(state >> 29) as usize]),
            });
        }
        text
    }
}

impl End {
    /// One of the calls that an application makes.
    fn call(&mut self, op: u8, source: &mut Source<'_>) {
        let Self { connection, tx, .. } = self;
        let (sixth, seventh) = (op & 64 != 0, op & 128 != 0);
        let is_open = connection.state() == State::Open;
        let (before, was_under_way) = (tx.len(), self.is_under_way);
        let mut sent = None;
        match op >> 1 & 15 {
            0..=2 => {
                let len = source.len();
                let text = source.text(len);
                let taken = match (sixth, seventh) {
                    (true, true) => connection.feed(tx, text.clone()),
                    (true, false) => connection.feed(tx, &*text),
                    (false, true) => connection.feed(tx, text.clone().into_bytes()),
                    (false, false) => {
                        connection.feed(tx, MessageRef::binary(text.as_bytes()).uncompressed())
                    }
                };
                sent = Some((taken, Sent::Message(sixth, text.into_bytes())));
            }
            3 => {
                let len = source.len();
                let text = source.text(len);
                let message = match sixth {
                    true => MessageRef::text(&text),
                    false => MessageRef::binary(text.as_bytes()),
                };
                #[cfg(feature = "deflate")]
                let prepared = match seventh {
                    true => PreparedMessage::with_deflate(message, &self.settings),
                    false => PreparedMessage::new(message),
                };
                #[cfg(not(feature = "deflate"))]
                let prepared = PreparedMessage::new(message);
                let Ok(prepared) = prepared else { panic!("a text message cannot be prepared") };
                let taken = connection.feed(tx, &prepared);
                sent = Some((taken, Sent::Message(sixth, text.into_bytes())));
            }
            4 => {
                let kind = if sixth { MessageKind::Text } else { MessageKind::Binary };
                let started = connection.start_message(kind);
                assert_eq!(started.is_ok(), is_open && self.writing.is_none());
                if let Ok(writer) = started {
                    if seventh {
                        drop(writer.uncompressed());
                    }
                    self.writing = Some((sixth, Vec::new()));
                }
            }
            5 | 6 => {
                let len = source.len() % 40_000;
                let text = source.text(len);
                let resumed = connection.resume_message();
                assert_eq!(resumed.is_ok(), is_open && self.writing.is_some());
                let Ok(mut writer) = resumed else { return };
                let Some(writing) = &mut self.writing else { panic!("nobody has begun it") };
                if writing.1.len() + text.len() > LIMIT {
                    return;
                }
                let taken = match sixth {
                    true => writer.write(tx, text.as_bytes()),
                    false => writer.finish(tx, text.as_bytes()),
                };
                if taken.is_ok() {
                    writing.1.extend_from_slice(text.as_bytes());
                }
                if let (Some((is_text, all)), false) = (&self.writing, sixth) {
                    sent = Some((taken, Sent::Message(*is_text, all.clone())));
                    if taken.is_ok() {
                        self.writing = None;
                    }
                }
            }
            7 => {
                let mut payload = vec![b'p'; usize::from(source.byte() % 126)];
                if sixth {
                    // none like another, or it could not be told which of them is answered
                    payload.resize(payload.len().max(3), b'p');
                    let len = payload.len();
                    payload[len - 2..].copy_from_slice(&self.pings.to_be_bytes());
                    self.pings += 1;
                }
                let message = match sixth {
                    true => MessageRef::ping(&payload),
                    false => MessageRef::pong(&payload),
                };
                let taken = connection.feed(tx, message);
                sent = Some((taken, if sixth { Sent::Ping(payload) } else { Sent::Pong(payload) }));
            }
            8 if sixth && seventh => {
                let code = CloseCode::new(1000 + u16::from(source.byte() % 16));
                let close = code.map(|code| CloseFrame { code, reason: "bye" });
                let taken = connection.close(tx, close);
                assert_eq!(taken.is_ok(), is_open);
                let close = close.map(|it| (it.code.as_u16(), it.reason.to_string()));
                sent = Some((taken, Sent::Close(close)));
            }
            9 => {
                let step = u64::from(source.byte()) * if sixth { 1 } else { 100 };
                self.now += Duration::from_millis(step);
                let result = connection.handle_timeout(self.now, tx);
                self.has_timed_out |= result.is_err() || connection.state() == State::Closed;
                if result.is_ok() && tx.len() > before {
                    self.keep_alives += 1;
                    sent = Some((Ok(()), Sent::Ping(self.keep_alives.to_be_bytes().to_vec())));
                }
            }
            10 if sixth => self.kept.clear(),
            _ => {
                if !self.kept.is_empty() {
                    let at = usize::from(source.byte()) % self.kept.len();
                    self.kept.swap_remove(at);
                }
                self.rx.space();
            }
        }
        match sent {
            Some((Ok(()), sent)) => {
                assert!(is_open, "{sent:?} was taken behind the end");
                self.note(sent);
            }
            // something may have gone on with what was under way
            Some((Err(error), _)) => assert!(was_under_way || self.tx.len() == before, "{error}"),
            None => {}
        }
        self.is_under_way = self.connection.is_paused();
    }

    /// What is going to arrive at the other end.
    fn note(&mut self, sent: Sent) {
        if matches!(sent, Sent::Close(_)) {
            self.has_sent_close = true;
            self.is_under_way = false;
        }
        let is_control = matches!(sent, Sent::Ping(_) | Sent::Pong(_) | Sent::Answer(_));
        let last = usize::from(is_control && self.is_under_way);
        self.sent.insert(self.sent.len() - last, sent);
    }

    /// Takes all events of what `other` has sent; whether it is over.
    fn poll(&mut self, other: &mut Self) -> bool {
        loop {
            let polled = match self.in_chunks {
                true => self.connection.poll_chunk(&mut self.rx, &mut self.tx),
                false => self.connection.poll_event(&mut self.rx, &mut self.tx),
            };
            let event = match polled {
                Ok(None) => {
                    let is_done = self.connection.proceed(&mut self.tx);
                    self.is_under_way = !is_done;
                    if self.connection.is_paused() {
                        continue;
                    }
                    return self.has_timed_out || other.has_timed_out;
                }
                Ok(Some(event)) => event,
                Err(error) => panic!("one of ours breaks a rule: {error}"),
            };
            assert_eq!(self.received, None, "{event:?} behind the Close");
            let (is_text, got, bytes) = match event {
                Event::Text(text) => {
                    let copy = text.as_bytes().to_vec();
                    let keeps = copy.len().is_multiple_of(3);
                    (true, copy, keeps.then(|| text.into_owned().into_bytes()))
                }
                Event::Binary(binary) => {
                    let copy = binary.to_vec();
                    let keeps = copy.len().is_multiple_of(3);
                    (false, copy, keeps.then(|| binary.into_bytes()))
                }
                Event::Chunk(chunk) => {
                    let is_text = chunk.kind == MessageKind::Text;
                    assert_eq!(chunk.first, self.reading.is_none());
                    let reading = self.reading.get_or_insert((is_text, Vec::new()));
                    assert_eq!(reading.0, is_text);
                    reading.1.extend_from_slice(chunk.payload);
                    if !chunk.last {
                        other.check_begun(&reading.1);
                        continue;
                    }
                    let (is_text, all) = self.reading.take().unwrap_or_default();
                    (is_text, all, None)
                }
                Event::Ping(payload) => {
                    let payload = payload.to_vec();
                    other.check_sent(&Sent::Ping(payload.clone()));
                    // §5.5.1: what stands behind a Close does not count
                    if !self.has_sent_close {
                        self.note(Sent::Answer(payload));
                    }
                    continue;
                }
                Event::Pong(payload) => {
                    other.check_pong(payload);
                    continue;
                }
                Event::Close(close) => {
                    let close = close.map(|it| (it.code.as_u16(), it.reason.to_string()));
                    other.check_sent(&Sent::Close(close.clone()));
                    assert!(other.sent.is_empty(), "behind a Close: {:?}", other.sent);
                    if !self.has_sent_close {
                        // §5.5.1: the answer "typically echos the status code it received"
                        let answer = close.as_ref().map(|(code, _)| (*code, String::new()));
                        self.note(Sent::Close(answer));
                    }
                    self.received = Some(close);
                    continue;
                }
                other => panic!("an event that the fuzzers do not know: {other:?}"),
            };
            other.check_sent(&Sent::Message(is_text, got.clone()));
            self.kept.extend(bytes.map(|bytes| (bytes, got)));
        }
    }

    /// What has arrived is what this end has sent next.
    fn check_sent(&mut self, arrived: &Sent) {
        let next = self.sent.pop_front();
        assert!(next.as_ref() == Some(arrived), "{arrived:?} in place of {next:?}");
    }

    fn check_pong(&mut self, payload: &[u8]) {
        // what is behind an answer makes it one that has to come, unless that is another answer
        while let [Sent::Answer(first), Sent::Answer(_), ..] = self.sent.make_contiguous()
            && first != payload
        {
            self.sent.pop_front();
        }
        let next = self.sent.pop_front();
        let is_it = matches!(&next, Some(Sent::Pong(it) | Sent::Answer(it)) if it == payload);
        assert!(is_it, "a pong with {payload:?} in place of {next:?}");
    }

    /// What has arrived of a message is how it begins.
    fn check_begun(&self, arrived: &[u8]) {
        let next = self.sent.iter().find_map(|it| match it {
            Sent::Message(_, all) => Some(all),
            _ => None,
        });
        let Some(all) = next.or_else(|| self.writing.as_ref().map(|it| &it.1)) else {
            panic!("a message that nobody has begun")
        };
        assert!(all.starts_with(arrived), "another message than was sent");
    }
}

/// Carries bytes from one end to the other; whether it is over.
fn carry(op: u8, source: &mut Source<'_>, from: &mut End, to: &mut End) -> bool {
    let mut left = source.len();
    if op & 64 != 0 {
        while left > 0 && from.tx.has_remaining() {
            let chunk = from.tx.chunk();
            let space = to.rx.space();
            let n = chunk.len().min(left).min(space.len());
            space[..n].copy_from_slice(&chunk[..n]);
            to.rx.commit(n);
            from.tx.advance(n);
            left -= n;
        }
    } else if op & 128 != 0 {
        if let Some(chunk) = from.tx.take_chunk() {
            to.rx.extend_from_slice(&chunk);
        }
    } else {
        let mut space = to.rx.take_space();
        // what lies there already is taken while the space is lent
        if op & 2 != 0 && to.poll(from) {
            return true;
        }
        let chunk = from.tx.chunk();
        let n = chunk.len().min(space.len()).min(left);
        space[..n].copy_from_slice(&chunk[..n]);
        to.rx.put_space(space, n);
        from.tx.advance(n);
    }
    false
}
