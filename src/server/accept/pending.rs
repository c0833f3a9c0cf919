//! Connections whose request is being read or answered: which get a place, and which give way.
//!
//! Where all places are taken, newcomers wait in the queue of the operating system, which costs
//! this process nothing, so that many that come at once are all served, one after the other.
//! Connecting costs a stranger nothing either, however, and so a connection that has a place and
//! does nothing with it loses it to them: first those that have sent nothing, then those whose
//! request is not complete, and of each those of the network with the most pending connections, the
//! oldest first. Each has some time before that.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::cmp::Reverse;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::network::Network;

/// The pending connections of a server.
#[derive(Default)]
pub(crate) struct Pending(Mutex<State>);

/// The entry of a pending connection, until [`Pending::remove`].
pub(crate) struct Entry {
    pub(crate) id: u64,
    /// Told when the connection has to leave.
    pub(crate) leave: Arc<Notify>,
}

#[derive(Default)]
struct State {
    networks: BTreeMap<Network, Group>,
    /// The number of members of all networks.
    len: usize,
    /// The number of those that have been told to leave and are still here.
    leaving: usize,
    last_id: u64,
}

/// The pending connections of one network. Later ones have larger ids.
#[derive(Default)]
struct Group {
    members: BTreeMap<u64, Member>,
    /// Those that may be told to leave, in the order in which they are.
    idle: BTreeSet<(Stage, u64)>,
}

/// One pending connection.
struct Member {
    stage: Stage,
    since: Instant,
    leave: Arc<Notify>,
}

/// The stages of a pending connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It has sent nothing.
    Silent,
    /// Its request is being read, or its answer written.
    Begun,
    /// A handler decides about it, for which `Config::handshake_timeout` is the bound: it stays.
    Kept,
    /// It was told to leave.
    Leaving,
}

impl Stage {
    const fn is_idle(self) -> bool {
        matches!(self, Self::Silent | Self::Begun)
    }
}

impl Pending {
    /// Returns a place for a newcomer, which it keeps until [`advance`](Self::advance) says
    /// otherwise, unless `is_full` says of how many there are that there is none.
    ///
    /// Another one may have been told to leave then. A newcomer that can wait asks again when one
    /// has left, and at the time of the error at the latest; one that cannot gets a place beyond
    /// the limit if another is about to leave for it.
    pub(crate) fn enter(
        &self,
        network: Network,
        can_wait: bool,
        is_full: impl FnOnce(usize) -> bool,
    ) -> Result<Entry, Instant> {
        let mut state = self.lock();
        if is_full(state.len) {
            match state.make_way(Some(network)) {
                Way::Made if !can_wait => {}
                Way::Made | Way::InTheMaking => return Err(Instant::now() + PATIENCE),
                Way::From(at) => return Err(at),
            }
        }
        Ok(state.insert(network))
    }

    /// Notes how far a connection has come.
    pub(crate) fn advance(&self, network: Network, id: u64, stage: Stage) {
        self.lock().advance(network, id, stage);
    }

    /// Takes a connection out.
    pub(crate) fn remove(&self, network: Network, id: u64) {
        self.lock().remove(network, id);
    }

    /// Returns the number of pending connections.
    pub(crate) fn len(&self) -> usize {
        self.lock().len
    }

    /// Returns whether one has sent something, and waits for its answer.
    pub(crate) fn has_begun(&self) -> bool {
        let state = self.lock();
        let members = state.networks.values().flat_map(|group| group.members.values());
        members.map(|member| member.stage).any(|it| matches!(it, Stage::Begun | Stage::Kept))
    }

    /// Tells one to leave, if there is one that had its time. Returns whether one is about to
    /// leave.
    pub(crate) fn make_way(&self) -> bool {
        !matches!(self.lock().make_way(None), Way::From(_))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, network: Network) -> Entry {
        self.last_id += 1;
        self.len += 1;
        let leave = Arc::new(Notify::new());
        let since = Instant::now();
        let member = Member { stage: Stage::Kept, since, leave: Arc::clone(&leave) };
        self.networks.entry(network).or_default().members.insert(self.last_id, member);
        Entry { id: self.last_id, leave }
    }

    fn advance(&mut self, network: Network, id: u64, stage: Stage) {
        let Some(group) = self.networks.get_mut(&network) else { return };
        let Some(member) = group.members.get_mut(&id) else { return };
        // one that was told to leave does
        if member.stage != Stage::Leaving {
            group.idle.remove(&(member.stage, id));
            member.stage = stage;
            if stage.is_idle() {
                group.idle.insert((stage, id));
            }
        }
    }

    fn remove(&mut self, network: Network, id: u64) {
        let Some(group) = self.networks.get_mut(&network) else { return };
        if let Some(member) = group.members.remove(&id) {
            group.idle.remove(&(member.stage, id));
            self.len -= 1;
            self.leaving -= usize::from(member.stage == Stage::Leaving);
        }
        if group.members.is_empty() {
            self.networks.remove(&network);
        }
    }

    /// Tells one to leave, for a newcomer from a network that may be known.
    fn make_way(&mut self, newcomer: Option<Network>) -> Way {
        if self.leaving > 0 {
            return Way::InTheMaking;
        }
        let now = Instant::now();
        let first = |(network, group): (&Network, &Group)| {
            let (stage, id) = *group.idle.first()?;
            Some((stage, Reverse(group.members.len()), id, *network))
        };
        let Some((stage, Reverse(many), id, network)) =
            self.networks.iter().filter_map(first).min()
        else {
            return Way::From(now + PATIENCE);
        };
        let few = newcomer.map(|it| self.networks.get(&it).map_or(0, |it| it.members.len()) + 1);
        let share = self.len / SHARES;
        let crowds_out = many > share && few.is_some_and(|few| few <= share.max(1));
        let patience = if stage == Stage::Silent && crowds_out { HURRY } else { PATIENCE };
        let Some(group) = self.networks.get_mut(&network) else { return Way::From(now + PATIENCE) };
        let Some(member) = group.members.get_mut(&id) else { return Way::From(now + PATIENCE) };
        let until = member.since + patience;
        if until > now {
            return Way::From(until);
        }
        group.idle.remove(&(stage, id));
        member.stage = Stage::Leaving;
        member.leave.notify_one();
        self.leaving += 1;
        Way::Made
    }
}

/// The result of [`State::make_way`].
enum Way {
    /// One has been told to leave.
    Made,
    /// One was told before, and is still here.
    InTheMaking,
    /// None has had its time before this.
    From(Instant),
}

/// The time for which a connection keeps its place while others wait for one, whatever it does with
/// it: a TCP segment that was lost is sent again by then (RFC 6298 §2: one second), so that a peer
/// that means to say something does not lose its place.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same for one that has sent nothing, where its network has more than its share of the places
/// and a newcomer from another one waits.
const HURRY: Duration = Duration::from_millis(100);

/// The share of a network is this part of all pending connections.
const SHARES: usize = 4;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::net::{IpAddr, Ipv4Addr};

    use tokio::time::advance;

    use super::*;

    /// A place that is given back when dropped.
    struct Guard {
        all: Arc<Pending>,
        network: Network,
        entry: Entry,
    }

    impl Guard {
        fn enter(
            all: &Arc<Pending>,
            network: Network,
            can_wait: bool,
            max: usize,
        ) -> Result<Self, Instant> {
            let entry = all.enter(network, can_wait, |len| len >= max)?;
            Ok(Self { all: Arc::clone(all), network, entry })
        }

        fn advance(&self, stage: Stage) {
            self.all.advance(self.network, self.entry.id, stage);
        }
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            self.all.remove(self.network, self.entry.id);
        }
    }

    fn network(number: u8) -> Network {
        Network::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)))
    }

    fn enter(all: &Arc<Pending>, from: u8, max: usize) -> Result<Guard, Instant> {
        Guard::enter(all, network(from), true, max)
    }

    /// Returns members that enter at once, one at each of these stages.
    fn group(all: &Arc<Pending>, from: u8, stages: &[Stage]) -> Vec<Guard> {
        let place = |stage: &Stage| {
            let guard = enter(all, from, usize::MAX).unwrap_or_else(|_| unreachable!());
            guard.advance(*stage);
            guard
        };
        stages.iter().map(place).collect()
    }

    /// Returns which one has to leave, and was not told before.
    async fn told(guards: &[Guard]) -> Option<usize> {
        for (at, guard) in guards.iter().enumerate() {
            let now = tokio::time::timeout(Duration::ZERO, guard.entry.leave.notified());
            if now.await.is_ok() {
                return Some(at);
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_way() {
        use Stage::{Begun, Kept, Silent};

        let all = Arc::new(Pending::default());
        let mut guards = group(&all, 1, &[Kept, Begun, Silent]);
        guards.extend(group(&all, 2, &[Begun, Silent, Begun, Silent]));
        // each has a time before that
        let from = enter(&all, 1, 7).err();
        assert_eq!(from, Some(Instant::now() + PATIENCE));
        assert_eq!(told(&guards).await, None);
        advance(PATIENCE).await;
        // silent ones before those who are at it, those of the larger network first, then the
        // oldest
        for expected in [4, 2, 6, 1, 3, 5] {
            let seven = guards.len();
            assert!(enter(&all, 1, seven).is_err());
            // one at a time
            assert!(enter(&all, 1, seven).is_err());
            assert_eq!(told(&guards).await, Some(expected));
            assert_eq!(told(&guards).await, None);
            // it is told no second time whatever it does
            guards[expected].advance(Kept);
            guards[expected].advance(Silent);
            let left = core::mem::replace(&mut guards[expected], one(&all));
            drop(left);
        }
        // no other has to
        assert!(enter(&all, 1, guards.len()).is_err());
        assert_eq!(told(&guards).await, None);
        drop(guards);
        let state = all.lock();
        assert!(state.networks.is_empty() && (state.len, state.leaving) == (0, 0));
    }

    /// Returns one that keeps its place, from another network.
    fn one(all: &Arc<Pending>) -> Guard {
        enter(all, 9, usize::MAX).unwrap_or_else(|_| unreachable!())
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_gives_way_sooner_to_others() {
        let all = Arc::new(Pending::default());
        let guards = group(&all, 1, &[Stage::Silent; 8]);
        advance(HURRY).await;
        assert_eq!(enter(&all, 1, 8).err(), Some(Instant::now() + PATIENCE - HURRY));
        assert_eq!(told(&guards).await, None);
        assert!(enter(&all, 2, 8).is_err());
        assert_eq!(told(&guards).await, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_wait_takes_the_place_at_once() {
        let all = Arc::new(Pending::default());
        let guards = group(&all, 1, &[Stage::Silent; 2]);
        let now = || Guard::enter(&all, network(1), false, 2);
        assert!(now().is_err());
        advance(PATIENCE).await;
        let newcomer = now();
        assert!(newcomer.is_ok());
        // one is on its way out for it; there is none for the next
        assert!(now().is_err());
        assert_eq!(told(&guards).await, Some(0));
    }
}
