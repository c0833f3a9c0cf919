use core::time::Duration;

use crate::server::Server;

/// Settings for knowing who is where on all servers: [`Server::presence`].
///
/// Give all servers the same. [The module](super#who-is-where) has what it does and costs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Presence {
    interval: Duration,
    expiry: Duration,
    pace: Duration,
    pub(super) max_rooms: usize,
    pub(super) max_ids: usize,
}

impl Presence {
    /// Returns the defaults.
    pub const fn new() -> Self {
        Self {
            interval: Duration::from_secs(5),
            expiry: Duration::from_secs(16),
            pace: Duration::from_millis(250),
            max_rooms: 1_000_000,
            max_ids: 10_000,
        }
    }

    /// Sets how often a server tells the others that it is there, if nothing else has to be told.
    /// Default 5 s: a message of 40 bytes. A server that has missed something knows, and asks, when
    /// the next one comes.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets after how long without a word a server is gone for the others, and its clients with it.
    /// Default 16 s: two messages may be lost, and the third one late. At least twice the
    /// [`interval`](Self::interval), and at most an hour. It goes with the messages, so that the
    /// setting of the server that is gone counts.
    pub const fn expiry(mut self, expiry: Duration) -> Self {
        self.expiry = expiry;
        self
    }

    /// Sets the least time between two announcements of changes. Default 250 ms: to people that is
    /// at once, and a room where many come and go costs four small entries a second. At least 10
    /// ms.
    pub const fn pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Sets the most rooms of other servers that are kept account of: a room counts once for each
    /// server that has members in it. Default one million, which take some 100 MB. What is beyond
    /// is not counted, and [`ServerInfo::is_complete`](super::ServerInfo::is_complete) says so.
    pub const fn max_rooms(mut self, rooms: usize) -> Self {
        self.max_rooms = rooms;
        self
    }

    /// Sets the most ids that a server tells another one at a time, and takes from each:
    /// [`Everywhere::members`](super::Everywhere::members). Default 10 000, which are 80 kB.
    pub const fn max_ids(mut self, ids: usize) -> Self {
        self.max_ids = ids;
        self
    }

    /// Returns the time between two messages, in bounds.
    pub(super) fn beat(&self) -> Duration {
        self.interval.clamp(self.tick(), MAX_EXPIRY / 2)
    }

    pub(super) fn until_gone(&self) -> Duration {
        self.expiry.clamp(self.beat() * 2, MAX_EXPIRY)
    }

    pub(super) fn tick(&self) -> Duration {
        self.pace.clamp(Duration::from_millis(10), MAX_EXPIRY / 2)
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self::new()
    }
}

/// As long as others wait at most.
const MAX_EXPIRY: Duration = Duration::from_secs(3600);

impl Server {
    /// Tells the other servers of a [backplane](Self::backplane) how many clients this one has, and
    /// how many are in each room, and keeps account of what they tell:
    /// [`Target::everywhere`](crate::server::Target::everywhere) and
    /// [`Hub::servers`](crate::server::Hub::servers). All of them have to be set up with it. The
    /// first call counts; without a backplane it has no effect.
    ///
    /// ```
    /// use sansws::server::backplane::{Memory, Presence};
    /// use sansws::server::{Server, ServerError};
    ///
    /// # async fn run() -> Result<(), ServerError> {
    /// let server = Server::bind("ws://127.0.0.1:8181").await?;
    /// let server = server.backplane(Memory::new()).presence(Presence::new());
    /// let hub = server.hub();
    /// println!("{} in the lobby of all servers", hub.room("lobby").everywhere().len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn presence(self, presence: Presence) -> Self {
        self.hub().set_presence(presence);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_bounds() {
        let seconds = Duration::from_secs;
        let it = Presence::new();
        assert_eq!((it.beat(), it.until_gone()), (seconds(5), seconds(16)));
        assert_eq!(it.tick(), Duration::from_millis(250));
        let it = it.expiry(seconds(1));
        assert_eq!(it.until_gone(), seconds(10));
        for time in [Duration::ZERO, Duration::MAX] {
            let it = Presence::new().pace(time).interval(time).expiry(time);
            assert!(it.tick() <= it.beat() && it.beat() * 2 <= it.until_gone());
            assert!(it.until_gone() <= MAX_EXPIRY && !it.tick().is_zero());
        }
    }
}
