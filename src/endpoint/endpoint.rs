use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use bytes::Buf;

use super::flow::{Action, Flow, Unsent};
use super::{EndpointError, Step};
use crate::buf::{RecvBuffer, SendBuffer};
use crate::config::Config;
use crate::handshake::server::{Accept, AcceptError, Reject, Request};
use crate::handshake::{UsageError, client, server};
use crate::proto::{
    Connection, LINGER, MAX_DRAINED, MessageKind, MessageRef, MessageWriter, Outcome, Ready,
    SendError,
};
use crate::wire::CloseFrame;

/// One end of a WebSocket, from the opening handshake to the end of the transport.
///
/// The caller owns the transport, the two buffers and the clock. [`step`](Self::step) says what to
/// do next; the answers are a call each:
///
/// | [`Step`] | to be done | then |
/// |---|---|---|
/// | `Write` | write what `tx` holds | [`advance`] `tx` and [`note_written`], or [`note_blocked`] |
/// | `Read` | fill [`space`], till `until` | [`commit`], [`receive_eof`] or [`handle_timeout`] |
/// | `Wait` | wait for room to write, till `until` | go on, or [`handle_timeout`] |
/// | `ShutdownWrite` | shut down the sending direction | [`note_shut_down`](Self::note_shut_down) |
/// | `Request` | decide (on a server) | [`accept`](Self::accept) or [`reject`](Self::reject) |
/// | `Response` | look at it (on a client) | go on: the connection is open |
/// | `Event` | use it | [`feed`](Self::feed), [`close`](Self::close), … |
/// | `Again` | let others have their turn | go on |
/// | `Close` | close the transport | drop the endpoint |
///
/// [`advance`]: bytes::Buf::advance
/// [`note_written`]: Self::note_written
/// [`note_blocked`]: Self::note_blocked
/// [`space`]: RecvBuffer::space
/// [`commit`]: RecvBuffer::commit
/// [`receive_eof`]: Self::receive_eof
/// [`handle_timeout`]: Self::handle_timeout
///
/// A read that fails for good is an end of file; a write that does is told with
/// [`note_write_failed`](Self::note_write_failed). With the feature `std`,
/// [`read_from`](Self::read_from) and [`write_to`](Self::write_to) do all of this over
/// [`Read`](std::io::Read) and [`Write`](std::io::Write).
///
/// A violation by the peer needs no attention: it is answered in `tx`, and shows as the result
/// after the answer has been written. Calls may come in any order; none blocks or panics. An idle
/// endpoint takes about as much memory as its [`Connection`]; what the handshake needs is freed
/// with it.
///
/// ```
/// use sansws::buf::{RecvBuffer, SendBuffer};
/// use sansws::bytes::Buf;
/// use sansws::endpoint::{Endpoint, Step};
/// use sansws::handshake::client::Request;
/// use sansws::handshake::server::Accept;
/// use sansws::Event;
/// use sansws::Config;
///
/// /// Goes on until nothing more can be done without bytes from the other end.
/// fn run(end: &mut Endpoint, input: &mut Vec<u8>, output: &mut Vec<u8>) -> Option<bool> {
///     let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
///     loop {
///         match end.step(&mut rx, &mut tx) {
///             Step::Write => {
///                 let n = tx.remaining();
///                 output.extend_from_slice(&tx.copy_to_bytes(n));
///                 end.note_written(n);
///             }
///             Step::Read { .. } if input.is_empty() => return None,
///             Step::Read { .. } => rx.extend_from_slice(&std::mem::take(input)),
///             Step::Request(request) => end.accept(request, &Accept::default(), &mut tx).unwrap(),
///             Step::Response(_) => end.feed(&mut tx, "Hello").unwrap(),
///             Step::Event(Event::Text(text)) => {
///                 assert_eq!(&*text, "Hello");
///                 end.close(&mut tx, None).unwrap();
///             }
///             Step::Event(_) | Step::Again | Step::Wait { .. } => {}
///             Step::ShutdownWrite => end.note_shut_down(),
///             Step::Close(result) => return Some(result.is_ok()),
///         }
///     }
/// }
///
/// let config = Config::new();
/// let request = Request::new("ws://example.org/chat").unwrap();
/// let mut first = SendBuffer::new();
/// let mut server = Endpoint::server(&config);
/// // the seed comes from the operating system in earnest
/// let mut client = Endpoint::client(&request, [7; 48], &config, &mut first).unwrap();
/// let mut to_server = first.chunk().to_vec();
/// let mut to_client = Vec::new();
/// for _ in 0..3 {
///     assert_eq!(run(&mut server, &mut to_server, &mut to_client), None);
///     assert_eq!(run(&mut client, &mut to_client, &mut to_server), None);
/// }
/// server.receive_eof(); // the end of TCP, in both directions
/// client.receive_eof();
/// assert_eq!(run(&mut server, &mut to_server, &mut to_client), Some(true));
/// assert_eq!(run(&mut client, &mut to_client, &mut to_server), Some(true));
/// ```
pub struct Endpoint {
    phase: Phase,
    flow: Flow,
    /// The transport takes no bytes at the moment; until the next `Read` or `Wait`.
    blocked: bool,
    /// The last step was a wait that read nothing.
    deaf: bool,
}

enum Phase {
    /// A server reads the request.
    Request(Box<Opening>),
    /// A server's caller decides.
    Decision(Box<Opening>),
    /// A client reads the response.
    Response(Box<client::Handshake>, Box<[u8; 32]>),
    /// Also when it is over, for whoever asks how it closed.
    Open(Connection),
    /// A server has refused the request; the client gets time to read why.
    Refused(Box<Refusal>),
    /// There was no connection.
    Over(Result<(), Box<EndpointError>>),
}

/// State of a server until the connection is open.
struct Opening {
    handshake: server::Handshake,
    config: Config,
}

struct Refusal {
    /// When there has been time enough; `None` until the clock was seen.
    until: Option<Duration>,
    /// The bytes thrown away.
    drained: usize,
    result: Result<(), Box<EndpointError>>,
}

impl Endpoint {
    /// Makes a server's end. It begins with the client's request.
    ///
    /// `config` is used for the handshake and the connection; [`Config::handshake_timeout`] bounds
    /// the time until the request is there, in the time of
    /// [`handle_timeout`](Self::handle_timeout).
    pub fn server(config: &Config) -> Self {
        let handshake = server::Handshake::new(config);
        Self::new(Phase::Request(Box::new(Opening { handshake, config: config.clone() })))
    }

    /// A client's end. Writes the request to `tx`.
    ///
    /// `seed` makes the nonce of the handshake (16 bytes) and the masking keys (32 bytes). Take it
    /// from the operating system (`Endpoint::random_seed`, with the feature `std`) and never use it
    /// twice: RFC 6455 §10.3 needs the keys to be unpredictable.
    ///
    /// # Errors
    ///
    /// [`UsageError`] if the request contradicts itself. Nothing was written then.
    pub fn client(
        request: &client::Request,
        seed: [u8; 48],
        config: &Config,
        tx: &mut SendBuffer,
    ) -> Result<Self, UsageError> {
        let (mut nonce, mut masks) = ([0; 16], Box::new([0; 32]));
        nonce.copy_from_slice(&seed[..16]);
        masks.copy_from_slice(&seed[16..]);
        let handshake = client::Handshake::start(request, nonce, config, tx)?;
        Ok(Self::new(Phase::Response(Box::new(handshake), masks)))
    }

    fn new(phase: Phase) -> Self {
        Self { phase, flow: Flow::new(), blocked: false, deaf: false }
    }

    /// Returns the next thing to do.
    ///
    /// Ask again after each. Events that are complete in `rx` come before anything is read, and
    /// none comes while [`Config::max_unsent`] bytes or more wait in `tx`: the answer would find no
    /// room.
    ///
    /// The event borrows `rx` alone, so that answers can be written to `tx` while it is held. Cost:
    /// as [`Connection::poll_event`].
    #[inline]
    pub fn step<'b>(&mut self, rx: &'b mut RecvBuffer, tx: &mut SendBuffer) -> Step<'b> {
        self.step_as(false, rx, tx)
    }

    /// As [`step`](Self::step), but the payload of a message is delivered as it arrives: see
    /// [`Connection::poll_chunk`].
    pub fn step_in_chunks<'b>(&mut self, rx: &'b mut RecvBuffer, tx: &mut SendBuffer) -> Step<'b> {
        self.step_as(true, rx, tx)
    }

    #[inline(always)] // so that whole messages do not pay for the question
    fn step_as<'b>(
        &mut self,
        in_chunks: bool,
        rx: &'b mut RecvBuffer,
        tx: &mut SendBuffer,
    ) -> Step<'b> {
        let Phase::Open(connection) = &mut self.phase else {
            return self.step_without_connection(rx, tx);
        };
        if connection.sender().is_paused() && !connection.proceed(tx) {
            return Step::Again;
        }
        let has_room = tx.remaining() < connection.sender().max_unsent();
        if has_room
            && !in_chunks
            && let Some(kind) = connection.assemble_whole(rx)
        {
            return Step::Event(Connection::take_message(kind, rx));
        }
        connection.deliver(in_chunks, rx);
        match Self::next_event(connection, &self.flow, has_room, self.blocked, rx, tx) {
            Ok(ready) => Step::Event(connection.take_event(rx, ready)),
            Err(action) => self.step_for(action),
        }
    }

    /// Returns the next event of an open connection, or what to do to get one.
    fn next_event(
        connection: &mut Connection,
        flow: &Flow,
        has_room: bool,
        blocked: bool,
        rx: &mut RecvBuffer,
        tx: &mut SendBuffer,
    ) -> Result<Ready, Action> {
        if let Some(action) = flow.before_event(connection.sender(), has_room, blocked) {
            return Err(action);
        }
        // a violation is answered in `tx`, and shows in what is to be done
        if let Ok(Some(ready)) = connection.find(rx, tx) {
            return Ok(ready);
        }
        if connection.is_paused() {
            return Err(Action::Again);
        }
        Err(flow.after_event(connection.sender(), Unsent::new(tx.is_empty(), blocked)))
    }

    #[inline(never)]
    fn step_without_connection<'b>(
        &mut self,
        rx: &mut RecvBuffer,
        tx: &mut SendBuffer,
    ) -> Step<'b> {
        if tx.has_remaining() && !self.blocked && !matches!(self.phase, Phase::Over(_)) {
            return Step::Write;
        }
        let input_ended = self.flow.is_input_ended();
        match &mut self.phase {
            Phase::Request(opening) => match opening.handshake.read_request(rx, tx) {
                Ok(Some(request)) => {
                    let phase = core::mem::replace(&mut self.phase, Phase::Over(Ok(())));
                    if let Phase::Request(opening) = phase {
                        self.phase = Phase::Decision(opening);
                    }
                    Step::Request(request)
                }
                Ok(None) if input_ended => {
                    let error = opening.handshake.receive_eof();
                    self.give_up(error.into())
                }
                Ok(None) => self.step_for(Action::Read),
                Err(error) => {
                    self.refuse(Err(error.into()));
                    Step::Write
                }
            },
            // nothing to do with the transport until then
            Phase::Decision(_) => self.step_for(Action::Wait),
            Phase::Response(handshake, mask_seed) => {
                let mut response = handshake.read_response(rx);
                if input_ended && matches!(response, Ok(None)) {
                    response = handshake.receive_eof();
                }
                match response {
                    Ok(Some(client::Response::Accepted(accepted))) => {
                        self.phase = Phase::Open(accepted.connection(**mask_seed));
                        Step::Response(accepted)
                    }
                    Ok(Some(client::Response::Refused(refused))) => self.give_up(refused.into()),
                    Ok(None) if input_ended => self.give_up(EndpointError::Disconnected),
                    Ok(None) => self.step_for(Action::Read),
                    Err(error) => self.give_up(error.into()),
                }
            }
            Phase::Refused(refusal) => {
                refusal.drained += rx.unparsed().len();
                rx.clear();
                if input_ended || refusal.drained > MAX_DRAINED as usize {
                    self.end_refusal();
                    return self.step_for(Action::End);
                }
                let wants_shutdown = tx.is_empty() && self.flow.is_output_open();
                self.step_for(if wants_shutdown { Action::ShutdownWrite } else { Action::Read })
            }
            Phase::Open(_) | Phase::Over(_) => self.step_for(Action::End),
        }
    }

    fn step_for<'b>(&mut self, action: Action) -> Step<'b> {
        match action {
            Action::Write => Step::Write,
            Action::ShutdownWrite => Step::ShutdownWrite,
            Action::Again => Step::Again,
            Action::Read | Action::Wait => {
                self.blocked = false;
                self.deaf = action == Action::Wait;
                let until = self.poll_timeout();
                if self.deaf { Step::Wait { until } } else { Step::Read { until } }
            }
            // the caller closes the transport for both
            Action::TryShutdown | Action::End => Step::Close(match &mut self.phase {
                Phase::Open(connection) => {
                    self.flow.end();
                    result_of(connection)
                }
                Phase::Over(result) => result.clone().map_err(|failure| *failure),
                _ => Ok(()),
            }),
        }
    }

    /// Ends a client's handshake, or a server's before there was a request.
    fn give_up<'b>(&mut self, failure: EndpointError) -> Step<'b> {
        self.phase = Phase::Over(Err(Box::new(failure)));
        self.step_for(Action::End)
    }

    /// Begins to wait until the client has read why it is refused, which stands in the send buffer.
    fn refuse(&mut self, result: Result<(), EndpointError>) {
        let result = result.map_err(Box::new);
        self.phase = Phase::Refused(Box::new(Refusal { until: None, drained: 0, result }));
    }

    fn end_refusal(&mut self) {
        if let Phase::Refused(refusal) = &mut self.phase {
            let result = core::mem::replace(&mut refusal.result, Ok(()));
            self.phase = Phase::Over(result);
        }
    }

    /// Sets what holds for the connection from here on, once the request is known. The opening
    /// handshake goes on as it was set up.
    #[cfg(feature = "server")]
    pub(crate) fn set_config(&mut self, config: Config) {
        if let Phase::Decision(opening) = &mut self.phase {
            opening.config = config;
        }
    }

    /// Accepts the request of [`Step::Request`]: writes the response to `tx`. The connection is
    /// open.
    ///
    /// If the request turns out not to be a valid handshake, the response says so (a status of 400
    /// and its like), and the result will; that is no error here.
    ///
    /// # Errors
    ///
    /// [`UsageError`] if `accept` does not fit the request. The client gets a 500 then.
    pub fn accept(
        &mut self,
        request: Request,
        accept: &Accept<'_>,
        tx: &mut SendBuffer,
    ) -> Result<(), UsageError> {
        let Phase::Decision(opening) = &mut self.phase else { return Err(UsageError::NoRequest) };
        match request.accept(accept, &opening.config, tx) {
            Ok(connection) => self.phase = Phase::Open(connection),
            Err(AcceptError::Peer(error)) => self.refuse(Err(error.into())),
            Err(AcceptError::Usage(error)) => return Err(self.refuse_with_500(error, tx)),
        }
        Ok(())
    }

    /// Refuses the request of [`Step::Request`]: writes an HTTP response to `tx`.
    ///
    /// The steps go on until the client has read it: for a second at most, and no more than 16 MiB
    /// are taken from it meanwhile. The result is `Ok` then.
    ///
    /// # Errors
    ///
    /// [`UsageError`] if `reject` cannot be a response. The client gets a 500 then.
    pub fn reject(
        &mut self,
        request: Request,
        reject: &Reject<'_>,
        tx: &mut SendBuffer,
    ) -> Result<(), UsageError> {
        self.respond(reject, request.method() == "HEAD", tx)
    }

    /// As [`reject`](Self::reject), for a request that is somewhere else by now.
    pub(crate) fn respond(
        &mut self,
        reject: &Reject<'_>,
        head_only: bool,
        tx: &mut SendBuffer,
    ) -> Result<(), UsageError> {
        let Phase::Decision(_) = &self.phase else { return Err(UsageError::NoRequest) };
        reject.check().map_err(|error| self.refuse_with_500(error, tx))?;
        reject.write(tx, head_only);
        self.refuse(Ok(()));
        Ok(())
    }

    /// Answers a request that the caller has failed to answer.
    fn refuse_with_500(&mut self, error: UsageError, tx: &mut SendBuffer) -> UsageError {
        if let Phase::Decision(opening) = &mut self.phase {
            let internal_error = Reject::new(500);
            let _ = opening.handshake.reject(&internal_error, tx); // valid as it stands
            self.refuse(Ok(()));
        }
        error
    }

    /// Notes that the transport took `n` bytes of `tx`.
    #[inline]
    pub fn note_written(&mut self, n: usize) {
        if let Phase::Open(connection) = &mut self.phase {
            self.flow.wrote(connection.sender_mut(), n);
        }
    }

    /// Notes that the transport takes nothing now. The next step is a `Read` or a `Wait`; after
    /// that it is time to try again.
    pub fn note_blocked(&mut self) {
        self.blocked = true;
        self.flow.write_stalled();
    }

    /// Notes that the sending direction was shut down, or that the transport cannot do that.
    pub fn note_shut_down(&mut self) {
        self.flow.output_shut_down();
    }

    /// Notes that writing failed for good; drops what is unsent. What the peer sent before can
    /// still be read.
    pub fn note_write_failed(&mut self, tx: &mut SendBuffer) {
        *tx = SendBuffer::new();
        self.flow.output_failed();
        if !matches!(self.phase, Phase::Open(_) | Phase::Over(_)) {
            self.flow.input_ended(); // there is nothing to be had without an answer
        }
    }

    /// Notes the end of file, or that reading failed for good.
    ///
    /// Events that are complete in the receive buffer still come.
    pub fn receive_eof(&mut self) {
        self.flow.input_ended();
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): a time on the caller's monotonic
    /// clock, which may begin anywhere. Zero is at once; `None` when nothing is waited for. The
    /// steps [`Read`](Step::Read) and [`Wait`](Step::Wait) say it too.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Request(opening) => opening.handshake.poll_timeout(),
            Phase::Response(handshake, _) => handshake.poll_timeout(),
            Phase::Open(_) if self.flow.is_over() => None,
            Phase::Open(connection) => connection.poll_timeout(),
            Phase::Refused(refusal) => Some(refusal.until.unwrap_or(Duration::ZERO)),
            Phase::Decision(_) | Phase::Over(_) => None,
        }
    }

    /// Acts on the time: answers a request that does not come, sends a keep-alive ping, gives up on
    /// the peer. What came of it shows in the next step.
    ///
    /// May be called early and often. Take in what the transport has first: bytes that wait there
    /// prove that the peer is alive.
    pub fn handle_timeout(&mut self, now: Duration, tx: &mut SendBuffer) {
        match &mut self.phase {
            Phase::Request(opening) => {
                // RFC 9110 §15.5.9: 408 tells a client that it was too slow; it is in `tx`.
                if let Err(error) = opening.handshake.handle_timeout(now, tx) {
                    self.refuse(Err(error.into()));
                }
            }
            Phase::Response(handshake, _) => {
                if let Err(error) = handshake.handle_timeout(now) {
                    self.phase = Phase::Over(Err(Box::new(error.into())));
                }
            }
            // the end shows in what is to be done with the transport, after a last word
            Phase::Open(connection) => connection.handle_timeout_with(now, tx, self.deaf),
            Phase::Refused(refusal) => match refusal.until {
                None => refusal.until = Some(now.saturating_add(LINGER)),
                Some(until) if until <= now => self.end_refusal(),
                Some(_) => {}
            },
            Phase::Decision(_) | Phase::Over(_) => {}
        }
    }

    /// Encodes a text, binary message, ping or pong into `tx`. See [`Connection::feed`].
    ///
    /// # Errors
    ///
    /// As [`Connection::feed`]; [`SendError::NotOpen`] also before there is a connection. Nothing
    /// was written then.
    #[inline]
    pub fn feed<'m>(
        &mut self,
        tx: &mut SendBuffer,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<(), SendError> {
        self.open()?.feed(tx, message)
    }

    /// Begins a message that is sent in fragments. See [`Connection::start_message`].
    ///
    /// # Errors
    ///
    /// As [`Connection::start_message`].
    pub fn start_message(&mut self, kind: MessageKind) -> Result<MessageWriter<'_>, SendError> {
        self.open()?.start_message(kind)
    }

    /// Goes on with such a message. See [`Connection::resume_message`].
    ///
    /// # Errors
    ///
    /// As [`Connection::resume_message`].
    pub fn resume_message(&mut self) -> Result<MessageWriter<'_>, SendError> {
        self.open()?.resume_message()
    }

    /// Begins the closing handshake: writes a Close frame (RFC 6455 §7.1.2). See
    /// [`Connection::close`].
    ///
    /// # Errors
    ///
    /// As [`Connection::close`]; [`SendError::NotOpen`] also before there is a connection.
    pub fn close(
        &mut self,
        tx: &mut SendBuffer,
        close: Option<CloseFrame<'_>>,
    ) -> Result<(), SendError> {
        self.open()?.close(tx, close)
    }

    /// Bounds the work of one step where messages are compressed, in bytes; see
    /// [`Connection::work_in_steps`]. The step is [`Step::Again`] in the middle of a longer
    /// message.
    ///
    /// Set it when the connection is open; before that it does nothing.
    pub fn work_in_steps(&mut self, bytes: usize) {
        if let Phase::Open(connection) = &mut self.phase {
            connection.work_in_steps(bytes);
        }
    }

    fn open(&mut self) -> Result<&mut Connection, SendError> {
        match &mut self.phase {
            Phase::Open(connection) => Ok(connection),
            _ => Err(SendError::NotOpen),
        }
    }

    /// Returns the connection, to look at: its state, how it closed, what was agreed on. `None`
    /// before there is one; it stays when it is over.
    pub fn connection(&self) -> Option<&Connection> {
        match &self.phase {
            Phase::Open(connection) => Some(connection),
            _ => None,
        }
    }

    /// Returns the connection, for a loop of one's own. `None` before there is one.
    pub fn into_connection(self) -> Option<Connection> {
        match self.phase {
            Phase::Open(connection) => Some(connection),
            _ => None,
        }
    }
}

/// An end whose opening handshake was done elsewhere.
impl From<Connection> for Endpoint {
    fn from(connection: Connection) -> Self {
        Self::new(Phase::Open(connection))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
            Phase::Request(_) | Phase::Decision(_) | Phase::Response(..) => "handshake",
            Phase::Open(_) => "open",
            Phase::Refused(_) => "refused",
            Phase::Over(_) => "over",
        };
        f.debug_struct("Endpoint")
            .field("phase", &phase)
            .field("connection", &self.connection())
            .finish_non_exhaustive()
    }
}

/// Ends a connection, and says how that was.
fn result_of(connection: &mut Connection) -> Result<(), EndpointError> {
    let outcome = connection.receive_eof();
    let sender = connection.sender();
    match (outcome, sender.timed_out(), sender.violated()) {
        (_, Some(timeout), _) => Err(timeout.into()),
        (Outcome::Clean, ..) => Ok(()),
        (Outcome::Abnormal, _, Some(error)) => Err(error.into()),
        (Outcome::Abnormal, ..) => Err(EndpointError::Disconnected),
    }
}
