//! `Stream` and `Sink` of one `tokio::WebSocket`, in two tasks (`StreamExt::split`) or in one
//! (`forward`-like loops poll both in one task as well).

use futures_util::future::join;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use sansws::proto::SendError;
use sansws::tokio::WebSocket;
use sansws::{Error, Message};

use crate::end::End;
use crate::oracles::Ending;
use crate::scenario::{Closes, Ear, Outcome, Running, User, Wishes, pause, perhaps};

pub fn run(seed: u64) -> Outcome {
    super::converse(seed, Wishes { full_duplex: true, senders: 1, binary: false }, user)
}

pub fn user(user: User) -> Running {
    Box::pin(talk(user))
}

type Writer = SplitSink<WebSocket<End>, Message>;
type Reader = SplitStream<WebSocket<End>>;

async fn talk(mut user: User) -> Ending {
    let (sink, stream) = StreamExt::split(user.socket());
    let (heard, hears_bye) = tokio::sync::oneshot::channel();
    let ear = user.ear();
    let one_task = user.rng.chance(20);
    let (rng, name, fickle) = (user.rng.fork(), user.name(), user.fickle);
    let listening = async move { listen(stream, ear, name, rng, fickle, heard).await };
    let speaking = async move { speak(sink, user, hears_bye).await };
    let ((result, stream), (said, sink)) = if one_task {
        join(listening, speaking).await
    } else {
        let (listening, speaking) = (tokio::spawn(listening), tokio::spawn(speaking));
        let (heard, said) = join(listening, speaking).await;
        (heard.expect("no panic"), said.expect("no panic"))
    };
    let Ok(ws) = stream.reunite(sink) else { unreachable!("they are of one socket") };
    // whoever writes learns of the end as well
    let result = result.and(said);
    Ending::new(result, ws.close_info(), false)
}

async fn listen(
    mut stream: Reader,
    ear: Ear,
    name: String,
    mut rng: crate::rng::Rng,
    fickle: bool,
    heard: tokio::sync::oneshot::Sender<()>,
) -> (Result<(), Error>, Reader) {
    let mut heard = Some(heard);
    let who = format!("{name} reading");
    let result = loop {
        ear.story.doing(&who, "next");
        match perhaps(&mut rng, fickle, stream.next()).await {
            None => tokio::task::yield_now().await,
            Some(None) => break Ok(()),
            Some(Some(Err(error))) => break Err(error),
            Some(Some(Ok(message))) => {
                let bye = ear.hear(message.as_text().is_some(), message.as_bytes());
                if let Some(heard) = heard.take_if(|_| bye) {
                    let _ = heard.send(());
                }
            }
        }
    };
    ear.story.doing(&who, format!("over, {result:?}"));
    (result, stream)
}

async fn speak(
    mut sink: Writer,
    mut user: User,
    hears_bye: tokio::sync::oneshot::Receiver<()>,
) -> (Result<(), Error>, Writer) {
    let who = format!("{} writing", user.name());
    let result = async {
        for item in std::mem::take(&mut user.says) {
            pause(&mut user.rng, user.pause).await;
            user.story.doing(&who, format!("send {item:?}"));
            // room first, so that it is known whether the message was taken
            loop {
                let ready = std::future::poll_fn(|cx| sink.poll_ready_unpin(cx));
                if let Some(ready) = perhaps(&mut user.rng, user.fickle, ready).await {
                    ready?;
                    break;
                }
                tokio::task::yield_now().await;
            }
            user.story.sends(user.side, item);
            // `SplitSink` keeps one message to itself until it is flushed, so this alone says nothing
            sink.start_send_unpin(item.message())?;
            if user.rng.chance(70) {
                user.story.doing(&who, format!("flush {item:?}"));
                match perhaps(&mut user.rng, user.fickle, sink.flush()).await {
                    Some(flushed) => {
                        flushed?;
                        user.story.accepted(user.side, item);
                    }
                    // it leaves all the same, because the other task is there
                    None if user.rng.chance(20) => user.quiet().await,
                    None => {}
                }
            }
        }
        user.story.doing(&who, "flush");
        sink.flush().await?;
        user.story.accepted_all(user.side);
        user.story.doing(&who, "wait for the other's last word");
        if user.closes == Closes::AtTheEnd && hears_bye.await.is_err() {
            return Ok(()); // it never came
        }
        if user.closes != Closes::Never {
            user.story.doing(&who, "close");
            loop {
                let closed = perhaps(&mut user.rng, user.fickle, sink.close()).await;
                if let Some(closed) = closed {
                    closed?;
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
    .await;
    let result = match result {
        Err(Error::Send(SendError::NotOpen)) => Ok(()), // the other has closed
        result => result,
    };
    user.story.doing(&who, format!("over, {result:?}"));
    (result, sink)
}
