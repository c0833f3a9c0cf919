use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use tokio::time::{Sleep, sleep};

use super::client::Client;
use super::outbox::{DrainOutcome, Wait};
use super::receiving::Share;
use super::stream::{Behind, ClientStream, Sight, Stream};
use super::turn::{Turn, give_way};
use crate::error::Error;
use crate::proto::{Arrived, LINGER, MessageKind, Ready, Reply};
use crate::server::accept::lifecycle::ConnectionPermit;
use crate::tokio::{Outgoing, WebSocket};

/// What the task of a connection keeps, besides the socket: how it waits and what it watches meanwhile.
pub(crate) struct Pump {
    /// Given back with the descriptor, which may be before the end.
    place: Option<ConnectionPermit>,
    turn: Turn,
    /// An event for the next turn, or the peer's Close, which is answered behind all messages.
    found: Option<Found>,
    /// Goes off when the transport has taken nothing for too long while too much waits.
    doubt: Option<Pin<Box<Sleep>>>,
    /// There while a handler waits and the end is near.
    vigil: Option<Box<Vigil>>,
}

pub(crate) enum Next {
    Event {
        found: Found,
        /// Nobody has closed.
        open: bool,
    },
    /// The queue is empty again.
    CaughtUp,
}

/// How an event was found, and is to be taken.
#[derive(Clone, Copy)]
pub(crate) enum Found {
    InHand(MessageKind),
    Ready(Ready),
}

/// There is no event any more.
pub(crate) struct End(pub(crate) Option<Box<Error>>);

/// The connection is to end at once.
pub(crate) struct Cut;

/// What is known of the end of a connection while a handler waits.
#[derive(Default)]
pub(crate) struct Vigil {
    stage: Stage,
    /// The end of the stage, from the second one on.
    alarm: Option<Pin<Box<Sleep>>>,
    /// What is owed to the peer for its Close.
    reply: Option<Box<Reply>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// The peer's Close or its end of file came. What it asked for before can still be answered.
    Leaving,
    /// Nothing can be sent any more. Then the stream is dropped.
    Over,
}

impl Vigil {
    fn enter(&mut self, stage: Stage, lasts: Duration) {
        self.stage = stage;
        self.alarm = Some(Box::pin(sleep(lasts)));
    }

    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        self.alarm.as_mut().is_some_and(|alarm| alarm.as_mut().poll(cx).is_ready())
    }
}

impl Pump {
    pub(crate) fn new(place: ConnectionPermit) -> Self {
        Self { place: Some(place), turn: Turn::default(), found: None, doubt: None, vigil: None }
    }

    /// What lies behind the event that is taken next, or the last one.
    #[inline]
    pub(crate) fn behind<S: Stream>(&mut self, ws: &WebSocket<ClientStream<S>>) -> Behind {
        let Some(bytes) = ws.unparsed().filter(|_| self.found.is_none()) else {
            return Behind::More;
        };
        let mut behind = Behind::look(bytes);
        if behind == Behind::Close
            && let Some(reply) = behind.look_at_close(bytes)
        {
            self.vigil.get_or_insert_default().reply = Some(reply);
        }
        behind
    }

    /// A call of the handler that has waited has come to its end.
    pub(crate) fn end_wait(&mut self) {
        self.vigil = None;
    }

    /// Until there is an event, sending what comes into the mailbox meanwhile.
    #[inline]
    pub(crate) fn poll_next<S: Stream>(
        &mut self,
        ws: &mut WebSocket<ClientStream<S>>,
        client: &Client,
        share: &mut Share<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Next, End>> {
        // A burst needs no look into the mailbox for each message; what is sent meanwhile waits there.
        if !client.outbox().is_urgent()
            && self.found.is_none()
            && let Some(kind) = ws.message_in_hand(cx)
        {
            let found = Found::InHand(kind);
            if self.turn.goes_on() {
                return Poll::Ready(Ok(Next::Event { found, open: true }));
            }
            return self.put_off(found, ws, client, cx);
        }
        let polled = self.poll_further(ws, client, share, cx);
        if polled.is_pending() {
            self.turn.end();
        }
        polled
    }

    fn poll_further<S: Stream>(
        &mut self,
        ws: &mut WebSocket<ClientStream<S>>,
        client: &Client,
        share: &mut Share<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Next, End>> {
        let (outbox, limits) = (client.outbox(), client.limits());
        loop {
            let open = match outbox.drain(ws.session(), limits) {
                DrainOutcome::Open => true,
                DrainOutcome::CaughtUp => {
                    outbox.note_caught_up();
                    return Poll::Ready(Ok(Next::CaughtUp));
                }
                DrainOutcome::Closed => false,
                DrainOutcome::Cut => return Poll::Ready(Err(End(None))),
            };
            let mut failed = false;
            match self.found {
                Some(Found::Ready(Ready::Close(_))) if !outbox.is_empty() => {
                    // RFC 6455 §5.5.1: "An endpoint MAY delay sending a Close frame until its current
                    // message is sent".
                    let mut out = ws.outgoing();
                    failed = matches!(out.poll_flush(cx), Poll::Ready(Err(_)))
                        || self.takes_nothing_for(limits.close_timeout, &mut out, cx);
                }
                Some(found) => {
                    self.found = None;
                    self.turn.goes_on();
                    return Poll::Ready(Ok(Next::Event { found, open }));
                }
                None => match ws.poll_ready(cx) {
                    Poll::Ready(Ok(Some(ready))) => {
                        let found = Found::Ready(ready);
                        if matches!(ready, Ready::Close(_)) {
                            outbox.refuse();
                            self.found = Some(found);
                            continue;
                        }
                        if self.turn.goes_on() {
                            return Poll::Ready(Ok(Next::Event { found, open }));
                        }
                        return self.put_off(found, ws, client, cx);
                    }
                    Poll::Ready(Ok(None)) => return Poll::Ready(Err(End(None))),
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(End(Some(Box::new(error)))));
                    }
                    Poll::Pending => {
                        if let Err(error) = share.settle(ws.held()) {
                            ws.fail(error);
                            continue;
                        }
                    }
                },
            }
            if failed {
                outbox.end();
            } else if self.poll_wait(client, &mut ws.outgoing(), cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Leaves an event to the next turn.
    #[cold]
    fn put_off<S: Stream>(
        &mut self,
        found: Found,
        ws: &mut WebSocket<ClientStream<S>>,
        client: &Client,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Next, End>> {
        self.found = Some(found);
        // What was answered so far need not wait for the rest. What comes of it shows in the next turn.
        let _ = client.outbox().drain(ws.session(), client.limits());
        let _ = ws.outgoing().poll_flush(cx);
        self.turn.end();
        give_way(cx);
        Poll::Pending
    }

    /// Before the task waits. Ready when there is something to do instead.
    fn poll_wait<S: Stream>(
        &mut self,
        client: &Client,
        out: &mut Outgoing<'_, ClientStream<S>>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let (outbox, limits) = (client.outbox(), client.limits());
        match outbox.park(cx.waker(), out.session().has_room(), limits) {
            Wait::Woken if self.found.is_none() => self.doubt = None,
            Wait::Woken => {}
            Wait::Doubted => {
                if self.takes_nothing_for(limits.slow_after, out, cx) {
                    outbox.give_up(limits, client.hub().counters());
                    return Poll::Ready(());
                }
            }
            Wait::Not if self.turn.goes_on() => return Poll::Ready(()),
            Wait::Not => give_way(cx),
        }
        Poll::Pending
    }

    /// Whether the transport has taken no byte for so long, since this was asked first. Asked after it had
    /// its chance: an alarm goes off no earlier than the task knows that it may write again.
    fn takes_nothing_for<S: Stream>(
        &mut self,
        time: Duration,
        out: &mut Outgoing<'_, ClientStream<S>>,
        cx: &mut Context<'_>,
    ) -> bool {
        let took = out.io_mut().took();
        let doubt = self.doubt.get_or_insert_with(|| Box::pin(sleep(time)));
        if took {
            doubt.set(sleep(time));
        }
        let nothing = doubt.as_mut().poll(cx).is_ready();
        if nothing {
            self.doubt = None;
        }
        nothing
    }

    /// While a handler waits: what is sent to the client leaves, keep-alive and Close go on, and the end
    /// of the connection is noticed. Nothing is taken in, but looked at as far as a buffer reaches.
    ///
    /// The end is told to all who have the client, so that a handler that sends or waits for it comes to
    /// an end as well. One that does not is left alone: it may be storing something. The stream and its
    /// place are given back without it.
    pub(crate) fn attend<S: Stream>(
        &mut self,
        client: &Client,
        out: &mut Outgoing<'_, ClientStream<S>>,
        behind: &mut Behind,
        cx: &mut Context<'_>,
    ) -> Poll<Cut> {
        let outbox = client.outbox();
        loop {
            if self.place.is_none() {
                self.turn.end();
                return if outbox.park_for_cut(cx.waker()) {
                    Poll::Pending
                } else {
                    Poll::Ready(Cut)
                };
            }
            if outbox.drain(out.session(), client.limits()) == DrainOutcome::Cut {
                return Poll::Ready(Cut);
            }
            let sight = out.io_mut().look_ahead(behind, cx);
            take_note(out, *behind, &sight);
            let flushed = out.poll_flush(cx);
            if matches!(flushed, Poll::Ready(Ok(()))) && out.poll_timer(cx).is_ready() {
                continue;
            }
            let broken = sight.broken || matches!(flushed, Poll::Ready(Err(_)));
            let sight = Sight { broken, ..sight };
            if self.watch(client, out, *behind, sight, cx) {
                continue;
            }
            if self.poll_wait(client, out, cx).is_pending() {
                self.turn.end();
                return Poll::Pending;
            }
        }
    }

    /// Goes from one stage of the end to the next. Whether it has.
    fn watch<S: Stream>(
        &mut self,
        client: &Client,
        out: &mut Outgoing<'_, ClientStream<S>>,
        behind: Behind,
        sight: Sight,
        cx: &mut Context<'_>,
    ) -> bool {
        let outbox = client.outbox();
        if self.vigil.is_none() && !sight.broken && !sight.ended && behind != Behind::Close {
            return false;
        }
        let vigil = self.vigil.get_or_insert_default();
        if sight.reply.is_some() {
            vigil.reply = sight.reply;
        }
        let stage = vigil.stage;
        match stage {
            Stage::Open | Stage::Leaving if sight.broken => {
                outbox.end();
                vigil.enter(Stage::Over, LINGER);
                true
            }
            Stage::Open if sight.ended || behind == Behind::Close => {
                vigil.enter(Stage::Leaving, LAST_ANSWERS);
                true
            }
            Stage::Leaving if vigil.is_due(cx) => {
                outbox.refuse();
                // somebody who has more to say than was read ahead is given more time
                let lasts = if sight.ended { LINGER } else { client.limits().close_timeout };
                vigil.enter(Stage::Over, lasts);
                true
            }
            Stage::Over if vigil.is_due(cx) => {
                outbox.end();
                out.io_mut().hang_up();
                self.place = None;
                self.doubt = None;
                client.hub().remove(client);
                self.vigil = None;
                true
            }
            Stage::Over if outbox.is_empty() => match vigil.reply.take() {
                Some(reply) => {
                    out.session().reply(*reply);
                    vigil.enter(Stage::Over, LINGER);
                    true
                }
                None => false,
            },
            _ => false,
        }
    }
}

/// Tells keep-alive what has arrived.
fn take_note<S: Stream>(out: &mut Outgoing<'_, ClientStream<S>>, behind: Behind, sight: &Sight) {
    let session = out.session();
    if let Some(pong) = &sight.pong {
        session.sender.pong_came(pong);
    }
    let mut bytes = sight.arrived;
    // The pong may lie behind what nobody takes in now. A peer that takes no bytes is judged nevertheless.
    if (sight.full || behind == Behind::More) && session.is_flushed() {
        session.sender.pong_came(&[]);
        bytes = bytes.max(1);
    }
    if bytes > 0 {
        session.sender.note_arrived(Arrived { bytes, ..Arrived::default() });
    }
}

/// How long the answer to what a peer had sent before its Close, or the end of its stream, may still come
/// while a handler waits. A second is what most answers take at the most, and what a peer waits at the least.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
