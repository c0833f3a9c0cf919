//! The crate's own halves: one task that receives, several that send.

use sansws::proto::{SendError, State};
use sansws::tokio::{Locked, Receiver, Sender};
use sansws::{CloseCode, Error, Event};
use tokio::sync::oneshot;

use crate::end::End;
use crate::oracles::Ending;
use crate::payload::Item;
use crate::rng::Rng;
use crate::scenario::{Closes, Ear, Outcome, Running, User, Wishes, pause, perhaps, some_polls};

pub fn run(seed: u64) -> Outcome {
    super::converse(seed, Wishes { full_duplex: true, senders: 3, binary: false }, user)
}

pub fn user(user: User) -> Running {
    Box::pin(talk(user))
}

async fn talk(mut user: User) -> Ending {
    let (receiver, sender) = user.socket().split();
    let (heard, hears_bye) = oneshot::channel();
    let ear = user.ear();
    let name = user.name();
    let (rng, fickle) = (user.rng.fork(), user.fickle);
    let listening = tokio::spawn(listen(receiver, ear, name, rng, fickle, heard));
    let mut items = std::mem::take(&mut user.says);
    let bye = items.pop().expect("the last word");
    let mut speaking = Vec::new();
    for number in 0..3 {
        let own = items.iter().copied().filter(|item| item.sender == number).collect();
        let speaker = Speaker {
            sender: sender.clone(),
            who: format!("{} sender {number}", user.name()),
            rng: user.rng.fork(),
            side: user.side,
            fickle: user.fickle,
            pause: user.pause,
            story: user.story.clone(),
        };
        speaking.push(tokio::spawn(speaker.run(own)));
    }
    let mut said = Ok(());
    for speaker in speaking {
        said = said.and(speaker.await.expect("no panic"));
    }
    if said.is_ok() {
        said = end(&mut user, &sender, bye, hears_bye).await;
    }
    // which of its errors says that the connection is over is for the receiver to say
    let keep = user.rng.chance(50).then(|| sender.clone());
    drop(sender);
    let (result, receiver) = listening.await.expect("no panic");
    drop(keep);
    let result = match said {
        Err(Error::Send(SendError::NotOpen)) | Ok(()) => result,
        Err(error) => result.and(Err(error)),
    };
    Ending::new(result, receiver.close_info(), false)
}

async fn listen(
    mut receiver: Receiver<Locked<End>>,
    ear: Ear,
    name: String,
    mut rng: Rng,
    fickle: bool,
    heard: oneshot::Sender<()>,
) -> (Result<(), Error>, Receiver<Locked<End>>) {
    let who = format!("{name} receiver");
    let mut heard = Some(heard);
    let result = loop {
        ear.story.doing(&who, "next");
        let message = async {
            loop {
                match receiver.next_event().await? {
                    None => return Ok(None),
                    Some(event @ (Event::Text(_) | Event::Binary(_))) => {
                        return Ok(event.into_message());
                    }
                    Some(_) => {}
                }
            }
        };
        match perhaps(&mut rng, fickle, message).await {
            None => tokio::task::yield_now().await,
            Some(Ok(None)) => break Ok(()),
            Some(Err(error)) => break Err(error),
            Some(Ok(Some(message))) => {
                let bye = ear.hear(message.as_text().is_some(), message.as_bytes());
                if let Some(heard) = heard.take_if(|_| bye) {
                    let _ = heard.send(());
                }
            }
        }
    };
    ear.story.doing(&who, format!("over, {result:?}"));
    (result, receiver)
}

/// Says the last word, and closes if that is its part.
async fn end(
    user: &mut User,
    sender: &Sender<Locked<End>>,
    bye: Item,
    hears_bye: oneshot::Receiver<()>,
) -> Result<(), Error> {
    let who = format!("{} last", user.name());
    if user.fickle {
        // a call that is given up, and nobody calls again: the receiver has to see to the rest
        let len = user.story.said(user.side).clamp(12, 30_000);
        let item = Item { sender: 0, number: 1_000_000, len, text: false };
        user.story.sends(user.side, item);
        let polls = 1 + u64::from(user.pause.is_multiple_of(2));
        if let Some(sent) = some_polls(polls, sender.send(item.message())).await {
            user.story.sent(user.side, item, &sent);
            sent?;
        }
        user.story.doing(&who, "quiet");
        user.quiet().await;
        if user.honest && sender.unsent() > 0 && sender.state() == State::Open {
            user.story.fault(format!("STUCK: {} bytes are never sent", sender.unsent()));
        }
    }
    user.story.doing(&who, "send");
    user.story.sends(user.side, bye);
    let sent = sender.send(bye.message()).await;
    user.story.sent(user.side, bye, &sent);
    sent?;
    user.story.doing(&who, "wait for the other's last word");
    if user.closes == Closes::AtTheEnd && hears_bye.await.is_err() {
        return Ok(()); // it never came
    }
    if user.closes != Closes::Never {
        user.story.doing(&who, "close");
        sender.close(CloseCode::new(4000 + user.side as u16).expect("a code"), "done").await?;
    }
    user.story.doing(&who, "over");
    Ok(())
}

struct Speaker {
    sender: Sender<Locked<End>>,
    who: String,
    rng: Rng,
    side: usize,
    fickle: bool,
    pause: u64,
    story: crate::oracles::Story,
}

impl Speaker {
    async fn run(mut self, items: Vec<Item>) -> Result<(), Error> {
        let result = async {
            for item in items {
                pause(&mut self.rng, self.pause).await;
                self.say(item).await?;
            }
            Ok(())
        };
        let result = result.await;
        self.story.doing(&self.who, format!("over, {result:?}"));
        result
    }

    async fn say(&mut self, item: Item) -> Result<(), Error> {
        let Self { sender, who, rng, side, fickle, story, .. } = self;
        story.doing(who, format!("send {item:?}"));
        story.sends(*side, item);
        let sent = match rng.below(4) {
            // a call that is given up leaves a message that may have been taken, and nobody comes
            // back
            0 if *fickle && item.is_unique() => {
                perhaps(rng, true, sender.send(item.message())).await.unwrap_or(Err(UNKNOWN))
            }
            1 => match sender.try_send(item.message()) {
                Err(Error::Send(SendError::BufferFull { .. })) => sender.send(item.message()).await,
                sent => sent,
            },
            2 => match sender.feed(item.message()) {
                Err(Error::Send(SendError::BufferFull { .. })) => sender.send(item.message()).await,
                sent => {
                    if rng.chance(50) {
                        perhaps(rng, *fickle, sender.flush()).await;
                    }
                    sent
                }
            },
            _ => sender.send(item.message()).await,
        };
        story.sent(*side, item, &sent);
        match sent {
            Err(Error::Disconnected(None)) if *fickle => Ok(()),
            sent => sent,
        }
    }
}

/// Stands for a call that was given up: nobody knows what became of its message.
const UNKNOWN: Error = Error::Disconnected(None);
