//! The clients of a cluster, what they say, and what they hear.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::join_all;
use sansws::tokio::{ClientStream, Locked, Sender, connect};
use tokio::task::JoinHandle;

use super::{MEMBERS, NODES, ROOMS};
use crate::support::within;

/// A client. Those of a room have the places 0, 1, 2 … there.
pub struct Member {
    pub room: usize,
    pub place: usize,
    ws: Option<Sender<Locked<ClientStream>>>,
    reading: Option<JoinHandle<()>>,
    /// How many messages it has sent: they are numbered from 0.
    pub sent: u32,
    heard: Arc<Mutex<Heard>>,
}

/// What a client has heard since it was made, over all of its connections.
#[derive(Default)]
pub struct Heard {
    /// The numbers of the messages of each member of the room.
    pub from: Vec<Vec<u32>>,
    /// The numbers of its own that other servers did not get, as its server has told it.
    pub refused: Vec<u32>,
    /// What should not have come.
    pub wrong: Vec<String>,
}

impl Member {
    pub fn new(at: usize) -> Self {
        let heard = Heard { from: vec![Vec::new(); MEMBERS], ..Heard::default() };
        Self {
            room: at % ROOMS,
            place: at / ROOMS,
            ws: None,
            reading: None,
            sent: 0,
            heard: Arc::new(Mutex::new(heard)),
        }
    }

    pub const fn node(&self) -> usize {
        self.place % NODES
    }

    pub async fn connect(&mut self, addr: SocketAddr) {
        let ws = within(connect(&format!("ws://{addr}/room-{}", self.room))).await.unwrap();
        let (mut receiver, sender) = ws.split();
        let heard = Arc::clone(&self.heard);
        self.ws = Some(sender);
        self.reading = Some(tokio::spawn(async move {
            while let Ok(Some(message)) = receiver.recv().await {
                heard.lock().unwrap().note(message.as_text().unwrap_or("no text"));
            }
        }));
    }

    /// Waits for the end of the connection.
    pub async fn disconnected(&mut self) {
        within(self.reading.take().unwrap()).await.unwrap();
        self.ws = None;
    }

    /// Says the next number; on a connection that is over nobody hears it.
    pub async fn say(&mut self) {
        let text = format!("{} {}", self.place, self.sent);
        let ws = self.ws.as_ref().unwrap();
        if within(ws.send(&*text)).await.is_ok() {
            self.sent += 1;
        }
    }

    pub fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap()
    }
}

impl Heard {
    fn note(&mut self, text: &str) {
        let (refused, said) = text.strip_prefix("! ").map_or((false, text), |said| (true, said));
        let numbers = said.split_once(' ').and_then(|(place, number)| {
            Some((place.parse::<usize>().ok()?, number.parse::<u32>().ok()?))
        });
        match numbers {
            Some((_, number)) if refused => self.refused.push(number),
            Some((place, number)) if place < MEMBERS => {
                let heard = &mut self.from[place];
                if heard.last().is_some_and(|last| *last >= number) {
                    self.wrong.push(format!("{place}: {number} behind {:?}", heard.last()));
                }
                heard.push(number);
            }
            _ => self.wrong.push(text.into()),
        }
    }
}

/// Has each of these say something, and waits until each has heard itself: everybody on its server
/// has been sent it by then.
pub async fn round(members: &mut [Member], speaks: impl Fn(&Member) -> bool + Copy) {
    join_all(members.iter_mut().filter(|it| speaks(it)).map(Member::say)).await;
    let has_heard_itself = |it: &Member| it.heard().from[it.place].last() == Some(&(it.sent - 1));
    within(async {
        while !members.iter().filter(|it| speaks(it)).all(has_heard_itself) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
