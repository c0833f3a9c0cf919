//! The receiving end of a connection once more, written from RFC 6455 as plainly as can be and with
//! nothing of the crate, so that one mistake would have to be made twice.
//!
//! It looks at each byte by itself, begins anew with every frame and every text as each byte of it
//! comes, and keeps everything. Compressed messages (RFC 7692) are inflated anew with each byte.

use super::inflate::{Fault, inflate};

/// What the end is, and what it allows.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub is_server: bool,
    pub max_message_len: u64,
    pub max_fragments: u32,
    pub max_empty_fragments: u32,
    /// It has sent a Close with this code and reason before anything came.
    pub closing: Option<(u16, &'static str)>,
    /// It sends every message back.
    pub echo: bool,
    /// Messages may be compressed. With `true` each of them begins with an empty window.
    pub deflate: Option<bool>,
}

/// What its application sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// All that comes of some bytes.
#[derive(Debug, Default)]
pub struct Seen {
    pub events: Vec<Event>,
    pub failure: Option<Failure>,
    /// The frames that were sent, without the masks of a client.
    pub sent: Vec<u8>,
    /// Pongs among them.
    pub pongs: usize,
    /// _The WebSocket Connection Close Code_ (§7.1.5), once nothing more can come.
    pub close_code: Option<u16>,
    /// What came of a message that has no end: whether it is text, and its payload.
    pub unfinished: Option<(bool, Vec<u8>)>,
}

/// A byte that broke the rules.
#[derive(Debug)]
pub struct Failure {
    /// Where it stands.
    pub at: usize,
    /// The names that the crate has for the rules. It may name any of them.
    pub rules: Vec<&'static str>,
    /// The code of the Close frame that answers it.
    pub code: u16,
}

/// Reads all that the peer sends.
pub fn receive(setting: &Setting, bytes: &[u8]) -> Seen {
    let mut end = End {
        setting: *setting,
        frame: Vec::new(),
        message: None,
        window: Vec::new(),
        has_sent_close: false,
        seen: Seen::default(),
    };
    if let Some((code, reason)) = setting.closing {
        end.send_close(Some(code), reason);
    }
    for (at, byte) in bytes.iter().enumerate() {
        end.frame.push(*byte);
        if let Err((code, rules)) = end.look_at_frame() {
            // §7.1.7: a Close with the code of the failure, unless one has gone already
            end.send_close(Some(code), "");
            end.seen.close_code = Some(1006); // §7.1.5: no Close has come
            end.seen.failure = Some(Failure { at, rules, code });
            break;
        }
        // §5.5.1: nothing counts behind a Close
        if matches!(end.seen.events.last(), Some(Event::Close(_))) {
            break;
        }
    }
    end.seen.unfinished = end.message.map(|message| (message.is_text, message.payload));
    end.seen
}

/// Takes the masks off frames that a client has sent, which must be masked; `None` if something
/// else is among them.
pub fn without_masks(mut frames: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    while !frames.is_empty() {
        let second = *frames.get(1)?;
        if second & 0x80 == 0 {
            return None;
        }
        let (length_end, length) = length(frames)?;
        let key = frames.get(length_end..length_end + 4)?;
        let payload_end = (length_end + 4).checked_add(usize::try_from(length).ok()?)?;
        plain.extend_from_slice(&[frames[0], second & 0x7F]);
        plain.extend_from_slice(&frames[2..length_end]);
        for (i, byte) in frames.get(length_end + 4..payload_end)?.iter().enumerate() {
            plain.push(byte ^ key[i % 4]);
        }
        frames = &frames[payload_end..];
    }
    Some(plain)
}

/// A code, and the rules that one byte broke.
type Broken = (u16, Vec<&'static str>);

struct End {
    setting: Setting,
    /// What has come of the frame under way.
    frame: Vec<u8>,
    message: Option<Message>,
    /// All that has been inflated, of which matches of the next message may be taken.
    window: Vec<u8>,
    has_sent_close: bool,
    seen: Seen,
}

/// The message under way.
struct Message {
    is_text: bool,
    payload: Vec<u8>,
    /// Where it is compressed: what has come. `payload` is what it inflates to.
    compressed: Option<Vec<u8>>,
    /// Bytes that the headers so far have announced.
    announced: u64,
    fragments: u32,
    /// Fragments without payload, since the last one that had some.
    empty: u32,
}

impl End {
    /// Looks at the frame so far, whose last byte is new.
    fn look_at_frame(&mut self) -> Result<(), Broken> {
        let frame = &self.frame;
        let now = frame.len();
        let (fin, reserved, opcode) = (frame[0] & 0x80 != 0, frame[0] & 0x70, frame[0] & 0x0F);
        let is_control = opcode & 8 != 0;
        if now == 1 {
            let between = self.message.is_none();
            // RFC 7692 §6.1: the first of these bits, in the first frame of a message
            let is_compressed = reserved == 0x40 && matches!(opcode, 1 | 2);
            let has_meaning = self.setting.deflate.is_some() && is_compressed;
            check(&[
                ("ReservedBits", reserved != 0 && !has_meaning), // §5.2
                ("ReservedOpcode", matches!(opcode, 3..=7 | 11..=15)), // §5.2
                ("FragmentedControlFrame", is_control && !fin),  // §5.5
                ("UnexpectedContinuation", opcode == 0 && between), // §5.4
                ("UnfinishedMessage", (opcode == 1 || opcode == 2) && !between), // §5.4
            ])?;
        }
        let Some(&second) = frame.get(1) else { return Ok(()) };
        let is_masked = second & 0x80 != 0;
        if now == 2 {
            let is_server = self.setting.is_server;
            check(&[
                ("ControlFrameTooLong", is_control && second & 0x7F > 125), // §5.5
                ("UnmaskedFrame", is_server && !is_masked),                 // §5.1
                ("MaskedFrame", !is_server && is_masked),                   // §5.1
            ])?;
        }
        // §5.2: "the most significant bit MUST be 0"
        check(&[("LengthOverflow", second & 0x7F == 127 && now == 3 && frame[2] & 0x80 != 0)])?;
        let Some((length_end, length)) = length(frame) else { return Ok(()) };
        if now == length_end {
            // §5.2: "the minimal number of bytes MUST be used to encode the length"
            let shortest = match length {
                0..=125 => 2,
                126..=0xFFFF => 4,
                _ => 10,
            };
            check(&[("NonMinimalLength", length_end != shortest)])?;
        }
        let header_end = length_end + if is_masked { 4 } else { 0 };
        if now < header_end {
            return Ok(());
        }
        if now == header_end && !is_control {
            let compressed = (reserved == 0x40).then(Vec::new);
            self.begin_fragment(opcode, fin, length, compressed)?;
        }
        // §5.3
        let key = if is_masked { &self.frame[length_end..header_end] } else { &[0; 4][..] };
        let unmask = |(i, byte): (usize, &u8)| byte ^ key[i % 4];
        let payload = || self.frame[header_end..].iter().enumerate();
        let is_complete = (now - header_end) as u64 == length;
        if !is_control {
            let new = payload().next_back().map(unmask);
            self.fragment(new, fin && is_complete)?;
        } else if is_complete {
            let payload = payload().map(unmask).collect();
            self.control(opcode, payload)?;
        }
        if is_complete {
            self.frame.clear();
        }
        Ok(())
    }

    /// §10.4: our limits, as soon as a header tells that they are exceeded.
    fn begin_fragment(
        &mut self,
        opcode: u8,
        fin: bool,
        length: u64,
        compressed: Option<Vec<u8>>,
    ) -> Result<(), Broken> {
        let message = self.message.get_or_insert(Message {
            is_text: opcode == 1,
            payload: Vec::new(),
            compressed,
            announced: 0,
            fragments: 0,
            empty: 0,
        });
        message.announced = message.announced.saturating_add(length);
        let mut limit = self.setting.max_message_len;
        if message.compressed.is_some() {
            // what no compressor exceeds: 9 bits for each byte, and what fragments end with
            limit += limit / 8 + 16 * u64::from(message.fragments) + 1024;
        }
        message.fragments += 1;
        message.empty = if length == 0 && !fin { message.empty + 1 } else { 0 };
        if message.announced > limit {
            return Err((1009, vec!["MessageTooBig"]));
        }
        if message.fragments > self.setting.max_fragments {
            return Err((1008, vec!["TooManyFragments"]));
        }
        if message.empty > self.setting.max_empty_fragments {
            return Err((1008, vec!["TooManyEmptyFragments"]));
        }
        Ok(())
    }

    /// A byte of a message, or the header of a fragment, has come; with `last` it was the last one.
    fn fragment(&mut self, byte: Option<u8>, last: bool) -> Result<(), Broken> {
        let Some(message) = &mut self.message else { return Ok(()) };
        match &mut message.compressed {
            None => message.payload.extend(byte),
            Some(compressed) => {
                compressed.extend(byte);
                let all = self.window.clone();
                message.inflate(all, &self.setting, last)?;
            }
        }
        if message.is_text
            && let Err(error) = str::from_utf8(&message.payload)
        {
            // §8.1: as soon as nothing that follows could make it a text
            let ends_inside = error.error_len().is_none();
            if last || !ends_inside {
                return Err((1007, vec!["InvalidUtf8"]));
            }
        }
        if !last {
            return Ok(());
        }
        let Some(Message { is_text, payload, compressed, .. }) = self.message.take() else {
            return Ok(());
        };
        // RFC 7692 §7.1.1: what the window is kept for
        if compressed.is_some() && self.setting.deflate == Some(false) {
            self.window.extend_from_slice(&payload);
        }
        if self.setting.echo && !self.has_sent_close {
            self.send(if is_text { 1 } else { 2 }, &payload);
        }
        self.seen.events.push(match is_text {
            true => Event::Text(String::from_utf8_lossy(&payload).into_owned()),
            false => Event::Binary(payload),
        });
        Ok(())
    }

    /// A control frame is complete (§5.5).
    fn control(&mut self, opcode: u8, payload: Vec<u8>) -> Result<(), Broken> {
        match opcode {
            // §5.5.2: also after our Close, as the peer has not closed yet
            9 => {
                self.send(10, &payload);
                self.seen.pongs += 1;
                self.seen.events.push(Event::Ping(payload));
            }
            10 => self.seen.events.push(Event::Pong(payload)),
            _ => {
                let close = close(&payload)?;
                let code = close.as_ref().map(|(code, _)| *code);
                self.send_close(code, "");
                self.seen.close_code = Some(code.unwrap_or(1005)); // §7.1.5
                self.seen.events.push(Event::Close(close));
            }
        }
        Ok(())
    }

    /// Sends a Close, if none was sent yet (§5.5.1).
    fn send_close(&mut self, code: Option<u16>, reason: &str) {
        if !self.has_sent_close {
            self.has_sent_close = true;
            let mut payload = Vec::new();
            payload.extend(code.into_iter().flat_map(u16::to_be_bytes));
            payload.extend(reason.bytes());
            self.send(8, &payload);
        }
    }

    /// §5.2: a whole message in one frame, with the shortest length.
    fn send(&mut self, opcode: u8, payload: &[u8]) {
        let sent = &mut self.seen.sent;
        sent.push(0x80 | opcode);
        match payload.len() {
            length @ 0..=125 => sent.push(length as u8),
            length @ 126..=0xFFFF => {
                sent.push(126);
                sent.extend((length as u16).to_be_bytes());
            }
            length => {
                sent.push(127);
                sent.extend((length as u64).to_be_bytes());
            }
        }
        sent.extend(payload);
    }
}

impl Message {
    /// Inflates what has come (RFC 7692 §7.2.2) behind what is in the window.
    fn inflate(&mut self, mut all: Vec<u8>, setting: &Setting, last: bool) -> Result<(), Broken> {
        let Some(compressed) = &self.compressed else { return Ok(()) };
        let begin = all.len();
        let (progress, fault) = inflate(compressed, &mut all);
        self.payload = all[begin..].to_vec();
        let limit = setting.max_message_len;
        let allowed = self.payload.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        if self.is_text
            && let Err(error) = str::from_utf8(&self.payload[..allowed])
            && error.error_len().is_some()
        {
            return Err((1007, vec!["InvalidUtf8"]));
        }
        if self.payload.len() > allowed {
            return Err((1009, vec!["MessageTooBig"]));
        }
        // ours: 16, and one for every 64 bytes
        if progress.final_blocks > 16 + compressed.len() as u64 / 64 {
            return Err((1008, vec!["TooManyFinalBlocks"]));
        }
        if fault == Some(Fault::Wrong) {
            return Err((1002, vec!["InvalidDeflate"]));
        }
        if !last || compressed.is_empty() {
            return Ok(());
        }
        // "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end", which some leave on; and who
        // ends with a block that is the last one may have nothing behind it
        const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
        let is_whole = match fault {
            None if compressed.ends_with(&TAIL) || progress.behind_final_block => {
                progress.at_border
            }
            _ => {
                let before = all.len();
                all.truncate(begin);
                let (progress, fault) = inflate(&[&compressed[..], &TAIL].concat(), &mut all);
                let is_end = progress.at_border && progress.behind_empty_block;
                fault.is_none() && is_end && all.len() == before
            }
        };
        if is_whole { Ok(()) } else { Err((1002, vec!["InvalidDeflate"])) }
    }
}

/// Where the length of a frame ends, and what it is (§5.2), once all of it is there.
fn length(frame: &[u8]) -> Option<(usize, u64)> {
    let end = match frame.get(1)? & 0x7F {
        126 => 4,
        127 => 10,
        short => return Some((2, short.into())),
    };
    let bytes = frame.get(2..end)?;
    Some((end, bytes.iter().fold(0, |length, byte| length << 8 | u64::from(*byte))))
}

/// The payload of a Close frame (§5.5.1, §7.4).
fn close(payload: &[u8]) -> Result<Option<(u16, String)>, Broken> {
    let (high, low, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err((1002, vec!["TruncatedCloseCode"])),
        [high, low, reason @ ..] => (*high, *low, reason),
    };
    let code = u16::from_be_bytes([high, low]);
    // §7.4.1 and the registry of IANA for 1012 to 1014; §7.4.2 for those of others
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err((1002, vec!["InvalidCloseCode"]));
    }
    match str::from_utf8(reason) {
        Ok(reason) => Ok(Some((code, reason.into()))),
        Err(_) => Err((1007, vec!["InvalidCloseReason"])),
    }
}

/// The rules that are broken, all of which are answered by 1002.
fn check(rules: &[(&'static str, bool)]) -> Result<(), Broken> {
    let broken: Vec<_> = rules.iter().filter(|rule| rule.1).map(|rule| rule.0).collect();
    if broken.is_empty() { Ok(()) } else { Err((1002, broken)) }
}
