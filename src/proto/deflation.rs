#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use super::message::PayloadRef;
use super::prepared::Prepared;
use super::sender::BY_REFERENCE;
use super::{MessageRef, Role, SendError, Sender};
use crate::buf::SendBuffer;
use crate::deflate::{self, Agreement, Compressor, CompressorKind, Deflate};
use crate::wire::{Opcode, apply_mask};

/// The sending side of permessage-deflate: messages in, compressed payloads out.
#[derive(Debug)]
pub(super) struct Deflation {
    agreement: Agreement,
    kind: CompressorKind,
    threshold: usize,
    /// The compressor begins every message empty, so that none need be kept in between.
    no_context_takeover: bool,
    window_bits: u8,
    /// With context takeover from the first message on, otherwise during a message in fragments.
    compressor: Option<Box<Compressor>>,
    /// The compressor remembers other bytes than the peer received: it must forget them.
    stale: bool,
    /// Longer messages are compressed in parts of this length.
    at_once: usize,
    under_way: Option<Box<UnderWay>>,
}

/// A message that is being compressed part by part. Nothing of it is in the send buffer.
#[derive(Debug)]
struct UnderWay {
    opcode: Opcode,
    payload: Bytes,
    /// Progress: bytes compressed so far, and the result.
    consumed: usize,
    compressed: Vec<u8>,
}

/// A message that is to be put into the send buffer.
enum Done {
    Compressed(Opcode, Vec<u8>),
    /// That would be no gain.
    Plain(Opcode, Bytes),
}

impl Deflation {
    pub(super) fn new(role: Role, agreement: Agreement, settings: &Deflate) -> Self {
        let (no_context_takeover, window_bits) = match role {
            Role::Client => {
                (agreement.client_no_context_takeover, agreement.client_max_window_bits)
            }
            Role::Server => {
                (agreement.server_no_context_takeover, agreement.server_max_window_bits)
            }
        };
        Self {
            agreement,
            kind: CompressorKind::new(settings, window_bits),
            threshold: settings.threshold,
            no_context_takeover,
            window_bits,
            compressor: None,
            stale: false,
            at_once: usize::MAX,
            under_way: None,
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Drops the message that is under way.
    pub(super) fn forget(&mut self) {
        if self.under_way.take().is_some() {
            self.drop_compressor();
        }
    }

    /// A compressor in the middle of a message cannot be reset. The next one is as new, which is
    /// always allowed: what it says does not refer to anything before, so it does not matter what
    /// the peer's window has of that.
    fn drop_compressor(&mut self) {
        self.compressor = None;
        self.stale = false;
    }

    /// Compresses a part of the message under way. The message once that was the last one, or it
    /// has become no shorter.
    fn part(&mut self) -> Option<Done> {
        let mut message = self.under_way.take()?;
        let end = message.payload.len().min(message.consumed.saturating_add(self.at_once));
        let last = end == message.payload.len();
        let part = &message.payload[message.consumed..end];
        let goes_on = self.compressor().part(part, last, &mut message.compressed);
        message.consumed = end;
        let gain = goes_on && message.compressed.len() < message.payload.len();
        if gain && !last {
            self.under_way = Some(message);
            return None;
        }
        if last && goes_on {
            self.stale = !gain; // see `message`
            self.end_message();
        } else {
            self.drop_compressor();
        }
        let UnderWay { opcode, payload, compressed, .. } = *message;
        Some(if gain { Done::Compressed(opcode, compressed) } else { Done::Plain(opcode, payload) })
    }

    pub(super) fn agreement(&self) -> Agreement {
        self.agreement
    }

    /// Returns whether a message of this length is worth it.
    pub(super) fn is_worth(&self, len: usize) -> bool {
        len >= self.threshold.max(1)
    }

    /// Appends a whole message to `out`, compressed; `false` if that would be no gain, with `out`
    /// as it was.
    pub(super) fn message(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let compressed = self.compressor().message(payload, out);
        // The compressor has seen a message that is going to be sent plain, which the peer's window
        // does not get. RFC 7692 §7.2.1 lets a compressor forget at any time.
        self.stale = !compressed;
        self.end_message();
        compressed
    }

    /// Appends one fragment of a message to `out`.
    pub(super) fn fragment(&mut self, payload: &[u8], fin: bool, out: &mut Vec<u8>) {
        self.compressor().fragment(payload, fin, out);
        if fin {
            self.end_message();
        }
    }

    /// Returns whether a message that was compressed with such a window can be sent on this
    /// connection.
    pub(super) fn takes_prepared(&self, window_bits: u8) -> bool {
        window_bits <= self.window_bits
    }

    /// A compressed message was sent that the compressor has not seen, though it is in the peer's
    /// window now: what the compressor says next must not refer to anything before it.
    pub(super) fn sent_prepared(&mut self) {
        self.stale = true;
    }

    fn compressor(&mut self) -> &mut Compressor {
        let stale = core::mem::take(&mut self.stale);
        match &mut self.compressor {
            Some(compressor) if stale => compressor.reset(),
            _ => {}
        }
        self.compressor.get_or_insert_with(|| deflate::take_compressor(self.kind))
    }

    fn end_message(&mut self) {
        if self.no_context_takeover
            && let Some(compressor) = self.compressor.take()
        {
            self.stale = false;
            deflate::keep_compressor(compressor);
        }
    }
}

impl Sender {
    /// Messages may be compressed.
    pub(crate) fn set_deflate(&mut self, agreed: Agreement, settings: &Deflate) {
        self.deflation = Some(Box::new(Deflation::new(self.role(), agreed, settings)));
    }

    /// Returns what was agreed about compression; `None` if there is none.
    pub fn deflate(&self) -> Option<Agreement> {
        self.deflation.as_ref().map(|deflation| deflation.agreement())
    }

    pub(super) fn compress_at_once(&mut self, bytes: usize) {
        if let Some(deflation) = &mut self.deflation {
            deflation.at_once = bytes.max(1);
        }
    }

    /// Returns the bytes of a message that is taken and not in the send buffer yet.
    #[cfg(feature = "std")]
    pub(crate) fn under_way(&self) -> usize {
        let message = self.deflation.as_ref().and_then(|deflation| deflation.under_way.as_ref());
        message.map_or(0, |message| message.payload.len())
    }

    /// [`feed`](Self::feed) on a connection that compresses: a message leaves compressed, if that
    /// is worth it. A long one is only taken, where messages are compressed in parts.
    #[cold]
    #[inline(never)]
    pub(super) fn send_compressed(
        &mut self,
        tx: &mut SendBuffer,
        message: MessageRef<'_>,
    ) -> Result<(), SendError> {
        let MessageRef { opcode, payload, plain } = message;
        let len = payload.as_slice().len();
        // RFC 6455 §5.4: control frames may pass between, and RFC 7692 §6.1: they are never
        // compressed.
        if !opcode.is_control() {
            self.finish(tx);
        }
        self.check(tx, opcode, len)?;
        let compress = !opcode.is_control() && !plain && self.is_worth_compressing(len);
        if compress
            && let Some(deflation) = &mut self.deflation
            && len > deflation.at_once
        {
            let payload = match payload {
                PayloadRef::Owned(bytes) => bytes,
                payload => Bytes::copy_from_slice(payload.as_slice()),
            };
            let message = UnderWay { opcode, payload, consumed: 0, compressed: Vec::new() };
            deflation.under_way = Some(Box::new(message));
            return Ok(());
        }
        let slice = payload.as_slice();
        let make = |deflation: &mut Deflation, out: &mut Vec<u8>| deflation.message(slice, out);
        if !compress || !self.put_compressed(tx, opcode, true, slice, make) {
            self.put(tx, opcode, payload);
        }
        Ok(())
    }

    /// Goes on with the message that is under way; whether there is none any more.
    pub(super) fn compress_part(&mut self, tx: &mut SendBuffer) -> bool {
        let Some(done) = self.deflation.as_mut().and_then(|deflation| deflation.part()) else {
            return !self.is_paused();
        };
        match done {
            Done::Plain(opcode, payload) => self.put(tx, opcode, PayloadRef::Owned(payload)),
            Done::Compressed(opcode, mut payload) => {
                let mut header = self.header(opcode, payload.len());
                header.rsv1 = true;
                if payload.len() < BY_REFERENCE {
                    tx.put_frame(&header, &payload);
                } else {
                    if let Some(key) = header.mask {
                        apply_mask(&mut payload, key, 0);
                    }
                    tx.put_frame_owned(&header, payload.into());
                }
            }
        }
        true
    }

    /// Sends one fragment of a compressed message, the first one if `opcode` is not that of a
    /// continuation.
    pub(super) fn compress_fragment(
        &mut self,
        tx: &mut SendBuffer,
        opcode: Opcode,
        fin: bool,
        payload: &[u8],
    ) {
        self.put_compressed(tx, opcode, fin, payload, |deflation, out| {
            deflation.fragment(payload, fin, out);
            true
        });
    }

    pub(super) fn is_worth_compressing(&self, len: usize) -> bool {
        self.deflation.as_ref().is_some_and(|deflation| deflation.is_worth(len))
    }

    fn put_compressed(
        &mut self,
        tx: &mut SendBuffer,
        opcode: Opcode,
        fin: bool,
        payload: &[u8],
        make: impl FnOnce(&mut Deflation, &mut Vec<u8>) -> bool,
    ) -> bool {
        let Some(mut deflation) = self.deflation.take() else { return false };
        let masked = self.role() == Role::Client;
        let header = |len| {
            let mut header = self.header(opcode, len);
            header.fin = fin;
            // RFC 7692 §6.1: the bit is set on the first frame of the message only.
            header.rsv1 = opcode != Opcode::Continuation;
            header
        };
        let put = tx.put_frame_with(payload.len(), |out| make(&mut deflation, out), header, masked);
        self.deflation = Some(deflation);
        put
    }

    /// Sends a message that was compressed when it was prepared. `false` if it has to go plain,
    /// because the window of this connection is smaller: a peer that asks for one must not make
    /// this end compress every broadcast for it alone. Nothing was written then.
    pub(super) fn compress_prepared(
        &mut self,
        tx: &mut SendBuffer,
        message: &Prepared,
        plain: bool,
    ) -> bool {
        self.finish(tx);
        if plain {
            return false;
        }
        let (Some(prepared), Some(deflation)) = (&message.compressed, &mut self.deflation) else {
            return false;
        };
        if deflation.takes_prepared(prepared.window_bits) {
            deflation.sent_prepared();
            self.put_prepared(tx, message.opcode, true, &prepared.frame, prepared.payload_at);
            return true;
        }
        false
    }
}
