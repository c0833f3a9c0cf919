//! What has to hold, whatever the seed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use sansws::Error;
use sansws::proto::{CloseInfo, Initiator};

use crate::payload::{Item, stream_byte};

/// What happened on one connection, as its users see it. Shared by all of them.
#[derive(Clone, Default)]
pub struct Story(Arc<Mutex<Events>>);

#[derive(Default)]
struct Events {
    /// What each side has sent.
    lanes: [Lane; 2],
    /// What was wrong.
    faults: Vec<String>,
    /// What each user does at the moment.
    doing: Vec<(String, String)>,
}

#[derive(Default)]
struct Lane {
    /// Sent and not arrived yet, for each sender.
    under_way: Vec<VecDeque<Entry>>,
    arrived: usize,
    /// The bytes of a stream.
    bytes_sent: u64,
    bytes_arrived: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    item: Item,
    fate: Fate,
}

/// Whether a message was taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Accepted,
    /// The call was given up, or is still under way.
    Unknown,
}

impl Story {
    fn lock(&self) -> MutexGuard<'_, Events> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn fault(&self, text: impl Into<String>) {
        let faults = &mut self.lock().faults;
        if faults.len() < 10 {
            faults.push(text.into());
        }
    }

    pub fn faults(&self) -> Vec<String> {
        self.lock().faults.clone()
    }

    /// Takes down what a user does, to be printed when it never comes to an end.
    pub fn doing(&self, who: &str, what: impl Into<String>) {
        let mut events = self.lock();
        match events.doing.iter_mut().find(|(name, _)| name == who) {
            Some((_, doing)) => *doing = what.into(),
            None => events.doing.push((who.to_owned(), what.into())),
        }
    }

    pub fn summary(&self) -> String {
        let events = self.lock();
        let doing: Vec<_> =
            events.doing.iter().map(|(who, what)| format!("{who}: {what}")).collect();
        let under_way = |lane: &Lane| lane.under_way.iter().map(VecDeque::len).sum::<usize>();
        let [a, b] = &events.lanes;
        format!(
            "{}; messages arrived/under way {}/{} there, {}/{} back; bytes {}/{}, {}/{}",
            doing.join(", "),
            a.arrived,
            under_way(a),
            b.arrived,
            under_way(b),
            a.bytes_arrived,
            a.bytes_sent,
            b.bytes_arrived,
            b.bytes_sent,
        )
    }

    /// A side is about to send a message.
    pub fn sends(&self, side: usize, item: Item) {
        let lane = &mut self.lock().lanes[side];
        let sender = usize::from(item.sender);
        if lane.under_way.len() <= sender {
            lane.under_way.resize_with(sender + 1, VecDeque::new);
        }
        lane.under_way[sender].push_back(Entry { item, fate: Fate::Unknown });
    }

    /// It was taken. Until this, or the next, is said, it may have been.
    pub fn accepted(&self, side: usize, item: Item) {
        let lane = &mut self.lock().lanes[side];
        let mut entries = lane.under_way[usize::from(item.sender)].iter_mut();
        if let Some(entry) = entries.find(|entry| entry.item == item) {
            entry.fate = Fate::Accepted;
        }
    }

    /// Everything that a side has sent was taken.
    pub fn accepted_all(&self, side: usize) {
        let lane = &mut self.lock().lanes[side];
        lane.under_way.iter_mut().flatten().for_each(|entry| entry.fate = Fate::Accepted);
    }

    /// It was refused: it must not arrive.
    pub fn refused(&self, side: usize, item: Item) {
        let events = &mut *self.lock();
        let entries = &mut events.lanes[side].under_way[usize::from(item.sender)];
        let before = entries.len();
        entries.retain(|entry| entry.item != item);
        if entries.len() == before {
            events.faults.push(format!("MESSAGE: {item:?} of side {side} was refused and arrived"));
        }
    }

    /// What became of a call that sends: `Ok`, refused with nothing written, or nobody knows.
    pub fn sent(&self, side: usize, item: Item, result: &Result<(), Error>) {
        match result {
            Ok(()) => self.accepted(side, item),
            Err(Error::Send(_)) => self.refused(side, item),
            Err(_) => {}
        }
    }

    /// A message arrived at a side.
    pub fn arrived(&self, side: usize, text: bool, payload: &[u8]) {
        let mut events = self.lock();
        let lane = &mut events.lanes[1 - side];
        lane.arrived += 1;
        let sender = match lane.under_way.len() {
            0 | 1 => 0,
            senders => usize::from(payload.first().map_or(0, |byte| byte.wrapping_sub(b'a')))
                .min(senders - 1),
        };
        let mut expected = None;
        if let Some(entries) = lane.under_way.get_mut(sender) {
            while let Some(entry) = entries.pop_front() {
                if entry.item.text == text
                    && entry.item.len == payload.len()
                    && entry.item.bytes() == payload
                {
                    return;
                }
                if entry.fate == Fate::Accepted {
                    expected = Some(entry.item);
                    break;
                }
            }
        }
        drop(events);
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(20)]).into_owned();
        self.fault(format!(
            "MESSAGE: {} bytes {shown:?} arrived at side {side} where {expected:?} was due",
            payload.len()
        ));
    }

    pub fn stream_sent(&self, side: usize, n: usize) {
        self.lock().lanes[side].bytes_sent += n as u64;
    }

    pub fn stream_len(&self, side: usize) -> u64 {
        self.lock().lanes[side].bytes_sent
    }

    pub fn stream_arrived(&self, side: usize, bytes: &[u8]) {
        let mut events = self.lock();
        let lane = &mut events.lanes[1 - side];
        let from = lane.bytes_arrived;
        lane.bytes_arrived += bytes.len() as u64;
        let wrong = (from..).zip(bytes).find(|&(at, &byte)| byte != stream_byte(1 - side, at));
        drop(events);
        if let Some((at, _)) = wrong {
            self.fault(format!("STREAM: byte {at} that arrived at side {side} is another one"));
        }
    }

    /// The bytes in all messages of a side that are under way.
    pub fn said(&self, side: usize) -> usize {
        self.lock().lanes[side].under_way.iter().flatten().map(|entry| entry.item.len).sum()
    }

    /// What a side has sent for certain and the other did not get.
    pub fn lost(&self, side: usize) -> u64 {
        let lane = &self.lock().lanes[side];
        let entries = lane.under_way.iter().flatten();
        let messages = entries.filter(|entry| entry.fate == Fate::Accepted).count();
        messages as u64 + (lane.bytes_sent - lane.bytes_arrived.min(lane.bytes_sent))
    }
}

/// How a connection ended for one side.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    pub error: Option<String>,
    pub timed_out: bool,
    pub info: Option<Info>,
    /// The user did not want to hear what came last.
    pub deaf: bool,
}

/// Who closed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    pub peer_began: bool,
    /// The code of the peer, and the one that was sent.
    pub codes: (u16, u16),
    pub clean: bool,
}

impl From<CloseInfo<'_>> for Info {
    fn from(info: CloseInfo<'_>) -> Self {
        let sent = info.sent_code.map_or(1005, |code| code.as_u16());
        let peer_began = info.initiator == Initiator::Peer;
        Self { peer_began, codes: (info.code, sent), clean: info.clean }
    }
}

impl Ending {
    pub fn new(result: Result<(), Error>, info: Option<CloseInfo<'_>>, deaf: bool) -> Self {
        Self {
            timed_out: result.as_ref().is_err_and(Error::is_timeout),
            error: result.err().map(|error| error.to_string()),
            info: info.map(Info::from),
            deaf,
        }
    }

    /// Whether it was closed as the users wanted. A peer that says why it gave up (1011, say)
    /// closes in good order too, but then everybody knows that it failed.
    pub fn is_clean(&self) -> bool {
        let meant = |code| matches!(code, 1000 | 1005 | 4000..);
        let info = self.info.filter(|info| info.clean);
        self.error.is_none() && info.is_some_and(|info| meant(info.codes.0) && meant(info.codes.1))
    }
}

/// Looks at the two ends when all is over. `honest`: nothing broke the network, and nobody was so
/// slow or silent that it had to be given up.
pub fn judge(story: &Story, endings: &[Ending; 2], honest: bool) {
    for side in 0..2 {
        let (sender, receiver) = (&endings[side], &endings[1 - side]);
        let lost = story.lost(side);
        // Whoever answers a Close cannot know whether the answer, and what went before it, gets
        // there.
        let knows = honest || sender.info.is_some_and(|info| !info.peer_began);
        let blind = sender.is_clean() && knows || receiver.is_clean();
        if lost > 0 && !receiver.deaf && blind {
            story.fault(format!(
                "LOST: {lost} messages or bytes of side {side}, whose end is {sender:?}, at the \
                 other {receiver:?}"
            ));
        }
        if honest && !sender.is_clean() {
            let what = if sender.timed_out { "TIME-OUT" } else { "BROKEN" };
            story.fault(format!("{what}: side {side} was not closed in good order: {sender:?}"));
        }
    }
    let [Some(a), Some(b)] = [&endings[0].info, &endings[1].info] else { return };
    let clean = endings.iter().all(Ending::is_clean);
    let agree = !(a.peer_began && b.peer_began) && a.codes == (b.codes.1, b.codes.0);
    if clean && !agree {
        story.fault(format!("ENDS DISAGREE: {a:?}, {b:?}"));
    }
}
