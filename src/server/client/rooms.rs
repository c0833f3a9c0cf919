#![forbid(unsafe_code)]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use super::hub::Hub;

/// A room, and the number of its members.
type RoomLen = (Arc<str>, usize);

/// What other servers are told of the rooms of this one.
impl Hub {
    /// Returns the number of rooms that are not empty.
    pub(crate) fn rooms_len(&self) -> usize {
        self.lock().rooms.values().filter(|it| !it.members.is_empty()).count()
    }

    /// Returns the rooms that are not empty, with how many are in each, by name from one on: up to
    /// so many are looked at, and a little more than so many bytes of names are taken. The name of
    /// the next one is returned too. Names that are longer than some length are left out.
    pub(crate) fn rooms_from(
        &self,
        from: &str,
        most: usize,
        most_bytes: usize,
        max_name: usize,
    ) -> (Vec<RoomLen>, Option<Arc<str>>) {
        let (mut some, mut bytes) = (Vec::new(), 0);
        let state = self.lock();
        let rooms = state.rooms.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        let rooms = rooms.filter(|(name, _)| name.len() <= max_name);
        for (looked_at, (name, room)) in rooms.enumerate() {
            if looked_at >= most || bytes >= most_bytes {
                return (some, Some(Arc::clone(name)));
            }
            if !room.members.is_empty() {
                bytes += name.len();
                some.push((Arc::clone(name), room.members.len()));
            }
        }
        (some, None)
    }
}
