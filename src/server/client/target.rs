#![forbid(unsafe_code)]

use alloc::vec::Vec;
use core::fmt;

use super::client::Client;
use super::direct;
use super::hub::Hub;
use super::outbox::Wake;
use super::queue::charge_of;
use super::run::piece_of;
use super::writing::Writing;
use crate::proto::{MessageRef, PayloadRef, PreparedMessage, SendError};
use crate::server::backplane::{Everywhere, Reach};
use crate::server::error::TrySendError;
use crate::wire::CloseCode;

/// A selection of a server's clients, to send to or to look at: [all](Hub::all) of them or those in
/// a [room](Hub::room), but for one that may be [excepted](Self::except).
///
/// It is no list: each call looks up who belongs to it.
///
/// ```
/// use sansws::server::{Client, Received};
///
/// /// Passes a message on to the others in the room.
/// fn pass_on(client: &Client, room: &str, message: Received<'_>) {
///     // an error means that a ping is too long, which a message is not
///     let _ = client.hub().room(room).except(client.id()).send(message);
/// }
/// ```
#[derive(Clone, Copy)]
#[must_use = "a selection does nothing by itself"]
pub struct Target<'a> {
    hub: &'a Hub,
    room: Option<&'a str>,
    except: Option<u64>,
}

impl<'a> Target<'a> {
    pub(crate) const fn new(hub: &'a Hub, room: Option<&'a str>) -> Self {
        Self { hub, room, except: None }
    }

    /// Leaves the client with this id out: as a rule the one whose message is passed on. One
    /// client; the last call counts.
    pub const fn except(mut self, id: u64) -> Self {
        self.except = Some(id);
        self
    }

    /// Returns the clients of this server, the oldest first.
    ///
    /// A page that shows them, for somebody who may see it, if [`to_table`](Self::to_table) has not
    /// what you want to know:
    ///
    /// ```
    /// use sansws::server::{Client, Response, Server};
    ///
    /// # fn set_up(server: Server) -> Server {
    /// server.http("/debug/clients", async |request| {
    ///     let describe = |it: &Client| {
    ///         let (id, path, age) = (it.id(), it.info().path(), it.info().opened().elapsed());
    ///         format!("{id} {path}, {age:.0?}: {} B wait, in {:?}\n", it.queued(), it.rooms())
    ///     };
    ///     Response::text(request.hub().all().clients().iter().map(describe).collect::<String>())
    /// })
    /// # }
    /// ```
    pub fn clients(&self) -> Vec<Client> {
        self.hub.select(self.room, |members| {
            let others = members.filter(|client| Some(client.id()) != self.except);
            others.cloned().collect()
        })
    }

    /// Selects the clients of all servers, to count them: see [`Everywhere`].
    pub const fn everywhere(&self) -> Everywhere<'a> {
        Everywhere::new(*self, self.hub, self.room, self.except)
    }

    /// Returns the number of clients of this server.
    pub fn len(&self) -> usize {
        match self.except {
            None => self.hub.select(self.room, |members| members.len()),
            Some(_) => self.clients().len(),
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Queues a message for all of them. Returns for how many: those who are closing, and those
    /// whose queue is full, are left out.
    ///
    /// The message is encoded once, and compressed once if the server compresses: four
    /// allocations, and two more for each 64 clients. It leaves by tasks of the server's runtime,
    /// whatever thread or runtime this is called in.
    ///
    /// With a [backplane](crate::server::backplane) the clients of other servers get it too; they
    /// are not counted. [`publish`](Self::publish) says whether it was put on its way to them.
    ///
    /// # Errors
    ///
    /// A ping or pong of more than 125 bytes; nothing was sent then.
    pub fn send<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<usize, SendError> {
        Ok(self.publish(message)?.clients)
    }

    /// Does as [`send`](Self::send), and tells what became of the message on its way to other
    /// servers.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn publish<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<Reach, SendError> {
        let message = message.into();
        let uncompressed = match &message.payload {
            PayloadRef::Prepared(prepared) => !prepared.is_compressed(),
            PayloadRef::Borrowed(_) | PayloadRef::Owned(_) => message.plain,
        };
        let message = self.hub.prepare(message)?;
        let clients = self.deliver(&message);
        // behind the clients of this server, which wait for nothing
        let plane = self.hub.plane();
        let others = plane.map(|it| it.send(self.room, self.except, &message, uncompressed));
        Ok(Reach { clients, others })
    }

    /// Queues a message for those of this server.
    pub(crate) fn send_here(&self, message: MessageRef<'_>) -> Result<usize, SendError> {
        Ok(self.deliver(&self.hub.prepare(message)?))
    }

    /// Closes the connections that are open now, with a [backplane](crate::server::backplane) on
    /// all servers. Returns how many on this one. To end a server, take
    /// [`ServerHandle::shutdown`](crate::server::ServerHandle::shutdown).
    ///
    /// # Errors
    ///
    /// [`SendError::ReasonTooLong`]; nothing was closed then.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<usize, SendError> {
        let closed = self.close_here(code, reason)?;
        if let Some(plane) = self.hub.plane() {
            // the counters of the backplane have it if this fails
            let _ = plane.close(self.room, self.except, code, reason);
        }
        Ok(closed)
    }

    /// Closes the connections of this server.
    pub(crate) fn close_here(&self, code: CloseCode, reason: &str) -> Result<usize, SendError> {
        SendError::check_reason(reason)?;
        let mut closed = 0;
        for client in self.clients() {
            match client.close(code, reason) {
                Ok(()) => closed += 1,
                Err(TrySendError::Invalid(error)) => return Err(error),
                // it is closing already
                Err(_) => {}
            }
        }
        Ok(closed)
    }

    fn deliver(&self, message: &PreparedMessage) -> usize {
        self.hub.in_turn(self.room, |clients| self.queue(message, clients))
    }

    /// Queues a message for those that it is for, in their turn. Returns for how many.
    pub(super) fn queue(&self, message: &PreparedMessage, clients: &[Client]) -> usize {
        let own = direct::current();
        let mut writing = Writing::new(self.hub.runtime());
        let others = if writing.may_relieve() { Wake::OrRelieve } else { Wake::Always };
        let (piece, charge) = (piece_of(message, clients, self.except), charge_of(&message.into()));
        let queue = |client: &&Client| {
            let wake = if client.id() == own { Wake::Never } else { others };
            let outbox = client.outbox();
            let pushed = outbox.push_broadcast(&piece, charge, wake, client.context());
            if matches!(pushed, Ok(true)) {
                writing.add(client);
            }
            pushed.is_ok()
        };
        direct::note_produced(&message.into(), clients.len());
        let targets = clients.iter().filter(|client| Some(client.id()) != self.except);
        let count = targets.filter(queue).count();
        writing.finish();
        count
    }
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("room", &self.room).field("except", &self.except).finish()
    }
}
