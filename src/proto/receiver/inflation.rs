use alloc::boxed::Box;

use super::{Parsing, Ready, Receiver};
use crate::buf::{FIRST_PIECE, RecvBuffer};
use crate::deflate::{self, Agreement, Decompressor, Progress, Stop};
use crate::proto::{Binary, Chunk, Event, MessageKind, Role, Text};
use crate::wire::{Opcode, ProtocolError, Utf8Validator};

impl Receiver {
    /// Compressed messages may come.
    pub(crate) fn set_deflate(&mut self, agreed: Agreement) {
        self.inflation = Some(Inflation::new(self.role, agreed).into());
    }

    /// Returns what was agreed about compression; `None` if there is none.
    pub fn deflate(&self) -> Option<Agreement> {
        self.inflation.as_ref().map(|inflation| inflation.agreement())
    }

    /// Returns whether the reserved bits in this first byte of a header are those of a compressed
    /// message.
    pub(super) fn means_compressed(&self, first: u8, opcode: Opcode) -> bool {
        // RFC 7692 §6.1: "An endpoint MUST NOT set the "Per-Message Compressed" bit of control
        // frames and non-first fragments of a data message."
        first & 0x70 == 0x40
            && matches!(opcode, Opcode::Text | Opcode::Binary)
            && self.inflation.is_some()
    }

    /// Inflates what has been assembled of a compressed message's payload.
    pub(super) fn inflate_payload(
        &mut self,
        rx: &mut RecvBuffer,
        kind: MessageKind,
    ) -> Result<Option<Ready>, ProtocolError> {
        let message = &mut self.message;
        let (Parsing::Payload(frame), Some(inflation)) = (&self.parsing, &mut self.inflation)
        else {
            return Ok(None);
        };
        let in_chunks = self.in_chunks;
        let orders = Orders {
            limit: usize::try_from(self.max_message_len).unwrap_or(usize::MAX),
            utf8: (kind == MessageKind::Text).then_some(&mut message.utf8),
            last: frame.fin && frame.missing == 0,
            in_chunks,
        };
        inflation.paused = false;
        let inflated = inflation.inflate(rx, orders)?;
        inflation.paused = inflated == Inflated::Partly && !in_chunks;
        if frame.missing == 0 && inflated != Inflated::Partly {
            self.parsing = Parsing::Header;
        }
        let last = inflated == Inflated::Message;
        if last {
            message.kind = None;
            if kind == MessageKind::Text {
                message.utf8.finish().map_err(|_| ProtocolError::InvalidUtf8)?;
            }
        }
        if in_chunks && (last || rx.inflation().1.len() > 0) {
            let first = !message.begun;
            message.begun = true;
            inflation.chunk_taken();
            rx.complete_inflated();
            return Ok(Some(Ready::InflatedChunk { kind, first, last }));
        }
        if last {
            rx.complete_inflated();
        }
        Ok(last.then_some(Ready::InflatedMessage(kind)))
    }
}

/// Returns the event that lies complete in the second region of the buffer. By itself, so that
/// plain messages do not pay for it.
#[cold]
#[inline(never)]
pub(super) fn take_event(rx: &mut RecvBuffer, ready: Ready) -> Event<'_> {
    let payload = rx.take_inflated();
    match ready {
        Ready::InflatedMessage(MessageKind::Text) => {
            // SAFETY: `inflate_payload` makes a text message ready only when the validator has
            // passed every byte of it, as written to the second region of `rx`, and its end.
            #[allow(unsafe_code)]
            let text = unsafe { Text::new_unchecked(payload) };
            Event::Text(text)
        }
        Ready::InflatedChunk { kind, first, last } => {
            Event::Chunk(Chunk { kind, first, last, payload: payload.into_slice() })
        }
        _ => Event::Binary(Binary::new(payload)),
    }
}

/// The receiving side of permessage-deflate: compressed payloads in, messages out.
#[derive(Debug)]
pub(super) struct Inflation {
    agreement: Agreement,
    /// The peer's compressor begins every message empty, so that nothing need be kept in between.
    no_context_takeover: bool,
    window_bits: u8,
    /// With context takeover from the first message on, otherwise during a message.
    decompressor: Option<Box<Decompressor>>,
    message: Message,
    /// The most that is inflated in one call.
    at_once: usize,
    paused: bool,
    /// The message has been inflated, and is being put together.
    joining: bool,
}

/// The compressed message under way.
#[derive(Debug, Default)]
struct Message {
    /// Compressed bytes that have been inflated.
    consumed: u64,
    /// What came out of them.
    produced: usize,
    /// How much of the region of the buffer the decompressor was told to remember.
    remembered: usize,
    final_blocks: u64,
    /// Nothing has been inflated since the last of these.
    behind_final_block: bool,
    /// The last octets that have been inflated.
    last_octets: u32,
}

/// What is to become of the output.
struct Orders<'a> {
    /// The most that may come out of one message.
    limit: usize,
    /// Where text is checked.
    utf8: Option<&'a mut Utf8Validator>,
    /// All of the message's payload has been assembled.
    last: bool,
    /// Stop when a chunk is full.
    in_chunks: bool,
}

/// What was inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inflated {
    /// A chunk is full, or it is enough for once; there may be more to come out of the input.
    Partly,
    /// All that has been assembled.
    Input,
    /// The whole message.
    Message,
}

impl Inflation {
    fn new(role: Role, agreement: Agreement) -> Self {
        let (no_context_takeover, window_bits) = match role {
            Role::Client => {
                (agreement.server_no_context_takeover, agreement.server_max_window_bits)
            }
            Role::Server => {
                (agreement.client_no_context_takeover, agreement.client_max_window_bits)
            }
        };
        Self {
            agreement,
            no_context_takeover,
            window_bits,
            decompressor: None,
            message: Message::default(),
            at_once: usize::MAX,
            paused: false,
            joining: false,
        }
    }

    fn agreement(&self) -> Agreement {
        self.agreement
    }

    pub(super) fn inflate_at_once(&mut self, bytes: usize) {
        self.at_once = bytes.max(1);
    }

    /// Returns whether the last call stopped because it had inflated enough for once.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Longest compressed form of a message of `limit` bytes in so many fragments.
    ///
    /// RFC 1951 §3.2.6: the fixed code spends up to 9 bits on a byte, which is worse than any block
    /// without compression. A fragment may end with an empty block of 5 bytes, and begin with one
    /// of another type. The rest is for senders that flush for reasons of their own.
    pub(super) const fn compressed_limit(limit: u64, fragments: u32) -> u64 {
        let ends = 16 * (fragments as u64);
        limit.saturating_add(limit / 8).saturating_add(ends).saturating_add(1024)
    }

    /// Inflates what has been assembled in `rx` into its second region.
    fn inflate(
        &mut self,
        rx: &mut RecvBuffer,
        orders: Orders<'_>,
    ) -> Result<Inflated, ProtocolError> {
        let Orders { limit, mut utf8, last, in_chunks } = orders;
        let mut at_once = self.at_once;
        if self.joining {
            return Ok(self.join(rx, in_chunks));
        }
        loop {
            let message = &mut self.message;
            let (input, region) = rx.inflation();
            if input.is_empty() && message.consumed == 0 {
                // A message with a compressed length of zero, which no compressor makes, is empty;
                // the decompressor does not see it.
                return Ok(if last { Inflated::Message } else { Inflated::Input });
            }
            // more than a chunk may have come before chunks were asked for
            let room =
                if in_chunks { FIRST_PIECE.saturating_sub(region.len()) } else { usize::MAX };
            if room == 0 {
                self.remember(rx);
                return Ok(Inflated::Partly);
            }
            if at_once == 0 && !in_chunks {
                return Ok(Inflated::Partly);
            }
            // one byte more than is allowed, to see it come
            let allowed = limit - message.produced;
            let room = if in_chunks { room } else { at_once };
            let output = region.space(allowed.saturating_add(1));
            let room = room.min(output.len());
            let output = &mut output[..room];
            let decompressor = self
                .decompressor
                .get_or_insert_with(|| deflate::take_decompressor(self.window_bits));
            let Progress { consumed, produced, stop } = decompressor.inflate(input, output);
            // so the loop ends: an engine stops where it has read all or has filled `output`
            debug_assert!(stop != Stop::Input || consumed == input.len());
            debug_assert!(stop != Stop::Output || produced > 0);
            if let Some(utf8) = &mut utf8 {
                let text = &output[..produced.min(allowed)];
                utf8.update(text).map_err(|_| ProtocolError::InvalidUtf8)?;
            }
            if produced > allowed {
                let limit = limit as u64;
                let announced = limit.saturating_add(1);
                return Err(ProtocolError::MessageTooBig { announced, limit });
            }
            region.commit(produced);
            message.produced += produced;
            message.consumed += consumed as u64;
            at_once = at_once.saturating_sub(produced);
            message.behind_final_block &= consumed == 0;
            for &octet in &input[consumed.saturating_sub(4)..consumed] {
                message.last_octets = message.last_octets << 8 | u32::from(octet);
            }
            rx.consume_assembled(consumed);
            match stop {
                Stop::Corrupt => return Err(ProtocolError::InvalidDeflate),
                Stop::FinalBlock => self.pass_final_block(rx)?,
                Stop::Input => break,
                Stop::Output => {}
            }
        }
        if in_chunks || (last && !self.no_context_takeover) {
            self.remember(rx);
        }
        if !last {
            return Ok(Inflated::Input);
        }
        self.finish()?;
        Ok(self.join(rx, in_chunks))
    }

    /// Puts the message together, in steps: one of megabytes takes milliseconds.
    fn join(&mut self, rx: &mut RecvBuffer, in_chunks: bool) -> Inflated {
        let joined = in_chunks || rx.inflation().1.join(self.at_once);
        self.joining = !joined;
        if joined { Inflated::Message } else { Inflated::Partly }
    }

    /// What was inflated so far has left the region of the buffer.
    fn chunk_taken(&mut self) {
        self.message.remembered = 0;
    }

    /// RFC 7692 §7.2.1 allows blocks with BFINAL set anywhere. Each costs a copy of the window, so
    /// a message that consists of them would be a cheap way to keep this end busy.
    fn pass_final_block(&mut self, rx: &mut RecvBuffer) -> Result<(), ProtocolError> {
        let limit = MANY_FINAL_BLOCKS + self.message.consumed / BYTES_PER_FINAL_BLOCK;
        self.message.final_blocks += 1;
        self.message.behind_final_block = true;
        if self.message.final_blocks > limit {
            return Err(ProtocolError::TooManyFinalBlocks { limit });
        }
        self.remember(rx);
        if let Some(decompressor) = &mut self.decompressor {
            decompressor.restart();
        }
        Ok(())
    }

    fn remember(&mut self, rx: &mut RecvBuffer) {
        let (_, region) = rx.inflation();
        if let Some(decompressor) = &mut self.decompressor {
            region.since(self.message.remembered).for_each(|part| decompressor.remember(part));
            self.message.remembered = region.len();
        }
    }

    /// Ends a message, which should be complete.
    ///
    /// RFC 7692 §7.2.3.4 has an octet of 0x00 behind a final block, so that there is something to
    /// take the four octets off. Who has no means to make it, only a library that compresses data
    /// from beginning to end, leaves it out; the block says that the data are complete.
    fn finish(&mut self) -> Result<(), ProtocolError> {
        let message = core::mem::take(&mut self.message);
        let tail_is_there = deflate::ends_with_tail(message.last_octets);
        let complete = message.behind_final_block
            || self.decompressor.as_mut().is_none_or(|it| it.finish(tail_is_there));
        if self.no_context_takeover
            && let Some(decompressor) = self.decompressor.take()
        {
            deflate::keep_decompressor(decompressor);
        }
        if complete { Ok(()) } else { Err(ProtocolError::InvalidDeflate) }
    }
}

/// Blocks with BFINAL set that any message may have: more than one for a fragment is unheard of.
const MANY_FINAL_BLOCKS: u64 = 16;

/// Beyond these, one for so many compressed bytes: a copy of the window for each costs about as
/// much as inflating so many bytes can.
const BYTES_PER_FINAL_BLOCK: u64 = 64;
