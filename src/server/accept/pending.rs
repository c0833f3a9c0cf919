//! Connections whose request is being read or answered: which get a place, and which give way.
//!
//! Where all places are taken, newcomers wait in the queue of the operating system, which costs
//! this process nothing, so that many that come at once are all served, one after the other.
//! Connecting costs a stranger nothing either, however, and so a connection that has a place and
//! does nothing with it loses it to them: first those that have sent nothing, then those whose
//! request is not complete, and of each those of the network with the most pending connections, the
//! oldest first. Each has some time before that.
//!
//! Every connection comes and goes here, and few have to give way: who does is looked for among
//! all, and no order is kept for it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::network::Network;
use super::slab::Slab;

/// The pending connections of a server.
#[derive(Default)]
pub(crate) struct Pending(Mutex<State>);

/// The place of a pending connection, until [`Pending::remove`].
#[derive(Clone, Copy)]
pub(crate) struct Place(usize);

#[derive(Default)]
struct State {
    members: Slab<Member>,
    groups: Slab<Group>,
    /// Where among the groups that of a network is.
    networks: BTreeMap<Network, usize>,
    /// The number of those that have been told to leave and are still here.
    leaving: usize,
    /// The time of the next look for one that leaves, after one that found none.
    next_look: Option<Instant>,
    last_id: u64,
}

/// The pending connections of one network.
struct Group {
    network: Network,
    members: usize,
}

/// One pending connection.
struct Member {
    /// Later ones have larger ids.
    id: u64,
    group: usize,
    stage: Stage,
    since: Instant,
    /// Of the task, once it has asked for news.
    waker: Option<Waker>,
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
    ) -> Result<Place, Instant> {
        let mut state = self.lock();
        if is_full(state.members.len()) {
            match state.make_way(Some(network)) {
                Way::Made if !can_wait => {}
                Way::Made | Way::InTheMaking => return Err(Instant::now() + PATIENCE),
                Way::From(at) => return Err(at),
            }
        }
        Ok(state.insert(network))
    }

    /// Notes how far a connection has come.
    pub(crate) fn advance(&self, place: Place, stage: Stage) {
        // one that was told to leave does
        if let Some(member) = self.lock().members.get_mut(place.0)
            && member.stage != Stage::Leaving
        {
            member.stage = stage;
        }
    }

    /// Returns whether a connection has to leave. If not, its task is woken when it has to, and by
    /// [`wake_all`](Self::wake_all).
    pub(crate) fn listen(&self, place: Place, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        let Some(member) = state.members.get_mut(place.0) else { return false };
        if member.waker.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
            member.waker = Some(cx.waker().clone());
        }
        member.stage == Stage::Leaving
    }

    /// Wakes the tasks of all that listen.
    pub(crate) fn wake_all(&self) {
        let mut state = self.lock();
        let wakers: Vec<_> = state.members.iter_mut().filter_map(|it| it.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Takes a connection out.
    pub(crate) fn remove(&self, place: Place) {
        self.lock().remove(place);
    }

    /// Returns the number of pending connections.
    pub(crate) fn len(&self) -> usize {
        self.lock().members.len()
    }

    /// Returns whether one has sent something, and waits for its answer.
    pub(crate) fn has_begun(&self) -> bool {
        let is_begun = |it: &Member| matches!(it.stage, Stage::Begun | Stage::Kept);
        self.lock().members.iter().any(is_begun)
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
    fn insert(&mut self, network: Network) -> Place {
        let groups = &mut self.groups;
        let new = || groups.insert(Group { network, members: 0 });
        let group = *self.networks.entry(network).or_insert_with(new);
        if let Some(group) = self.groups.get_mut(group) {
            group.members += 1;
        }
        self.last_id += 1;
        let (id, since) = (self.last_id, Instant::now());
        let member = Member { id, group, stage: Stage::Kept, since, waker: None };
        Place(self.members.insert(member))
    }

    fn remove(&mut self, place: Place) {
        let Some(member) = self.members.remove(place.0) else { return };
        self.leaving -= usize::from(member.stage == Stage::Leaving);
        let Some(group) = self.groups.get_mut(member.group) else { return };
        group.members -= 1;
        if group.members == 0 {
            self.networks.remove(&group.network);
            self.groups.remove(member.group);
        }
    }

    /// Tells one to leave, for a newcomer from a network that may be known.
    fn make_way(&mut self, newcomer: Option<Network>) -> Way {
        if self.leaving > 0 {
            return Way::InTheMaking;
        }
        let now = Instant::now();
        let all = self.members.len();
        // a look at thousands, in vain and under the lock, is not repeated at once
        if let Some(next_look) = self.next_look.filter(|it| now < *it && all > FEW) {
            return Way::From(next_look);
        }
        let size = |group: usize| self.groups.get(group).map_or(0, |group| group.members);
        let idle = self.members.iter_mut().filter(|it| it.stage.is_idle());
        let first = idle.min_by_key(|it| (it.stage, Reverse(size(it.group)), it.id));
        self.next_look = Some(now + BETWEEN_LOOKS);
        let Some(member) = first else { return Way::From(now + PATIENCE) };
        let of_newcomer = |it| self.networks.get(&it).map_or(0, |group| size(*group)) + 1;
        let (many, few) = (size(member.group), newcomer.map(of_newcomer));
        let share = all / SHARES;
        let crowds_out = many > share && few.is_some_and(|few| few <= share.max(1));
        let is_silent = member.stage == Stage::Silent;
        let patience = if is_silent && crowds_out { HURRY } else { PATIENCE };
        let until = member.since + patience;
        if until > now {
            return Way::From(until);
        }
        self.next_look = None;
        member.stage = Stage::Leaving;
        if let Some(waker) = &member.waker {
            waker.wake_by_ref();
        }
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

/// The time after a look at more than [`FEW`] that found none which had its time. A look at 8 192
/// takes some 50 µs, and strangers decide how often there is a reason for one.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// So few are looked at whenever there is a reason: that takes no longer than to refuse a newcomer.
const FEW: usize = 64;

/// The share of a network is this part of all pending connections.
const SHARES: usize = 4;

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::task::Wake;
    use core::cell::Cell;
    use core::net::{IpAddr, Ipv4Addr};
    use core::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::advance;

    use super::*;

    /// A place that is given back when dropped.
    struct Guard {
        all: Arc<Pending>,
        place: Place,
        told: Cell<bool>,
    }

    impl Guard {
        fn enter(
            all: &Arc<Pending>,
            network: Network,
            can_wait: bool,
            max: usize,
        ) -> Result<Self, Instant> {
            let place = all.enter(network, can_wait, |len| len >= max)?;
            Ok(Self { all: Arc::clone(all), place, told: Cell::new(false) })
        }

        fn advance(&self, stage: Stage) {
            self.all.advance(self.place, stage);
        }
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            self.all.remove(self.place);
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
    fn told(guards: &[Guard]) -> Option<usize> {
        let cx = Context::from_waker(Waker::noop());
        guards.iter().position(|it| it.all.listen(it.place, &cx) && !it.told.replace(true))
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
        assert_eq!(told(&guards), None);
        advance(PATIENCE).await;
        // silent ones before those who are at it, those of the larger network first, then the
        // oldest
        for expected in [4, 2, 6, 1, 3, 5] {
            let seven = guards.len();
            assert!(enter(&all, 1, seven).is_err());
            // one at a time
            assert!(enter(&all, 1, seven).is_err());
            assert_eq!(told(&guards), Some(expected));
            assert_eq!(told(&guards), None);
            // it is told no second time whatever it does
            guards[expected].advance(Kept);
            guards[expected].advance(Silent);
            let left = core::mem::replace(&mut guards[expected], one(&all));
            drop(left);
        }
        // no other has to
        assert!(enter(&all, 1, guards.len()).is_err());
        assert_eq!(told(&guards), None);
        drop(guards);
        let state = all.lock();
        assert!(state.networks.is_empty() && (state.members.len(), state.leaving) == (0, 0));
    }

    /// Returns one that keeps its place, from another network.
    fn one(all: &Arc<Pending>) -> Guard {
        enter(all, 9, usize::MAX).unwrap_or_else(|_| unreachable!())
    }

    /// A waker that counts.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_listens_is_woken() {
        let all = Arc::new(Pending::default());
        let guards = group(&all, 1, &[Stage::Silent; 2]);
        let woken = [0, 1].map(|_| Arc::new(Woken::default()));
        let wakers = [0, 1].map(|at: usize| Waker::from(Arc::clone(&woken[at])));
        let listen = |at: usize| all.listen(guards[at].place, &Context::from_waker(&wakers[at]));
        let counts = || [0, 1].map(|at: usize| woken[at].0.load(Ordering::Relaxed));
        assert!(!listen(0) && !listen(1));
        all.wake_all();
        assert_eq!(counts(), [1, 1]);
        all.wake_all(); // nobody has asked again
        assert_eq!(counts(), [1, 1]);
        assert!(!listen(0) && !listen(1));
        advance(PATIENCE).await;
        assert!(all.make_way());
        assert_eq!(counts(), [2, 1]);
        assert!(listen(0) && !listen(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_gives_way_sooner_to_others() {
        let all = Arc::new(Pending::default());
        let guards = group(&all, 1, &[Stage::Silent; 8]);
        advance(HURRY).await;
        assert_eq!(enter(&all, 1, 8).err(), Some(Instant::now() + PATIENCE - HURRY));
        assert_eq!(told(&guards), None);
        assert!(enter(&all, 2, 8).is_err());
        assert_eq!(told(&guards), Some(0));
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
        assert_eq!(told(&guards), Some(0));
    }
}
