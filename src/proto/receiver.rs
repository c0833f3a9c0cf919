use super::timers::Arrived;
use super::{Binary, Chunk, Event, MessageKind, Reply, Role, Text};
use crate::buf::RecvBuffer;
use crate::config::Config;
use crate::wire::{
    CloseFrame, FrameHeader, Opcode, ProtocolError, Utf8Validator, check_first_byte,
    check_second_byte,
};

mod chunks;
#[cfg(feature = "deflate")]
mod inflation;
mod ready;
mod short_way;

#[cfg(feature = "deflate")]
use inflation::Inflation;
pub(crate) use ready::{Ready, close_frame};

/// The receiving direction of a connection: frames in, events out.
///
/// It shares nothing with the [`Sender`](super::Sender). What it owes the peer (a pong, the reply
/// to a Close, the Close that reports a violation) comes out as a [`Reply`], to be handed to the
/// sender wherever that lives.
#[derive(Debug)]
pub struct Receiver {
    role: Role,
    /// Messages are delivered as they arrive; see [`deliver_chunks`](Self::deliver_chunks).
    in_chunks: bool,
    max_message_len: u64,
    max_fragments: u32,
    max_empty_fragments: u32,
    parsing: Parsing,
    /// Bytes thrown away since nothing more is parsed.
    drained: u32,
    /// Bytes that came since this was last asked for.
    arrived: u32,
    /// Unparsed bytes that lay in the receive buffer at the last look, which have had their say.
    seen: u32,
    /// A complete event in the receive buffer that nobody took yet.
    ready: Option<Ready>,
    /// That event was found, and answered, by a [`Connection`](super::Connection) that was split
    /// then.
    answered: bool,
    /// The next byte begins a message, to be delivered whole: the short way is open. Follows from
    /// other fields and is written by [`refresh`](Self::refresh) alone; asking them for every
    /// message would cost a seventh of the time that a small one takes.
    between_messages: bool,
    message: MessageProgress,
    /// There if compressed messages may come.
    #[cfg(feature = "deflate")]
    inflation: Option<alloc::boxed::Box<Inflation>>,
}

/// What the next byte belongs to.
#[derive(Debug)]
enum Parsing {
    /// The header of a frame.
    Header,
    /// The payload of a data frame: it is arriving, or has arrived and is being inflated. Control
    /// frames are taken whole.
    Payload(Frame),
    /// Nothing: the peer's Close came, or the transport ended.
    Finished,
    /// Nothing: the peer broke a rule. In a box, as every idle connection has room for this.
    Failed(alloc::boxed::Box<ProtocolError>),
}

/// The data frame whose payload is arriving.
#[derive(Debug)]
struct Frame {
    fin: bool,
    mask: Option<[u8; 4]>,
    /// Payload bytes that have not arrived.
    missing: u64,
    /// Payload bytes that have, modulo 4: more is not needed to go on unmasking.
    phase: u8,
}

/// The message whose frames are arriving.
#[derive(Debug, Default)]
struct MessageProgress {
    /// `None` between messages.
    kind: Option<MessageKind>,
    /// Payload bytes announced so far, all fragments together.
    len: u64,
    fragments: u32,
    empty_fragments: u32,
    /// A chunk of it has been delivered.
    begun: bool,
    #[cfg(feature = "deflate")]
    compressed: bool,
    utf8: Utf8Validator,
}

impl Receiver {
    pub(crate) fn new(role: Role, config: &Config) -> Self {
        let mut this = Self {
            role,
            in_chunks: false,
            max_message_len: config.message_len() as u64,
            max_fragments: config.max_fragments,
            max_empty_fragments: config.max_empty_fragments,
            parsing: Parsing::Header,
            drained: 0,
            arrived: 0,
            seen: 0,
            ready: None,
            answered: false,
            between_messages: false,
            message: MessageProgress::default(),
            #[cfg(feature = "deflate")]
            inflation: None,
        };
        this.refresh();
        this
    }

    /// Says anew whether the short way is open: to be called after every change of what decides it.
    fn refresh(&mut self) {
        self.between_messages = self.is_between_messages();
    }

    fn is_between_messages(&self) -> bool {
        !self.in_chunks
            && self.max_fragments > 0
            && matches!(self.parsing, Parsing::Header)
            && self.message.kind.is_none()
    }

    /// Returns the next event and what is owed to the peer for it, or `None` when `rx` holds no
    /// complete event.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] when the peer broke a rule. `Reply::from(error)` is the Close frame that
    /// tells it so. Every later call returns the same error.
    pub fn poll_event<'b>(
        &mut self,
        rx: &'b mut RecvBuffer,
    ) -> Result<Option<(Event<'b>, Reply)>, ProtocolError> {
        self.deliver_messages();
        self.poll(rx)
    }

    /// As [`poll_event`](Self::poll_event), but the payload of a message is delivered as it
    /// arrives. See [`Connection::poll_chunk`](super::Connection::poll_chunk).
    ///
    /// # Errors
    ///
    /// As [`poll_event`](Self::poll_event).
    pub fn poll_chunk<'b>(
        &mut self,
        rx: &'b mut RecvBuffer,
    ) -> Result<Option<(Event<'b>, Reply)>, ProtocolError> {
        self.deliver_chunks(rx);
        self.poll(rx)
    }

    fn poll<'b>(
        &mut self,
        rx: &'b mut RecvBuffer,
    ) -> Result<Option<(Event<'b>, Reply)>, ProtocolError> {
        let Some(ready) = self.advance(rx)? else { return Ok(None) };
        let event = self.take_event(rx, ready);
        let reply = self.reply_to(&event);
        Ok(Some((event, reply)))
    }

    /// Returns what is owed for an event that was just taken.
    pub(crate) fn reply_to(&mut self, event: &Event<'_>) -> Reply {
        if core::mem::take(&mut self.answered) { Reply::none() } else { Reply::to(event) }
    }

    /// The transport ended: nothing more will be parsed.
    pub fn receive_eof(&mut self) {
        if !self.has_ended() {
            self.parsing = Parsing::Finished;
            self.refresh();
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self.parsing, Parsing::Finished | Parsing::Failed(_))
    }

    /// Bounds the work of one call. See [`Connection::work_in_steps`].
    ///
    /// [`Connection::work_in_steps`]: super::Connection::work_in_steps
    pub fn work_in_steps(&mut self, bytes: usize) {
        #[cfg(feature = "deflate")]
        if let Some(inflation) = &mut self.inflation {
            inflation.inflate_at_once(bytes);
        }
        #[cfg(not(feature = "deflate"))]
        let _ = bytes;
    }

    /// Returns whether the last call of [`poll_event`](Self::poll_event) stopped in the middle of a
    /// message, as it had inflated enough for once: call it again, without another byte from the
    /// peer, once others had their turn.
    #[inline]
    pub fn is_paused(&self) -> bool {
        #[cfg(feature = "deflate")]
        return !self.has_ended() && self.inflation.as_ref().is_some_and(|it| it.is_paused());
        #[cfg(not(feature = "deflate"))]
        false
    }

    /// Returns whether nothing more can come: after the peer's Close, a violation or EOF.
    pub fn is_finished(&self) -> bool {
        self.has_ended() && self.ready.is_none()
    }

    /// Returns whether a peer goes on sending long after the end, and has lost the right to be
    /// listened to: close the transport ([`Sender::receive_eof`](super::Sender::receive_eof)).
    pub fn is_flooded(&self) -> bool {
        self.drained > MAX_DRAINED
    }

    /// Returns what came since the last call. Tell [`Sender::note_arrived`], so that keep-alive
    /// knows.
    ///
    /// [`Sender::note_arrived`]: super::Sender::note_arrived
    pub fn take_arrived(&mut self) -> Arrived {
        Arrived {
            bytes: core::mem::take(&mut self.arrived),
            in_frame: matches!(self.parsing, Parsing::Payload(_)),
            in_message: self.message.kind.is_some() && !self.in_chunks,
        }
    }

    fn count_new(&mut self, rx: &RecvBuffer) {
        let new = rx.unparsed().len().saturating_sub(self.seen as usize);
        self.arrived = self.arrived.saturating_add(u32::try_from(new).unwrap_or(u32::MAX));
    }

    /// As [`take_arrived`](Self::take_arrived), where bytes have come that are to be parsed later.
    #[cfg(feature = "tokio")]
    pub(crate) fn look_at(&mut self, rx: &RecvBuffer) -> Arrived {
        self.count_new(rx);
        self.seen = u32::try_from(rx.unparsed().len()).unwrap_or(u32::MAX);
        self.take_arrived()
    }

    /// Parses until an event is complete in `rx`; `None` when more bytes are needed for that.
    #[inline]
    pub(crate) fn advance(&mut self, rx: &mut RecvBuffer) -> Result<Option<Ready>, ProtocolError> {
        if let Some(kind) = self.assemble_whole(rx) {
            self.ready = Some(Ready::Message(kind));
            return Ok(self.ready);
        }
        if self.between_messages && self.ready.is_none() && rx.unparsed().is_empty() {
            self.seen = 0;
            return Ok(None);
        }
        self.advance_in_steps(rx)
    }

    #[inline(never)]
    fn advance_in_steps(&mut self, rx: &mut RecvBuffer) -> Result<Option<Ready>, ProtocolError> {
        // Only what is new shows that the peer is alive: the beginning of a header may lie there
        // for ever.
        self.count_new(rx);
        if self.ready.is_some() {
            self.seen = u32::try_from(rx.unparsed().len()).unwrap_or(u32::MAX);
            return Ok(self.ready);
        }
        if self.has_ended() {
            return self.discard(rx).map(|()| None);
        }
        // a control frame may have come before it
        let parsed = match self.first_chunk(rx) {
            Some(chunk) => Ok(Some(chunk)),
            None => self.parse(rx),
        };
        self.seen = u32::try_from(rx.unparsed().len()).unwrap_or(u32::MAX);
        if let Err(error) = parsed {
            self.parsing = Parsing::Failed(error.into());
        }
        self.refresh();
        match parsed {
            Ok(ready) => {
                self.ready = ready;
                Ok(ready)
            }
            Err(_) => self.discard(rx).map(|()| None),
        }
    }

    /// Gives up what is arriving, as after a violation.
    #[cfg(feature = "server")]
    pub(crate) fn fail(&mut self, error: ProtocolError, rx: &mut RecvBuffer) {
        if !self.has_ended() {
            self.parsing = Parsing::Failed(error.into());
            self.refresh();
            rx.clear();
        }
    }

    /// Returns whether `advance` has nothing new to find: its last event is still to be taken.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// Whoever found the pending event, if there is one that wants an answer, has answered it.
    pub(crate) fn mark_answered(&mut self) {
        self.answered = self.ready.is_some_and(Ready::is_control);
    }

    /// Returns the control frame that was found and neither taken nor answered. It counts as
    /// answered then.
    #[cfg(feature = "std")]
    pub(crate) fn unanswered(&mut self) -> Option<Ready> {
        let answered = core::mem::take(&mut self.answered);
        self.ready.filter(|ready| ready.is_control() && !answered)
    }

    /// Returns the event that [`advance`](Self::advance) found.
    #[inline]
    pub(crate) fn take_event<'b>(&mut self, rx: &'b mut RecvBuffer, ready: Ready) -> Event<'b> {
        self.ready = None;
        match ready {
            Ready::Message(kind) => Self::take_message(kind, rx),
            #[cfg(feature = "deflate")]
            Ready::InflatedMessage(_) | Ready::InflatedChunk { .. } => {
                inflation::take_event(rx, ready)
            }
            Ready::Chunk { kind, first, last } => {
                Event::Chunk(Chunk { kind, first, last, payload: rx.take_message().into_slice() })
            }
            Ready::Ping(len) => Event::Ping(rx.release_control(len.into())),
            Ready::Pong(len) => Event::Pong(rx.release_control(len.into())),
            Ready::Close(len) => Event::Close(close_frame(rx.release_control(len.into()))),
        }
    }

    /// Returns the message that was assembled in `rx`. Text has been validated to its end.
    #[inline]
    pub(crate) fn take_message(kind: MessageKind, rx: &mut RecvBuffer) -> Event<'_> {
        match kind {
            MessageKind::Binary => Event::Binary(Binary::new(rx.take_message())),
            MessageKind::Text => {
                // SAFETY: a text message is taken only when the validator has passed every byte of
                // it, as unmasked and assembled in `rx`, and its end.
                #[allow(unsafe_code)]
                let text = unsafe { Text::new_unchecked(rx.take_message()) };
                Event::Text(text)
            }
        }
    }

    /// RFC 6455 §5.5.1, §7.1.7: nothing is processed after a Close or a violation.
    #[cold]
    fn discard(&mut self, rx: &mut RecvBuffer) -> Result<(), ProtocolError> {
        let n = u32::try_from(rx.unparsed().len()).unwrap_or(u32::MAX);
        self.drained = self.drained.saturating_add(n);
        rx.clear();
        match &self.parsing {
            Parsing::Failed(error) => Err(**error),
            _ => Ok(()),
        }
    }

    fn parse(&mut self, rx: &mut RecvBuffer) -> Result<Option<Ready>, ProtocolError> {
        loop {
            if let Parsing::Payload(_) = self.parsing {
                let ready = self.take_payload(rx)?;
                if ready.is_some() || matches!(self.parsing, Parsing::Payload(_)) {
                    return Ok(ready);
                }
            }
            let Some((header, len)) = self.parse_header(rx.unparsed())? else { return Ok(None) };
            if header.opcode.is_control() {
                return self.take_control(rx, &header, len);
            }
            self.begin_frame(&header)?;
            rx.skip(len);
        }
    }

    /// Reads a header and checks it against the state of the connection.
    ///
    /// Byte by byte in this order, so that what arrives together fails as what arrives alone.
    #[inline]
    fn parse_header(&self, buf: &[u8]) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
        let Some(&first) = buf.first() else { return Ok(None) };
        let opcode = check_first_byte(first)?;
        // RFC 6455 §5.2: the reserved bits "MUST be 0 unless an extension is negotiated that
        // defines meanings for non-zero values".
        if first & 0x70 != 0 {
            #[cfg(feature = "deflate")]
            let has_meaning = self.means_compressed(first, opcode);
            #[cfg(not(feature = "deflate"))]
            let has_meaning = false;
            if !has_meaning {
                return Err(ProtocolError::ReservedBits);
            }
        }
        match (opcode, self.message.kind) {
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            // RFC 6455 §5.4: "The fragments of one message MUST NOT be interleaved between the
            // fragments of another message unless an extension has been negotiated".
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(ProtocolError::UnfinishedMessage);
            }
            _ => {}
        }
        let Some(&second) = buf.get(1) else { return Ok(None) };
        check_second_byte(opcode, second)?;
        match (self.role, second & 0x80 != 0) {
            // RFC 6455 §5.1: "The server MUST close the connection upon receiving a frame that is
            // not masked."
            (Role::Server, false) => return Err(ProtocolError::UnmaskedFrame),
            // "A client MUST close a connection if it detects a masked frame."
            (Role::Client, true) => return Err(ProtocolError::MaskedFrame),
            _ => {}
        }
        FrameHeader::parse(buf)
    }

    /// Takes note of a data frame's header, if the limits allow the frame.
    #[inline]
    fn begin_frame(&mut self, header: &FrameHeader) -> Result<(), ProtocolError> {
        let message = &mut self.message;
        match header.opcode {
            Opcode::Text => message.begin(MessageKind::Text),
            Opcode::Binary => message.begin(MessageKind::Binary),
            _ => {}
        }
        #[cfg(feature = "deflate")]
        if header.opcode != Opcode::Continuation {
            message.compressed = header.rsv1;
        }
        #[cfg(feature = "deflate")]
        let limit = match message.compressed {
            // What comes out is checked as it comes out.
            true => Inflation::compressed_limit(self.max_message_len, message.fragments),
            false => self.max_message_len,
        };
        #[cfg(not(feature = "deflate"))]
        let limit = self.max_message_len;
        // RFC 6455 §10.4: "implementations that have implementation- and/or platform-specific
        // limitations regarding the frame size or total message size after reassembly from multiple
        // frames MUST protect themselves against exceeding those limits". The sum is checked before
        // any of the payload is kept.
        message.len = message.len.saturating_add(header.payload_len);
        if message.len > limit {
            return Err(ProtocolError::MessageTooBig {
                announced: message.len,
                limit: self.max_message_len,
            });
        }
        message.fragments = message.fragments.saturating_add(1);
        if message.fragments > self.max_fragments {
            return Err(ProtocolError::TooManyFragments { limit: self.max_fragments });
        }
        if header.payload_len == 0 && !header.fin {
            message.empty_fragments = message.empty_fragments.saturating_add(1);
            if message.empty_fragments > self.max_empty_fragments {
                return Err(ProtocolError::TooManyEmptyFragments {
                    limit: self.max_empty_fragments,
                });
            }
        } else {
            message.empty_fragments = 0;
        }
        self.parsing = Parsing::Payload(Frame {
            fin: header.fin,
            mask: header.mask,
            missing: header.payload_len,
            phase: 0,
        });
        Ok(())
    }

    /// Takes what has arrived of the open frame's payload.
    #[inline]
    fn take_payload(&mut self, rx: &mut RecvBuffer) -> Result<Option<Ready>, ProtocolError> {
        let message = &mut self.message;
        let (Parsing::Payload(frame), Some(kind)) = (&mut self.parsing, message.kind) else {
            return Ok(None);
        };
        let n = rx.assemble(frame.missing, frame.fin, frame.mask, frame.phase.into());
        frame.missing -= n as u64;
        frame.phase = ((usize::from(frame.phase) + n) % 4) as u8;
        #[cfg(feature = "deflate")]
        if message.compressed {
            return self.inflate_payload(rx, kind);
        }
        let last = frame.fin && frame.missing == 0;
        if frame.missing == 0 {
            self.parsing = Parsing::Header;
        }
        if kind == MessageKind::Text {
            // RFC 6455 §8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds
            // that the byte stream is not, in fact, a valid UTF-8 stream, that endpoint MUST _Fail
            // the WebSocket Connection_." At the first such byte, not at the end of the frame.
            let utf8 = &mut message.utf8;
            utf8.update(rx.assembled_tail(n)).map_err(|_| ProtocolError::InvalidUtf8)?;
            if last {
                utf8.finish().map_err(|_| ProtocolError::InvalidUtf8)?;
            }
        }
        let ready = match self.in_chunks {
            false if last => Some(Ready::Message(kind)),
            true if n > 0 || last => {
                let first = !message.begun;
                message.begun = true;
                Some(Ready::Chunk { kind, first, last })
            }
            _ => None,
        };
        if last {
            message.kind = None;
        }
        Ok(ready)
    }

    /// Takes a control frame, once all of it is there.
    fn take_control(
        &mut self,
        rx: &mut RecvBuffer,
        header: &FrameHeader,
        header_len: usize,
    ) -> Result<Option<Ready>, ProtocolError> {
        let len = header.payload_len as u8; // at most 125
        if rx.unparsed().len() < header_len + usize::from(len) {
            return Ok(None);
        }
        let payload = rx.take_control(header_len, len.into(), header.mask);
        Ok(Some(match header.opcode {
            Opcode::Ping => Ready::Ping(len),
            Opcode::Pong => Ready::Pong(len),
            _ => {
                CloseFrame::parse(payload)?;
                self.parsing = Parsing::Finished;
                Ready::Close(len)
            }
        }))
    }
}

impl MessageProgress {
    fn is_compressed(&self) -> bool {
        #[cfg(feature = "deflate")]
        return self.compressed;
        #[cfg(not(feature = "deflate"))]
        false
    }

    #[inline]
    fn begin(&mut self, kind: MessageKind) {
        self.kind = Some(kind);
        self.len = 0;
        self.fragments = 0;
        self.empty_fragments = 0;
        self.begun = false;
    }
}

/// How much to read on, in bytes, after the last word. Closing a socket with unread bytes makes TCP
/// discard what is on its way to the peer, and a peer that is told in the middle of a message that
/// it is too big is still writing the rest. So this is the default limit of a message; a clock
/// bounds the same wait.
pub(crate) const MAX_DRAINED: u32 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// with limits at the end of their range, counting does not overflow.
    #[cfg(target_pointer_width = "64")] // elsewhere no limit is as high as the counter goes
    #[test]
    fn counters_saturate() {
        let config = Config::new()
            .max_message_len(usize::MAX)
            .max_fragments(u32::MAX)
            .max_empty_fragments(u32::MAX);
        let mut receiver = Receiver::new(Role::Client, &config);
        let mut rx = RecvBuffer::new();
        rx.extend_from_slice(&[0x02, 0x01, 0x61]);
        assert_eq!(receiver.advance(&mut rx), Ok(None));
        receiver.message.fragments = u32::MAX;
        receiver.message.empty_fragments = u32::MAX;
        receiver.message.len = u64::MAX - 1;
        rx.extend_from_slice(&[0x00, 0x00, 0x00, 0x02, 0x62, 0x63, 0x80, 0x01, 0x64]);
        let ready = receiver.advance(&mut rx);
        assert_eq!(ready, Ok(Some(Ready::Message(MessageKind::Binary))));
        assert_eq!(rx.take_message().as_slice(), b"abcd");
    }
}
