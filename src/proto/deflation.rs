use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{PreparedMessage, Role, Sender};
use crate::buf::SendBuffer;
use crate::deflate::{self, Agreement, Compressor, CompressorKind, Deflate};
use crate::wire::Opcode;

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
    /// What the compressor remembers is not what the peer received: it must forget it.
    stale: bool,
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
        }
    }

    pub(super) fn agreement(&self) -> Agreement {
        self.agreement
    }

    /// Whether a message of this length is worth it.
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

    /// Whether a message that was compressed with such a window can be sent on this connection.
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

    /// What was agreed about compression; `None` if there is none.
    pub fn deflate(&self) -> Option<Agreement> {
        self.deflation.as_ref().map(|deflation| deflation.agreement())
    }

    /// Sends a message compressed, if that is worth it; otherwise nothing was written.
    #[cold]
    #[inline(never)]
    pub(super) fn compress(&mut self, tx: &mut SendBuffer, opcode: Opcode, payload: &[u8]) -> bool {
        // RFC 7692 §6.1: control frames are never compressed.
        if opcode.is_control() || !self.is_worth_compressing(payload.len()) {
            return false;
        }
        self.put_compressed(tx, opcode, true, payload, |deflation, out| {
            deflation.message(payload, out)
        })
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
        let put = tx.put_made(payload.len(), |out| make(&mut deflation, out), header, masked);
        self.deflation = Some(deflation);
        put
    }

    /// Sends a message that was compressed when it was prepared. `false` if it has to go plain,
    /// because the window of this connection is smaller: a peer that asks for one must not make
    /// this end compress every broadcast for it alone. Nothing was written then.
    pub(super) fn compress_prepared(
        &mut self,
        tx: &mut SendBuffer,
        message: &PreparedMessage,
    ) -> bool {
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
