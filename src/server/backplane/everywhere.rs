use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use tokio::time::timeout;

use super::peers::{Known, Peers};
use super::plane::Plane;
use super::roster::Roster;
use crate::server::client::hub::Hub;
use crate::server::client::target::Target;

/// A selection of clients of all servers, all or those in a room, to count them:
/// [`Target::everywhere`](crate::server::Target::everywhere).
///
/// The servers have to be joined by a [backplane](crate::server::backplane), and set up with
/// [`Server::presence`](crate::server::Server::presence): see there for how exact this is. Without
/// either it has the clients of this server alone.
///
/// ```
/// use core::time::Duration;
///
/// use sansws::server::Hub;
///
/// /// Who is in the lobby, in one line.
/// async fn lobby(hub: &Hub) -> String {
///     let lobby = hub.room("lobby").everywhere();
///     let (count, members) = (lobby.len(), lobby.members(Duration::from_secs(1)).await);
///     let more = if members.is_complete { "" } else { ", and others" };
///     format!("{count} clients: {:?}{more}", members.ids)
/// }
/// ```
#[derive(Clone, Copy)]
#[must_use = "a selection does nothing by itself"]
pub struct Everywhere<'a> {
    here: Target<'a>,
    hub: &'a Hub,
    room: Option<&'a str>,
    except: Option<u64>,
}

/// The ids of clients on all servers: [`Everywhere::members`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Members {
    /// Their ids, in order.
    pub ids: Vec<u64>,
    /// Whether all servers that are known have answered in time, with all that they have. One that
    /// is not known yet is missing in any case.
    pub is_complete: bool,
}

/// A server, as this one knows it: [`Hub::servers`](crate::server::Hub::servers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The upper half of the ids of its clients, another one after each start; 0 for this server
    /// without a backplane.
    pub id: u32,
    /// Whether it is this server.
    pub is_own: bool,
    /// The number of its clients.
    pub clients: usize,
    /// The number of rooms where it has members.
    pub rooms: usize,
    /// Whether all its rooms are known: not until it has told them, and not any more once there
    /// were too many for [`Presence::max_rooms`](super::Presence::max_rooms).
    pub is_complete: bool,
}

impl<'a> Everywhere<'a> {
    pub(crate) const fn new(
        here: Target<'a>,
        hub: &'a Hub,
        room: Option<&'a str>,
        except: Option<u64>,
    ) -> Self {
        Self { here, hub, room, except }
    }

    /// Returns the number of clients. One that is [excepted](crate::server::Target::except) is left
    /// out if it is one of this server.
    ///
    /// Costs a look into the map of each other server.
    pub fn len(&self) -> usize {
        let others = self.look(|peers| peers.count(self.room)).unwrap_or_default();
        self.here.len().saturating_add(to_usize(others))
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the servers that have any, with how many: each by the upper half of the ids of its
    /// clients, as [`ServerInfo::id`].
    pub fn by_server(&self) -> Vec<(u32, usize)> {
        let others = self.look(|peers| peers.counts(self.room)).unwrap_or_default();
        let others = others.into_iter().map(|(node, count)| (part(node), to_usize(count)));
        let here = Some((own_part(self.hub), self.here.len())).filter(|(_, count)| *count > 0);
        here.into_iter().chain(others).collect()
    }

    /// Asks the servers that have any for their ids, and waits for the answers, up to a time. Each
    /// tells the oldest ones, up to [`Presence::max_ids`](super::Presence::max_ids).
    ///
    /// It costs each of them a message, and an answer of 8 bytes for each client. A server that
    /// does not answer, and is not known to be gone, costs all the time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the question up.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, if there are other servers.
    pub async fn members(&self, wait: Duration) -> Members {
        let own = |room| self.hub.select(room, |it| it.map(|client| client.id()).collect());
        let Some((plane, roster)) = self.roster() else {
            return self.members_of(own(self.room), true);
        };
        let question = roster.ask(plane, self.room);
        let _ = timeout(wait, question.answered()).await; // what has come, has
        let (mut ids, is_complete) = question.finish();
        let here: Vec<u64> = own(self.room);
        ids.extend(here);
        self.members_of(ids, is_complete)
    }

    fn members_of(&self, mut ids: Vec<u64>, is_complete: bool) -> Members {
        ids.retain(|id| Some(*id) != self.except);
        ids.sort_unstable();
        ids.dedup();
        Members { ids, is_complete }
    }

    fn look<T>(&self, look: impl FnOnce(&Peers) -> T) -> Option<T> {
        self.roster().map(|(_, roster)| roster.look(look))
    }

    fn roster(&self) -> Option<(&'a Plane, &'a Roster)> {
        let plane = self.hub.plane()?;
        Some((plane, plane.roster()?))
    }
}

impl fmt::Debug for Everywhere<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Everywhere").field(&self.here).finish()
    }
}

impl Hub {
    /// Returns the servers that are joined by a [backplane](crate::server::backplane) and are set
    /// up with [`Server::presence`](crate::server::Server::presence), as far as they are known, and
    /// this one before them.
    ///
    /// Costs a look at each room of this server.
    pub fn servers(&self) -> Vec<ServerInfo> {
        let own = ServerInfo {
            id: own_part(self),
            is_own: true,
            clients: self.all().len(),
            rooms: self.rooms_len(),
            is_complete: true,
        };
        let others = self.plane().and_then(Plane::roster).map(|it| it.look(Peers::known));
        let info = |known: Known| ServerInfo {
            id: part(known.node),
            is_own: false,
            clients: to_usize(known.clients),
            rooms: known.rooms,
            is_complete: known.is_complete,
        };
        let mut servers = vec![own];
        servers.extend(others.into_iter().flatten().map(info));
        servers
    }
}

/// Returns the upper half of the ids of the clients of a server.
const fn part(node: u64) -> u32 {
    (node >> 32) as u32
}

fn own_part(hub: &Hub) -> u32 {
    hub.plane().map_or(0, Plane::part)
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
