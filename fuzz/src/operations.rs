use std::collections::VecDeque;
use std::time::Duration;

use sansws::bytes::{Buf, Bytes};
use sansws::{CloseCode, CloseFrame, Config, Event, KeepAlive, PreparedMessage};

use sansws::buf::{RecvBuffer, SendBuffer};
#[cfg(feature = "deflate")]
use sansws::deflate::{Agreement, Deflate};
use sansws::proto::{Connection, MessageKind, MessageRef, State};

use super::source::Source;

/// Two ends of this crate, joined by bytes that are cut anywhere, and any sequence of calls.
///
/// Neither may ever accuse the other of a violation. What was taken arrives in order and whole, and
/// what was handed over stays what it was.
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
                false
            }
            12 | 13 => carry(op, &mut source, this, other),
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
    // to the end: everything that was taken arrives
    for _ in 0..3 {
        for i in 0..2 {
            let [left, right] = &mut ends;
            let (this, other) = if i == 0 { (left, right) } else { (right, left) };
            while let Some(chunk) = this.tx.take_chunk() {
                other.rx.extend_from_slice(&chunk);
                other.poll(this);
            }
            this.poll(other);
        }
    }
    if ends.iter().all(|end| end.connection.state() == State::Open && !end.has_timed_out) {
        for end in &ends {
            assert!(end.sent.is_empty(), "{} messages never arrived", end.sent.len());
        }
    }
}

/// Whether a message is text, and its payload.
type Sent = (bool, Vec<u8>);

struct End {
    connection: Connection,
    rx: RecvBuffer,
    tx: SendBuffer,
    in_chunks: bool,
    /// What the other end has to deliver.
    sent: VecDeque<Sent>,
    /// A message in fragments that this end is writing.
    writing: Option<Sent>,
    /// One that it gets in chunks.
    reading: Option<Sent>,
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
            writing: None,
            reading: None,
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
                if taken.is_ok() {
                    self.sent.push_back((sixth, text.into_bytes()));
                }
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
                if connection.feed(tx, &prepared).is_ok() {
                    self.sent.push_back((sixth, text.into_bytes()));
                }
            }
            4 => {
                let kind = if sixth { MessageKind::Text } else { MessageKind::Binary };
                if let Ok(writer) = connection.start_message(kind) {
                    if seventh {
                        drop(writer.uncompressed());
                    }
                    self.writing = Some((sixth, Vec::new()));
                }
            }
            5 | 6 => {
                let len = source.len() % 40_000;
                let text = source.text(len);
                let Ok(mut writer) = connection.resume_message() else { return };
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
                    if !sixth {
                        self.sent.extend(self.writing.take());
                    }
                }
            }
            7 => {
                let payload = vec![b'p'; usize::from(source.byte() % 126)];
                let message = match sixth {
                    true => MessageRef::ping(&payload),
                    false => MessageRef::pong(&payload),
                };
                let _ = connection.feed(tx, message);
            }
            8 if sixth && seventh => {
                let code = CloseCode::new(1000 + u16::from(source.byte() % 16));
                let _ = connection.close(tx, code.map(|code| CloseFrame { code, reason: "bye" }));
            }
            9 => {
                let step = u64::from(source.byte()) * if sixth { 1 } else { 100 };
                self.now += Duration::from_millis(step);
                self.has_timed_out |= connection.handle_timeout(self.now, tx).is_err();
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
    }

    /// Takes all events of what `other` has sent; whether it is over.
    fn poll(&mut self, other: &mut Self) -> bool {
        loop {
            let polled = match self.in_chunks {
                true => self.connection.poll_chunk(&mut self.rx, &mut self.tx),
                false => self.connection.poll_event(&mut self.rx, &mut self.tx),
            };
            let event = match polled {
                Ok(None) => return self.has_timed_out || other.has_timed_out,
                Ok(Some(event)) => event,
                Err(error) => panic!("one of ours breaks a rule: {error}"),
            };
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
                        continue;
                    }
                    let (is_text, all) = self.reading.take().unwrap_or_default();
                    (is_text, all, None)
                }
                _ => continue,
            };
            let expected = other.sent.pop_front();
            assert!(expected.is_some(), "a message that nobody has sent");
            assert!(expected == Some((is_text, got.clone())), "another message than was sent");
            self.kept.extend(bytes.map(|bytes| (bytes, got)));
        }
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
