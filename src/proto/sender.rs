#![forbid(unsafe_code)]

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use bytes::{Buf, Bytes};

use super::closing::{Cause, CloseRecord, Phase};
#[cfg(feature = "deflate")]
use super::deflation::Deflation;
use super::mask_keys::MaskKeys;
use super::message::PayloadRef;
use super::reply::Owed;
use super::timers::{Arrived, Due, Signs, Timers};
use super::writer::Fragments;
use super::{
    CloseInfo, Initiator, MessageKind, MessageRef, MessageWriter, Outcome, PreparedMessage, Reply,
    Role, SendError, State, Timeout, Transport,
};
use crate::buf::SendBuffer;
use crate::config::Config;
use crate::wire::{CloseCode, CloseFrame, FrameHeader, MAX_CONTROL_PAYLOAD, Opcode, ProtocolError};

/// The sending direction of a connection: messages in, frames out; and all that has to be decided
/// in one place: the closing handshake, the timers.
pub struct Sender {
    phase: Phase,
    /// A client's source of masking keys; none on a server, which must not mask.
    mask_keys: Option<Box<MaskKeys>>,
    /// A message begun with `start_message`.
    pub(super) fragments: Option<Fragments>,
    /// As all limits here, in 4 bytes: every idle connection holds them.
    max_unsent: u32,
    max_pending_pongs: u32,
    /// Signs of life of the peer since the timers last judged it.
    arrived: Arrived,
    timers: Timers,
    record: Option<Box<CloseRecord>>,
    /// There if messages may be compressed.
    #[cfg(feature = "deflate")]
    pub(super) deflation: Option<Box<Deflation>>,
}

impl Sender {
    pub(crate) fn server(config: &Config) -> Self {
        Self::new(Role::Server, config, None)
    }

    pub(crate) fn client(config: &Config, mask_seed: [u8; 32]) -> Self {
        Self::new(Role::Client, config, Some(Box::new(MaskKeys::new(mask_seed))))
    }

    fn new(role: Role, config: &Config, mask_keys: Option<Box<MaskKeys>>) -> Self {
        Self {
            phase: Phase::Open,
            mask_keys,
            fragments: None,
            // with none, nothing could be sent, nor read while it is not
            max_unsent: u32::try_from(config.unsent()).unwrap_or(u32::MAX).max(1),
            max_pending_pongs: u32::try_from(config.max_pending_pongs).unwrap_or(u32::MAX),
            arrived: Arrived::default(),
            timers: Timers::new(role, config),
            record: None,
            #[cfg(feature = "deflate")]
            deflation: None,
        }
    }

    /// Encodes a message, ping or pong into `tx`. See
    /// [`Connection::feed`](super::Connection::feed).
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing was written then.
    // Always: with the way into compression it is just over what the compiler inlines by itself,
    // which would cost 2 ns for every message.
    #[inline(always)]
    pub fn feed<'m>(
        &mut self,
        tx: &mut SendBuffer,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<(), SendError> {
        let message = message.into();
        if let PayloadRef::Prepared(prepared) = message.payload {
            return self.send_prepared(tx, prepared, message.plain);
        }
        #[cfg(feature = "deflate")]
        if self.deflation.is_some() {
            return self.send_compressed(tx, message);
        }
        let MessageRef { opcode, payload, plain } = message;
        let _ = plain; // as everything is
        self.check(tx, opcode, payload.as_slice().len())?;
        self.put(tx, opcode, payload);
        Ok(())
    }

    /// Puts a whole message, or a control frame, as it is.
    #[inline(always)]
    pub(super) fn put(&mut self, tx: &mut SendBuffer, opcode: Opcode, payload: PayloadRef<'_>) {
        let header = self.header(opcode, payload.as_slice().len());
        put_with(tx, &header, payload);
    }

    /// Returns whether a message becomes a frame as it is, whatever else the state: this is an open
    /// server that does not compress, and no message is unfinished.
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn sends_plainly(&self) -> bool {
        #[cfg(feature = "deflate")]
        if self.deflation.is_some() {
            return false;
        }
        self.phase == Phase::Open && self.mask_keys.is_none() && self.fragments.is_none()
    }

    /// Encodes a message, whose length was checked, for a sender that
    /// [`sends_plainly`](Self::sends_plainly).
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn feed_plainly(tx: &mut SendBuffer, message: MessageRef<'_>) {
        let MessageRef { opcode, payload, plain: _ } = message;
        match payload {
            PayloadRef::Prepared(message) => put_encoded(tx, &message.0.frame),
            payload => {
                let len = payload.as_slice().len();
                put_with(tx, &FrameHeader::new(opcode, len as u64, None), payload);
            }
        }
    }

    /// Bounds the work of one call. See [`Connection::work_in_steps`].
    ///
    /// [`Connection::work_in_steps`]: super::Connection::work_in_steps
    pub fn work_in_steps(&mut self, bytes: usize) {
        #[cfg(feature = "deflate")]
        self.compress_at_once(bytes);
        #[cfg(not(feature = "deflate"))]
        let _ = bytes;
    }

    /// Returns whether a message is taken that is not in the send buffer yet:
    /// [`proceed`](Self::proceed) with it once others had their turn.
    #[inline]
    pub fn is_paused(&self) -> bool {
        #[cfg(feature = "deflate")]
        return self.deflation.as_ref().is_some_and(|deflation| deflation.is_under_way());
        #[cfg(not(feature = "deflate"))]
        false
    }

    /// Compresses the next part of the message that is under way; the last one puts it into `tx`,
    /// in one frame. Returns whether there is nothing more to do.
    pub fn proceed(&mut self, tx: &mut SendBuffer) -> bool {
        #[cfg(feature = "deflate")]
        return self.compress_part(tx);
        #[cfg(not(feature = "deflate"))]
        {
            let _ = tx;
            true
        }
    }

    /// Puts a message that is under way into `tx`, all that is left of it in one go: something else
    /// is to leave behind it.
    #[inline]
    pub(crate) fn finish(&mut self, tx: &mut SendBuffer) {
        while !self.proceed(tx) {}
    }

    /// Drops a message that is under way: nothing more reaches the peer.
    pub(crate) fn forget(&mut self) {
        #[cfg(feature = "deflate")]
        if let Some(deflation) = &mut self.deflation {
            deflation.forget();
        }
    }

    /// Queues a message that is encoded already.
    #[cold]
    #[inline(never)]
    fn send_prepared(
        &mut self,
        tx: &mut SendBuffer,
        message: &PreparedMessage,
        plain: bool,
    ) -> Result<(), SendError> {
        let prepared = &*message.0;
        self.check(tx, prepared.opcode, message.payload().len())?;
        #[cfg(feature = "deflate")]
        if self.deflation.is_some() && self.compress_prepared(tx, prepared, plain) {
            return Ok(());
        }
        let _ = plain; // as it is now
        self.put_prepared(tx, prepared.opcode, false, &prepared.frame, prepared.payload_at);
        Ok(())
    }

    /// Puts a frame that is encoded as a server sends it.
    pub(super) fn put_prepared(
        &mut self,
        tx: &mut SendBuffer,
        opcode: Opcode,
        compressed: bool,
        frame: &Bytes,
        payload_at: usize,
    ) {
        if self.mask_keys.is_some() {
            let payload = &frame[payload_at..];
            let mut header = self.header(opcode, payload.len());
            header.rsv1 = compressed;
            tx.put_frame(&header, payload);
        } else {
            put_encoded(tx, frame);
        }
    }

    /// Begins a message in fragments. See
    /// [`Connection::start_message`](super::Connection::start_message).
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`] or [`SendError::MessageUnfinished`].
    pub fn start_message(&mut self, kind: MessageKind) -> Result<MessageWriter<'_>, SendError> {
        if self.phase != Phase::Open {
            return Err(SendError::NotOpen);
        }
        if self.fragments.is_some() {
            return Err(SendError::MessageUnfinished);
        }
        self.fragments = Some(Fragments::new(kind));
        self.resume_message()
    }

    /// Goes on with a message whose writer was dropped. See
    /// [`Connection::resume_message`](super::Connection::resume_message).
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`] or [`SendError::NoMessage`].
    pub fn resume_message(&mut self) -> Result<MessageWriter<'_>, SendError> {
        if self.phase != Phase::Open {
            return Err(SendError::NotOpen);
        }
        if self.fragments.is_none() {
            return Err(SendError::NoMessage);
        }
        Ok(MessageWriter::new(self))
    }

    /// Begins the closing handshake. See [`Connection::close`](super::Connection::close).
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`] when it has begun already, [`SendError::ReasonTooLong`].
    pub fn close(
        &mut self,
        tx: &mut SendBuffer,
        close: Option<CloseFrame<'_>>,
    ) -> Result<(), SendError> {
        if self.phase != Phase::Open {
            return Err(SendError::NotOpen);
        }
        if let Some(CloseFrame { reason, .. }) = close {
            SendError::check_reason(reason)?;
        }
        self.step(Cause::WeClose, Initiator::Local, close, tx);
        Ok(())
    }

    /// Pays what the receiver owes to the peer. Replies are not subject to
    /// [`Config::max_unsent`](crate::Config::max_unsent); they have a bound of their own.
    pub fn reply(&mut self, tx: &mut SendBuffer, reply: Reply) {
        match reply.0 {
            Owed::Nothing => {}
            Owed::Pong { payload, len } => self.pong(tx, &payload[..usize::from(len)]),
            Owed::PongCame { payload, len } => self.pong_came(&payload[..usize::from(len)]),
            Owed::Close(close) => match close {
                None => self.peer_closed(tx, None),
                Some((code, reason)) => {
                    self.peer_closed(tx, Some(CloseFrame { code, reason: &reason }));
                }
            },
            Owed::Violation(error) => self.violation(tx, error),
        }
    }

    /// Notes that the transport ended. See
    /// [`Connection::receive_eof`](super::Connection::receive_eof).
    pub fn receive_eof(&mut self) -> Outcome {
        self.end(Initiator::Network);
        match self.phase {
            Phase::Closed { clean: true } => Outcome::Clean,
            _ => Outcome::Abnormal,
        }
    }

    /// Takes note of what the receiver has seen come, so that keep-alive knows. See
    /// [`Receiver::take_arrived`](super::Receiver::take_arrived).
    pub fn note_arrived(&mut self, arrived: Arrived) {
        self.arrived = self.arrived.and_then(arrived);
    }

    /// Takes note of bytes of `tx` that the transport took. See
    /// [`Connection::note_written`](super::Connection::note_written).
    #[inline]
    pub fn note_written(&mut self, bytes: usize) {
        self.timers.note_written(bytes);
    }

    /// Takes note that the transport took bytes after it had been full. See
    /// [`Connection::note_progress`](super::Connection::note_progress).
    pub fn note_progress(&mut self) {
        self.timers.progress = true;
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). See
    /// [`Connection::poll_timeout`](super::Connection::poll_timeout).
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.timers.poll(self.phase)
    }

    /// Acts on the time. See [`Connection::handle_timeout`](super::Connection::handle_timeout).
    ///
    /// # Errors
    ///
    /// [`Timeout`] when the connection is over because of it; every later call returns it again.
    pub fn handle_timeout(&mut self, now: Duration, tx: &mut SendBuffer) -> Result<(), Timeout> {
        self.handle_timeout_with(now, tx, 0, false)
    }

    /// Does the same, where `in_flight` bytes have been taken out of `tx` and are not written
    /// yet, and, if this end is `deaf`, nobody has read what may have come.
    pub(crate) fn handle_timeout_with(
        &mut self,
        now: Duration,
        tx: &mut SendBuffer,
        in_flight: usize,
        deaf: bool,
    ) -> Result<(), Timeout> {
        if let Some(timeout) = self.timers.timed_out {
            return Err(timeout);
        }
        let unsent = tx.remaining() + in_flight;
        let mut signs = Signs { unsent, deaf, ..Signs::default() };
        if self.timers.is_due(now, self.phase) {
            signs.arrived = self.arrived;
            self.arrived.bytes = 0;
            signs.progress = core::mem::take(&mut self.timers.progress);
        }
        match self.timers.handle(now, self.phase, signs) {
            Due::Nothing => {}
            Due::Ping(payload) => {
                let header = self.header(Opcode::Ping, payload.len());
                tx.put_frame(&header, &payload);
            }
            Due::GiveUp => {
                self.end(Initiator::Network);
                if unsent > 0 {
                    // the peer waits for our Close, or for what comes before it
                    self.phase = Phase::Closed { clean: false };
                }
            }
            Due::Expired(timeout) => {
                self.forget();
                // The peer may hear what it no longer answers.
                let close = match timeout {
                    Timeout::KeepAlive => Some((CloseCode::INTERNAL_ERROR, "keep-alive time-out")),
                    Timeout::Message => {
                        Some((CloseCode::POLICY_VIOLATION, "the message does not come on"))
                    }
                    Timeout::Closing => None, // it was told
                };
                if let Some((code, reason)) = close {
                    let close = CloseFrame { code, reason };
                    self.step(Cause::WeClose, Initiator::Local, Some(close), tx);
                }
                self.timers.timed_out = Some(timeout);
                self.end(Initiator::Local);
                return Err(timeout);
            }
        }
        Ok(())
    }

    /// Returns what can still happen on the connection.
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// Returns what to do with the transport once `tx` is empty.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.phase.transport(self.role())
    }

    /// Returns how the connection closed; `None` while that is open.
    pub fn close_info(&self) -> Option<CloseInfo<'_>> {
        match self.phase {
            Phase::Open | Phase::CloseSent => None,
            phase => self.record.as_ref().map(|record| record.info(phase)),
        }
    }

    /// Returns the time between the last keep-alive ping that was answered and its pong.
    pub fn round_trip(&self) -> Option<Duration> {
        self.timers.round_trip()
    }

    /// Returns which end this is.
    pub fn role(&self) -> Role {
        if self.mask_keys.is_some() { Role::Client } else { Role::Server }
    }

    #[inline]
    pub(crate) fn pong(&mut self, tx: &mut SendBuffer, payload: &[u8]) {
        // RFC 6455 §5.5.2: "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in
        // response, unless it already received a Close frame."
        if matches!(self.phase, Phase::Open | Phase::CloseSent) {
            let header = self.header(Opcode::Pong, payload.len());
            tx.put_pong(&header, payload, self.max_pending_pongs as usize);
        }
    }

    pub(crate) fn pong_came(&mut self, payload: &[u8]) {
        self.timers.pong(payload);
    }

    pub(crate) fn peer_closed(&mut self, tx: &mut SendBuffer, close: Option<CloseFrame<'_>>) {
        // RFC 6455 §5.5.1: "When sending a Close frame in response, the endpoint typically echos
        // the status code it received."
        let reply = close.map(|close| CloseFrame::from(close.code));
        self.step(Cause::PeerCloses, Initiator::Peer, reply, tx);
        if let Some(record) = &mut self.record
            && record.received.is_none()
        {
            record.received = Some((
                close.map(|close| close.code),
                close.map_or("", |close| close.reason).into(),
            ));
        }
    }

    pub(crate) fn violation(&mut self, tx: &mut SendBuffer, error: ProtocolError) {
        let close = CloseFrame::from(error.close_code());
        self.step(Cause::PeerBreaksRule, Initiator::Local, Some(close), tx);
        if let Some(record) = &mut self.record {
            record.error = Some(error);
        }
    }

    /// Nothing more will be read or written.
    pub(crate) fn end(&mut self, initiator: Initiator) {
        self.forget();
        self.phase = self.phase.after(Cause::End).0;
        self.record.get_or_insert_with(|| CloseRecord::new(initiator));
    }

    /// Moves through the closing table and writes the Close frame it asks for.
    fn step(
        &mut self,
        cause: Cause,
        initiator: Initiator,
        close: Option<CloseFrame<'_>>,
        tx: &mut SendBuffer,
    ) {
        let (phase, write_close) = self.phase.after(cause);
        if phase == self.phase {
            return;
        }
        self.phase = phase;
        match cause {
            // what was taken before the Close leaves before it
            Cause::WeClose | Cause::PeerCloses => self.finish(tx),
            _ => self.forget(),
        }
        let record = self.record.get_or_insert_with(|| CloseRecord::new(initiator));
        if !write_close {
            return;
        }
        record.sent_code = close.map(|close| close.code);
        let mut payload = [0; MAX_CONTROL_PAYLOAD];
        let mut len = 0;
        if let Some(CloseFrame { code, reason }) = close {
            len = 2 + reason.len(); // `close` has checked the length
            payload[..2].copy_from_slice(&code.as_u16().to_be_bytes());
            payload[2..len].copy_from_slice(reason.as_bytes());
        }
        let header = self.header(Opcode::Close, len);
        tx.put_frame(&header, &payload[..len]);
    }

    #[inline]
    pub(super) fn check(
        &self,
        tx: &SendBuffer,
        opcode: Opcode,
        len: usize,
    ) -> Result<(), SendError> {
        if self.phase != Phase::Open {
            return Err(SendError::NotOpen);
        }
        if opcode.is_control() {
            SendError::check_len(opcode, len)?;
        } else if self.fragments.is_some() {
            return Err(SendError::MessageUnfinished);
        }
        self.check_room(tx)
    }

    /// [`Config::max_unsent`].
    #[inline]
    pub(crate) fn max_unsent(&self) -> usize {
        self.max_unsent as usize
    }

    /// [`Config::close_timeout`].
    #[cfg(feature = "std")]
    pub(crate) fn close_timeout(&self) -> Duration {
        self.timers.close_timeout()
    }

    /// Returns whether the peer's Close came or the connection failed: there are no more events.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        !matches!(self.phase, Phase::Open | Phase::CloseSent)
    }

    /// Returns the time-out that ended the connection.
    pub(crate) fn timed_out(&self) -> Option<Timeout> {
        self.timers.timed_out
    }

    /// Returns the rule that the peer broke.
    pub(crate) fn violated(&self) -> Option<ProtocolError> {
        self.record.as_ref().and_then(|record| record.error)
    }

    #[inline]
    pub(super) fn check_room(&self, tx: &SendBuffer) -> Result<(), SendError> {
        let unsent = tx.remaining();
        let limit = self.max_unsent as usize;
        if unsent >= limit {
            return Err(SendError::BufferFull { unsent, limit });
        }
        Ok(())
    }

    /// Returns a header with FIN set, and a fresh key where this end masks.
    #[inline]
    pub(super) fn header(&mut self, opcode: Opcode, len: usize) -> FrameHeader {
        let mask = self.mask_keys.as_mut().map(|keys| keys.next_key());
        FrameHeader::new(opcode, len as u64, mask)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("role", &self.role())
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// Puts a whole frame, an owned payload by reference where it is long and need not be masked.
#[inline(always)]
fn put_with(tx: &mut SendBuffer, header: &FrameHeader, payload: PayloadRef<'_>) {
    match payload {
        PayloadRef::Owned(bytes) if header.mask.is_none() && bytes.len() >= BY_REFERENCE => {
            tx.put_frame_owned(header, bytes);
        }
        payload => tx.put_frame(header, payload.as_slice()),
    }
}

/// Puts a frame that is encoded as a server sends it.
fn put_encoded(tx: &mut SendBuffer, frame: &Bytes) {
    if frame.len() < PREPARED_BY_REFERENCE {
        tx.put_slice(frame);
    } else {
        tx.put_owned(frame.clone());
    }
}

/// Owned payloads from this size on are queued by reference: one copy of so much costs more than
/// one more slice in a vectored write.
pub(super) const BY_REFERENCE: usize = 16 * 1024;

/// The same for messages that are encoded already: their memory exists anyway, and is shared.
const PREPARED_BY_REFERENCE: usize = 512;
