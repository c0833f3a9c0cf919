#![forbid(unsafe_code)]

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use tokio::time::{Sleep, sleep};

use super::client::Client;
use super::direct;
use super::handler::Received;
use super::outbox::{Drained, Wait};
use super::quota::ReceiveQuota;
use super::rate::Verdict;
pub(crate) use super::stream::Unread;
use super::stream::{ClientStream, Observed};
use super::turn::{Turn, give_way};
use super::watch::Watch;
use crate::driver::Driver;
use crate::error::Error;
use crate::proto::{Arrived, LINGER, MessageKind, Ready, Reply};
use crate::server::accept::permits::ConnectionPermit;
use crate::server::observe::stats::Counters;
use crate::server::observe::tally;
use crate::tokio::{Burst, Outgoing, WebSocket};
use crate::wire::CloseCode;

/// The state of a connection's task besides the socket and the handler: it finds the events, moves
/// messages from the outbox to the socket, and watches over the connection while a handler waits.
pub(crate) struct Pump {
    /// Given back with the descriptor, which may be before the end.
    permit: Option<ConnectionPermit>,
    turn: Turn,
    /// The outbox knows the waker of the task, which stays the same.
    parked: bool,
    /// An event for the next turn, or the peer's Close, which is answered behind all messages.
    held: Option<Ready>,
    /// There for what most connections do without, and while a transport takes nothing.
    watch: Option<Box<Watch>>,
    /// There while a handler waits and the end is near.
    ending: Option<Box<Ending>>,
}

/// The next step of the task.
pub(crate) enum Next {
    /// Takes an event.
    Event {
        ready: Ready,
        /// This end has not closed: the handler is told of it.
        deliver: bool,
    },
    /// Tells the handler that the queue is empty again.
    CaughtUp,
    /// The handler was called already, and has panicked.
    Panicked,
}

/// The end of the events, with the error that it was, if it was one.
pub(crate) struct Ended(pub(crate) Option<Box<Error>>);

/// The connection is to end at once.
pub(crate) struct Aborted;

/// The end of a connection that comes while a handler waits, as far as it is known.
#[derive(Default)]
pub(crate) struct Ending {
    stage: Stage,
    /// The end of the stage, from the second one on.
    alarm: Option<Pin<Box<Sleep>>>,
    /// The answer that is owed to the peer for its Close.
    reply: Option<Box<Reply>>,
}

/// The stages of the end of a connection while a handler waits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// The peer's Close or its end of file came. What it asked for before can still be answered.
    Leaving,
    /// Nothing can be sent any more. Then the stream is dropped.
    Over,
}

impl Ending {
    fn enter(&mut self, stage: Stage, lasts: Duration) {
        self.stage = stage;
        self.alarm = Some(Box::pin(sleep(lasts)));
    }

    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        self.alarm.as_mut().is_some_and(|alarm| alarm.as_mut().poll(cx).is_ready())
    }
}

impl Pump {
    pub(crate) fn new(permit: ConnectionPermit, client: &Client) -> Self {
        Self {
            permit: Some(permit),
            turn: Turn::default(),
            parked: false,
            held: None,
            watch: Watch::for_client(client.context().limits()),
            ending: None,
        }
    }

    /// Looks at what lies behind the event that is taken next, or the last one.
    #[inline]
    pub(crate) fn unread(&mut self, ws: &WebSocket<ClientStream>) -> Unread {
        let Some(bytes) = ws.unparsed().filter(|_| self.held.is_none()) else {
            return Unread::More;
        };
        let mut unread = Unread::look(bytes);
        if unread == Unread::Close
            && let Some(reply) = unread.look_at_close(bytes)
        {
            self.ending.get_or_insert_default().reply = Some(reply);
        }
        unread
    }

    /// Notes that a call of the handler that has waited is over.
    pub(crate) fn end_wait(&mut self) {
        self.ending = None;
        if let Some(watch) = &mut self.watch {
            watch.note_life();
        }
    }

    /// Waits for an event, and sends what comes into the outbox meanwhile.
    #[inline]
    pub(crate) fn poll_next(
        &mut self,
        ws: &mut WebSocket<ClientStream>,
        client: &Client,
        quota: &mut ReceiveQuota<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Next, Ended>> {
        if !take_line(client, &mut ws.outgoing(), cx) {
            return Poll::Pending;
        }
        if self.watch.is_some()
            && let Some(polled) = self.poll_pause(ws, client, cx)
        {
            return polled;
        }
        // A burst needs no look into the outbox for each message; what is sent meanwhile waits
        // there. The first look of a turn tells the outbox that the task runs: otherwise the
        // handler's own answer would wake it, and it would be polled again before the runtime has
        // looked for what arrived.
        if self.turn.has_begun()
            && !client.outbox().is_urgent()
            && self.held.is_none()
            && let Some(kind) = ws.message_in_hand(cx)
        {
            let ready = Ready::Message(kind);
            if self.turn.goes_on() {
                return Poll::Ready(Ok(Next::Event { ready, deliver: true }));
            }
            self.interrupt(ready, ws, client, cx);
            return Poll::Pending;
        }
        let polled = self.poll_further(ws, client, quota, cx);
        if polled.is_pending() {
            self.end_turn(client, ws.driver());
            if let Some(watch) = &mut self.watch
                && watch.poll_idle(cx).is_ready()
            {
                close_idle(client);
            }
        }
        polled
    }

    /// Returns whether a handler that never waits may be called for all messages of a burst.
    #[inline]
    pub(crate) fn allows_bursts(&self, client: &Client) -> bool {
        // each call is timed, or each message counted
        self.watch.is_none() && !client.context().times_handlers()
    }

    /// Returns the next message of a burst, and whether it is part of this turn; `None` where only
    /// [`poll_next`](Self::poll_next) can tell. For a call of the handler.
    #[inline]
    pub(crate) fn next_of_burst(
        &mut self,
        client: &Client,
        burst: &mut Burst<'_>,
    ) -> Option<(MessageKind, bool)> {
        if client.outbox().is_urgent() || !direct::has_room(client) {
            return None;
        }
        let kind = burst.next()?;
        Some((kind, self.turn.goes_on()))
    }

    /// Leaves a message to the next turn, and ends this one.
    #[cold]
    pub(crate) fn interrupt(
        &mut self,
        ready: Ready,
        ws: &mut WebSocket<ClientStream>,
        client: &Client,
        cx: &mut Context<'_>,
    ) {
        self.put_off(ready, ws, client, cx);
        self.end_turn(client, ws.driver());
    }

    /// Counts a message against the rate of its client. Returns whether that closes it.
    #[inline]
    pub(crate) fn is_over_rate(&mut self, client: &Client, message: &Received<'_>) -> bool {
        let Some(watch) = &mut self.watch else { return false };
        match watch.count(message.as_bytes().len()) {
            Verdict::Deliver => false,
            Verdict::Pause(_) => {
                Counters::add(&client.context().counters.rate_paused);
                false
            }
            Verdict::Close(code) => {
                // it may be closing already
                if client.close(code, "too many messages").is_ok() {
                    Counters::add(&client.context().counters.rate_closed);
                }
                true
            }
        }
    }

    /// Goes on as while a handler waits, if the client is paused; `None` if it is not.
    ///
    /// That the peer has ended does not end the pause: what it left in the socket may be a flood.
    #[cold]
    fn poll_pause(
        &mut self,
        ws: &mut WebSocket<ClientStream>,
        client: &Client,
        cx: &mut Context<'_>,
    ) -> Option<Poll<Result<Next, Ended>>> {
        let pause = self.watch.as_mut()?.pause.as_mut()?;
        if pause.poll(cx).is_ready() || client.outbox().is_closing() {
            self.watch.as_mut()?.pause = None;
            self.end_wait();
            return None;
        }
        let mut unread = match pause.unread {
            Some(unread) => unread,
            None => self.unread(ws),
        };
        let polled = self.poll_meanwhile(client, &mut ws.outgoing(), &mut unread, cx);
        if let Some(pause) = self.watch.as_mut().and_then(|watch| watch.pause.as_mut()) {
            pause.unread = Some(unread);
        }
        if self.permit.is_none() {
            // the stream is gone, and nobody waits for what is unread
            return Some(Poll::Ready(Err(Ended(None))));
        }
        Some(polled.map(|Aborted| Err(Ended(None))))
    }

    fn poll_further(
        &mut self,
        ws: &mut WebSocket<ClientStream>,
        client: &Client,
        quota: &mut ReceiveQuota<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Next, Ended>> {
        let (outbox, limits) = (client.outbox(), client.context().limits());
        loop {
            let deliver = match self.drain(client, ws.driver()) {
                Drained::Open => true,
                Drained::CaughtUp => {
                    outbox.note_caught_up();
                    return Poll::Ready(Ok(Next::CaughtUp));
                }
                Drained::Closed => false,
                Drained::Aborted => return Poll::Ready(Err(Ended(None))),
            };
            let mut failed = false;
            match self.held {
                Some(Ready::Close(_)) if !outbox.is_empty() => {
                    // RFC 6455 §5.5.1: "An endpoint MAY delay sending a Close frame until its
                    // current message is sent".
                    let mut out = ws.outgoing();
                    failed = matches!(out.poll_flush(cx), Poll::Ready(Err(_)))
                        || self.is_stalled_for(limits.close_timeout, &mut out, cx);
                }
                Some(ready) => {
                    self.held = None;
                    self.turn.goes_on();
                    return Poll::Ready(Ok(Next::Event { ready, deliver }));
                }
                None => match ws.poll_ready(cx) {
                    Poll::Ready(Ok(Some(ready))) => {
                        if matches!(ready, Ready::Close(_)) {
                            outbox.refuse();
                            self.held = Some(ready);
                            continue;
                        }
                        if self.turn.goes_on() {
                            return Poll::Ready(Ok(Next::Event { ready, deliver }));
                        }
                        self.put_off(ready, ws, client, cx);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(None)) => return Poll::Ready(Err(Ended(None))),
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(Ended(Some(Box::new(error)))));
                    }
                    Poll::Pending => {
                        if let Err(error) = quota.set(ws.held()) {
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

    /// Ends the turn: the task waits now. Others may write to the socket meanwhile.
    fn end_turn(&mut self, client: &Client, driver: &Driver) {
        self.turn.end();
        if driver.may_be_passed() {
            client.outbox().line().leave();
        }
        let moved = tally::fold(&client.context().counters);
        client.note_moved(&moved);
        if let Some(watch) = &mut self.watch {
            watch.note(&moved);
        }
    }

    /// Leaves an event to the next turn of the task, for which that is woken.
    #[cold]
    fn put_off(
        &mut self,
        ready: Ready,
        ws: &mut WebSocket<ClientStream>,
        client: &Client,
        cx: &mut Context<'_>,
    ) {
        self.held = Some(ready);
        // What was answered so far need not wait for the rest. A failure shows in the next turn.
        let _ = self.drain(client, ws.driver());
        let _ = ws.outgoing().poll_flush(cx);
        give_way(cx);
    }

    /// As [`Outbox::drain`](super::outbox::Outbox::drain), which costs nothing where there is
    /// nothing to drain: what its handler sends goes straight into the send buffer, or wakes
    /// nobody.
    #[inline]
    fn drain(&mut self, client: &Client, driver: &mut Driver) -> Drained {
        let outbox = client.outbox();
        if self.parked && outbox.is_quiet() {
            return Drained::Open;
        }
        outbox.drain(driver, client.context().limits())
    }

    /// Parks the task before it waits. Ready when there is something to do instead.
    fn poll_wait(
        &mut self,
        client: &Client,
        out: &mut Outgoing<'_, ClientStream>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let (outbox, limits) = (client.outbox(), client.context().limits());
        if self.parked && outbox.is_quiet() {
            return Poll::Pending;
        }
        match outbox.park(cx.waker(), out.driver().has_room(), limits) {
            Wait::Parked => {
                self.parked = true;
                if self.held.is_none() {
                    self.end_stall();
                }
            }
            Wait::Doubted => {
                if self.is_stalled_for(limits.slow_after, out, cx) {
                    outbox.give_up(client.context());
                    return Poll::Ready(());
                }
            }
            Wait::Not if self.turn.goes_on() => return Poll::Ready(()),
            Wait::Not => give_way(cx),
        }
        Poll::Pending
    }

    /// Returns whether the transport has taken no byte for so long, since this was first called.
    /// Called after it had its chance: the alarm goes off no earlier than the task knows that it
    /// may write.
    fn is_stalled_for(
        &mut self,
        time: Duration,
        out: &mut Outgoing<'_, ClientStream>,
        cx: &mut Context<'_>,
    ) -> bool {
        let took = out.stream_mut().took();
        let watch = self.watch.get_or_insert_default();
        let stall = watch.stall.get_or_insert_with(|| Box::pin(sleep(time)));
        if took {
            stall.set(sleep(time));
        }
        let nothing = stall.as_mut().poll(cx).is_ready();
        if nothing {
            self.end_stall();
        }
        nothing
    }

    fn end_stall(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.stall = None;
            self.watch.take_if(|watch| watch.is_empty());
        }
    }

    /// Goes on with a connection whose handler waits: what is sent to the client leaves, keep-alive
    /// and Close go on, and the end of the connection is noticed. Nothing is taken in, but looked
    /// at as far as a buffer reaches.
    ///
    /// The end shows at the client, so that a handler that sends or waits for it comes to an end as
    /// well. One that does neither is left alone: it may be storing something. The stream and its
    /// permit are given back without it.
    pub(crate) fn poll_meanwhile(
        &mut self,
        client: &Client,
        out: &mut Outgoing<'_, ClientStream>,
        unread: &mut Unread,
        cx: &mut Context<'_>,
    ) -> Poll<Aborted> {
        let outbox = client.outbox();
        loop {
            if self.permit.is_none() {
                self.end_turn(client, out.driver());
                return if outbox.park_for_abort(cx.waker()) {
                    Poll::Pending
                } else {
                    Poll::Ready(Aborted)
                };
            }
            if self.drain(client, out.driver()) == Drained::Aborted {
                return Poll::Ready(Aborted);
            }
            let observed = out.stream_mut().look_ahead(unread, cx);
            note_arrived(out, *unread, &observed);
            let flushed = out.poll_flush(cx);
            if matches!(flushed, Poll::Ready(Ok(()))) && out.poll_timer(cx).is_ready() {
                continue;
            }
            let broken = observed.broken || matches!(flushed, Poll::Ready(Err(_)));
            let observed = Observed { broken, ..observed };
            if self.advance_ending(client, out, *unread, observed, cx) {
                continue;
            }
            if self.poll_wait(client, out, cx).is_pending() {
                self.end_turn(client, out.driver());
                return Poll::Pending;
            }
        }
    }

    /// Goes from one stage of the end to the next. Returns whether it has.
    fn advance_ending(
        &mut self,
        client: &Client,
        out: &mut Outgoing<'_, ClientStream>,
        unread: Unread,
        observed: Observed,
        cx: &mut Context<'_>,
    ) -> bool {
        let outbox = client.outbox();
        if self.ending.is_none() && !observed.broken && !observed.ended && unread != Unread::Close {
            return false;
        }
        let ending = self.ending.get_or_insert_default();
        if observed.reply.is_some() {
            ending.reply = observed.reply;
        }
        let stage = ending.stage;
        match stage {
            Stage::Open | Stage::Leaving if observed.broken => {
                outbox.end();
                ending.enter(Stage::Over, LINGER);
                true
            }
            Stage::Open if observed.ended || unread == Unread::Close => {
                ending.enter(Stage::Leaving, LAST_ANSWERS);
                true
            }
            Stage::Leaving if ending.is_due(cx) => {
                outbox.refuse();
                // a peer that has more to say than was read ahead is given more time
                let lasts =
                    if observed.ended { LINGER } else { client.context().limits().close_timeout };
                ending.enter(Stage::Over, lasts);
                true
            }
            Stage::Over if ending.is_due(cx) => {
                outbox.end();
                out.stream_mut().drop_stream();
                self.permit = None;
                self.watch = None;
                client.hub().remove(client);
                self.ending = None;
                true
            }
            Stage::Over if outbox.is_empty() => match ending.reply.take() {
                Some(reply) => {
                    out.driver().reply(*reply);
                    ending.enter(Stage::Over, LINGER);
                    true
                }
                None => false,
            },
            _ => false,
        }
    }
}

/// Takes the right to write to the socket back, for a task that runs. If it is being written to,
/// that is `false`, and the task is woken when all others have had their turn.
#[inline]
pub(crate) fn take_line(
    client: &Client,
    out: &mut Outgoing<'_, ClientStream>,
    cx: &mut Context<'_>,
) -> bool {
    match client.outbox().line().take() {
        Some(0) => true,
        Some(passed) => {
            out.note_passed(passed);
            true
        }
        None => {
            give_way(cx);
            false
        }
    }
}

/// Closes a client that has been idle for too long, which wakes its task.
#[cold]
fn close_idle(client: &Client) {
    // it may be closing already
    if client.close(CloseCode::GOING_AWAY, "no message for too long").is_ok() {
        Counters::add(&client.context().counters.idle_closed);
    }
}

/// Tells keep-alive what has arrived.
fn note_arrived(out: &mut Outgoing<'_, ClientStream>, unread: Unread, observed: &Observed) {
    let driver = out.driver();
    if let Some(pong) = &observed.pong {
        driver.sender.pong_came(pong);
    }
    let mut bytes = observed.arrived;
    // The pong may lie behind what nobody takes in now. A peer that takes no bytes is judged
    // nevertheless.
    if (observed.full || unread == Unread::More) && driver.is_flushed() {
        driver.sender.pong_came(&[]);
        bytes = bytes.max(1);
    }
    if bytes > 0 {
        driver.sender.note_arrived(Arrived { bytes, ..Arrived::default() });
    }
}

/// The time in which the answer to what a peer had sent before its Close, or the end of its stream,
/// may still come while a handler waits. A second is what most answers take at the most, and what a
/// peer waits at the least.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
