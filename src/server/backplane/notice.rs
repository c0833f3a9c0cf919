//! What servers tell each other of who is where, as its bytes are documented in the module.

use core::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The numbers of members that have changed, to all.
    Change { head: Head, rows: Rows },
    /// A part of all rooms, to one that has asked: those whose names are not before `from`, and
    /// before `until`.
    State { head: Head, from: Bytes, until: Option<Bytes>, rows: Rows },
    /// All rooms, please: to one or to all.
    Ask,
    /// The server is over.
    Goodbye,
    /// The ids of all clients or of those in a room, please.
    Question { token: u64, room: Option<Bytes> },
    /// Some of them, behind so many that were sent before.
    Answer { token: u64, is_last: bool, is_cut: bool, before: u32, ids: Ids },
}

/// What a server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The number of its changes until now.
    pub(super) revision: u64,
    /// The number of its clients.
    pub(super) clients: u64,
    /// The milliseconds after which it is gone if nothing more is heard of it.
    pub(super) expiry: u32,
}

impl Head {
    pub(super) fn expiry(&self) -> Duration {
        Duration::from_millis(u64::from(self.expiry))
    }
}

/// Names of rooms, which are UTF-8, with the numbers of their members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows(Bytes);

/// Ids of clients, highest byte first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ids(Bytes);

const CHANGE: u8 = 3;
const STATE: u8 = 4;
const ASK: u8 = 5;
const GOODBYE: u8 = 6;
const QUESTION: u8 = 7;
const ANSWER: u8 = 8;

/// Flags: of a state, that there is an `until`; of a question, that there is a room; of an answer,
/// that it is the last one, and that ids were left out.
const FIRST_FLAG: u8 = 1;
const SECOND_FLAG: u8 = 2;

impl Notice {
    /// Returns the kind in the envelope.
    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Change { .. } => CHANGE,
            Self::State { .. } => STATE,
            Self::Ask => ASK,
            Self::Goodbye => GOODBYE,
            Self::Question { .. } => QUESTION,
            Self::Answer { .. } => ANSWER,
        }
    }

    /// Returns at least the bytes that [`put`](Self::put) appends.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Change { rows, .. } => HEAD + rows.0.len(),
            Self::State { from, until, rows, .. } => {
                HEAD + 5 + from.len() + until.as_ref().map_or(0, Bytes::len) + rows.0.len()
            }
            Self::Ask | Self::Goodbye => 0,
            Self::Question { room, .. } => 9 + room.as_ref().map_or(0, Bytes::len),
            Self::Answer { ids, .. } => 13 + ids.0.len(),
        }
    }

    /// Appends all that is behind the header of the envelope.
    pub(super) fn put(&self, to: &mut BytesMut) {
        let flag = |flag: u8, is_set: bool| if is_set { flag } else { 0 };
        match self {
            Self::Change { head, rows } => {
                put_head(head, to);
                to.put_slice(&rows.0);
            }
            Self::State { head, from, until, rows } => {
                put_head(head, to);
                to.put_u8(flag(FIRST_FLAG, until.is_some()));
                put_name(from, to);
                if let Some(until) = until {
                    put_name(until, to);
                }
                to.put_slice(&rows.0);
            }
            Self::Ask | Self::Goodbye => {}
            Self::Question { token, room } => {
                to.put_u64(*token);
                to.put_u8(flag(FIRST_FLAG, room.is_some()));
                to.put_slice(room.as_deref().unwrap_or_default());
            }
            Self::Answer { token, is_last, is_cut, before, ids } => {
                to.put_u64(*token);
                to.put_u8(flag(FIRST_FLAG, *is_last) | flag(SECOND_FLAG, *is_cut));
                to.put_u32(*before);
                to.put_slice(&ids.0);
            }
        }
    }

    pub(super) fn parse(kind: u8, mut bytes: Bytes) -> Option<Self> {
        let bytes = &mut bytes;
        match kind {
            CHANGE => {
                let head = take_head(bytes)?;
                Some(Self::Change { head, rows: Rows::parse(bytes)? })
            }
            STATE => {
                let head = take_head(bytes)?;
                let flags = take_flags(bytes, FIRST_FLAG)?;
                let from = take_name(bytes)?;
                let until = match flags {
                    0 => None,
                    _ => Some(take_name(bytes)?),
                };
                Some(Self::State { head, from, until, rows: Rows::parse(bytes)? })
            }
            ASK | GOODBYE if !bytes.is_empty() => None,
            ASK => Some(Self::Ask),
            GOODBYE => Some(Self::Goodbye),
            QUESTION => {
                let token = bytes.try_get_u64().ok()?;
                let room = match take_flags(bytes, FIRST_FLAG)? {
                    0 if bytes.is_empty() => None,
                    0 => return None,
                    _ => {
                        core::str::from_utf8(bytes).ok()?;
                        Some(bytes.clone())
                    }
                };
                Some(Self::Question { token, room })
            }
            ANSWER => {
                let token = bytes.try_get_u64().ok()?;
                let flags = take_flags(bytes, FIRST_FLAG | SECOND_FLAG)?;
                let before = bytes.try_get_u32().ok()?;
                let ids = bytes.len().is_multiple_of(8).then(|| Ids(bytes.clone()))?;
                let (is_last, is_cut) = (flags & FIRST_FLAG != 0, flags & SECOND_FLAG != 0);
                Some(Self::Answer { token, is_last, is_cut, before, ids })
            }
            _ => None,
        }
    }
}

const HEAD: usize = 20;

fn put_head(head: &Head, to: &mut BytesMut) {
    to.put_u64(head.revision);
    to.put_u64(head.clients);
    to.put_u32(head.expiry);
}

fn take_head(bytes: &mut Bytes) -> Option<Head> {
    let revision = bytes.try_get_u64().ok()?;
    let clients = bytes.try_get_u64().ok()?;
    Some(Head { revision, clients, expiry: bytes.try_get_u32().ok()? })
}

/// Takes a byte of flags, and no others than these.
fn take_flags(bytes: &mut Bytes, all: u8) -> Option<u8> {
    bytes.try_get_u8().ok().filter(|flags| flags & !all == 0)
}

/// Appends a name, whose length was checked by [`is_name`].
fn put_name(name: &[u8], to: &mut BytesMut) {
    to.put_u16(u16::try_from(name.len()).unwrap_or_default());
    to.put_slice(name);
}

fn take_name(bytes: &mut Bytes) -> Option<Bytes> {
    let len = usize::from(bytes.try_get_u16().ok()?);
    let name = (bytes.len() >= len).then(|| bytes.split_to(len))?;
    core::str::from_utf8(&name).ok()?;
    Some(name)
}

/// Returns whether others can be told of a room: not if its name is longer than 65 535 bytes.
pub(super) fn is_name(name: &str) -> bool {
    u16::try_from(name.len()).is_ok()
}

impl Rows {
    fn parse(bytes: &mut Bytes) -> Option<Self> {
        let all = bytes.clone();
        while !bytes.is_empty() {
            take_name(bytes)?;
            bytes.try_get_u32().ok()?;
        }
        Some(Self(all))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        let mut rest = &*self.0;
        core::iter::from_fn(move || {
            let len = usize::from(rest.try_get_u16().ok()?);
            let (name, others) = rest.split_at_checked(len)?;
            rest = others;
            Some((core::str::from_utf8(name).ok()?, rest.try_get_u32().ok()?))
        })
    }

    /// Makes a list of rooms; those that others cannot be told of are left out.
    pub(super) fn new<'a>(rooms: impl IntoIterator<Item = (&'a str, usize)>) -> Self {
        let mut bytes = BytesMut::new();
        for (name, count) in rooms.into_iter().filter(|(name, _)| is_name(name)) {
            put_name(name.as_bytes(), &mut bytes);
            bytes.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
        }
        Self(bytes.freeze())
    }
}

impl Ids {
    pub(super) fn new(ids: &[u64]) -> Self {
        let mut bytes = BytesMut::with_capacity(8 * ids.len());
        ids.iter().for_each(|id| bytes.put_u64(*id));
        Self(bytes.freeze())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len() / 8
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.as_chunks::<8>().0.iter().map(|id| u64::from_be_bytes(*id))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn any_head() -> impl Strategy<Value = Head> {
        (any::<u64>(), any::<u64>(), any::<u32>()).prop_map(|(revision, clients, expiry)| Head {
            revision,
            clients,
            expiry,
        })
    }

    fn any_rows() -> impl Strategy<Value = Rows> {
        vec((any::<String>(), any::<u32>()), 0..5)
            .prop_map(|rows| Rows::new(rows.iter().map(|(name, at)| (&**name, *at as usize))))
    }

    pub(in super::super) fn any_notice() -> impl Strategy<Value = Notice> {
        let name = || any::<String>().prop_map(Bytes::from);
        let change =
            (any_head(), any_rows()).prop_map(|(head, rows)| Notice::Change { head, rows });
        let state = (any_head(), name(), prop::option::of(name()), any_rows())
            .prop_map(|(head, from, until, rows)| Notice::State { head, from, until, rows });
        let question = (any::<u64>(), prop::option::of(name()))
            .prop_map(|(token, room)| Notice::Question { token, room });
        let ids = vec(any::<u64>(), 0..5);
        let answer = (any::<u64>(), any::<bool>(), any::<bool>(), any::<u32>(), ids).prop_map(
            |(token, is_last, is_cut, before, ids)| {
                let ids = Ids::new(&ids);
                Notice::Answer { token, is_last, is_cut, before, ids }
            },
        );
        prop_oneof![Just(Notice::Ask), Just(Notice::Goodbye), change, state, question, answer]
    }

    #[test]
    fn what_is_documented_is_what_is_sent() {
        let head = Head { revision: 1, clients: 2, expiry: 3 };
        let head_bytes = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3];
        let rows = Rows::new([("a", 5), ("é", 70_000)]);
        let rows_bytes = b"\0\x01a\0\0\0\x05\0\x02\xC3\xA9\0\x01\x11\x70";
        let (a, b) = (Bytes::from_static(b"a"), Bytes::from_static(b"bb"));
        let token = 7;
        let token_bytes = [0, 0, 0, 0, 0, 0, 0, 7];
        let ids = Ids::new(&[1, 2]);
        let ids_bytes = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2];
        let cases: [(Notice, u8, Vec<u8>); 7] = [
            (
                Notice::Change { head, rows: rows.clone() },
                3,
                [&head_bytes[..], rows_bytes].concat(),
            ),
            (
                Notice::State { head, from: a.clone(), until: Some(b), rows: rows.clone() },
                4,
                [&head_bytes[..], b"\x01\0\x01a\0\x02bb", rows_bytes].concat(),
            ),
            (
                Notice::State { head, from: Bytes::new(), until: None, rows },
                4,
                [&head_bytes[..], b"\0\0\0", rows_bytes].concat(),
            ),
            (Notice::Ask, 5, Vec::new()),
            (Notice::Question { token, room: None }, 7, [&token_bytes[..], &[0]].concat()),
            (Notice::Question { token, room: Some(a) }, 7, [&token_bytes[..], b"\x01a"].concat()),
            (
                Notice::Answer { token, is_last: false, is_cut: true, before: 9, ids },
                8,
                [&token_bytes[..], &[2, 0, 0, 0, 9], &ids_bytes].concat(),
            ),
        ];
        for (notice, kind, expected) in cases {
            let mut bytes = BytesMut::new();
            notice.put(&mut bytes);
            assert_eq!((notice.kind(), &*bytes), (kind, &*expected));
            assert!(bytes.len() <= notice.len());
            assert_eq!(Notice::parse(kind, bytes.freeze()), Some(notice));
            // nothing is behind it, and nothing is missing
            if kind < 6 {
                assert_eq!(Notice::parse(kind, [&expected[..], &[0]].concat().into()), None);
            }
            if let Some(len) = expected.len().checked_sub(1).filter(|_| kind != 7) {
                assert_eq!(Notice::parse(kind, expected[..len].to_vec().into()), None, "{kind}");
            }
        }
    }

    #[test]
    fn rows_and_ids_are_read_again() {
        let long = "x".repeat(70_000);
        let rows = Rows::new([("a", 5), (&*long, 1), ("", usize::MAX)]);
        assert_eq!(rows.iter().collect::<Vec<_>>(), [("a", 5), ("", u32::MAX)]);
        assert_eq!(Ids::new(&[1, u64::MAX]).iter().collect::<Vec<_>>(), [1, u64::MAX]);
    }
}
