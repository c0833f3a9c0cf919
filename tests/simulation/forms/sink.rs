//! `Stream` and `Sink` of one `tokio::WebSocket`, in two tasks (`StreamExt::split`) or in one
//! (`forward`-like loops poll both in one task as well), with and without control frames as items.

use futures_util::future::join;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use sansws::proto::{CloseInfo, SendError};
use sansws::tokio::{Outbound, WebSocket, WithControl};
use sansws::{CloseCode, Error, Message};

use crate::end::End;
use crate::oracles::Ending;
use crate::scenario::{Closes, Ear, Outcome, Running, User, Wishes, pause, perhaps};

pub fn run(seed: u64) -> Outcome {
    super::converse(seed, Wishes { full_duplex: true, senders: 1, binary: false }, user)
}

pub fn user(user: User) -> Running {
    Box::pin(async move {
        let mut user = user;
        let ws = user.socket();
        match user.rng.chance(50) {
            true => talk(ws, user).await,
            false => talk(ws.with_control(), user).await,
        }
    })
}

/// A socket as a `Stream` and a `Sink`.
trait Socket:
    Stream<Item = Result<Message, Error>> + Sink<Self::Out, Error = Error> + Unpin + Send + 'static
{
    type Out: From<Message> + Send;

    /// A ping, where that can be an item.
    fn ping() -> Option<Self::Out>;

    /// A Close, where that can be an item.
    fn close_item(code: CloseCode) -> Option<Self::Out>;

    fn close_info(&self) -> Option<CloseInfo<'_>>;
}

impl Socket for WebSocket<End> {
    type Out = Message;

    fn ping() -> Option<Message> {
        None
    }

    fn close_item(_: CloseCode) -> Option<Message> {
        None
    }

    fn close_info(&self) -> Option<CloseInfo<'_>> {
        self.close_info()
    }
}

impl Socket for WithControl<WebSocket<End>> {
    type Out = Outbound;

    fn ping() -> Option<Outbound> {
        Some(Outbound::Ping("in between".into()))
    }

    fn close_item(code: CloseCode) -> Option<Outbound> {
        Some(Outbound::Close(code, "done".into()))
    }

    fn close_info(&self) -> Option<CloseInfo<'_>> {
        self.get_ref().close_info()
    }
}

type Writer<S> = SplitSink<S, <S as Socket>::Out>;
type Reader<S> = SplitStream<S>;

async fn talk<S: Socket>(ws: S, mut user: User) -> Ending {
    let (sink, stream) = StreamExt::split(ws);
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

async fn listen<S: Socket>(
    mut stream: Reader<S>,
    ear: Ear,
    name: String,
    mut rng: crate::rng::Rng,
    fickle: bool,
    heard: tokio::sync::oneshot::Sender<()>,
) -> (Result<(), Error>, Reader<S>) {
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

async fn speak<S: Socket>(
    mut sink: Writer<S>,
    mut user: User,
    hears_bye: tokio::sync::oneshot::Receiver<()>,
) -> (Result<(), Error>, Writer<S>) {
    let who = format!("{} writing", user.name());
    let result = async {
        for item in std::mem::take(&mut user.says) {
            pause(&mut user.rng, user.pause).await;
            user.story.doing(&who, format!("send {item:?}"));
            // room first, so that it is known whether the message was taken
            room(&mut sink, &mut user).await?;
            if user.may_ping
                && let Some(ping) = S::ping().filter(|_| user.rng.chance(20))
            {
                sink.start_send_unpin(ping)?;
                room(&mut sink, &mut user).await?;
            }
            user.story.sends(user.side, item);
            // `SplitSink` keeps one message to itself until it is flushed, so this alone says
            // nothing
            sink.start_send_unpin(item.message().into())?;
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
            let code = CloseCode::new(4000 + user.side as u16).expect("a code");
            if let Some(close) = S::close_item(code).filter(|_| user.rng.chance(70)) {
                room(&mut sink, &mut user).await?;
                sink.start_send_unpin(close)?;
            }
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

/// Waits until the next item is taken.
async fn room<S: Socket>(sink: &mut Writer<S>, user: &mut User) -> Result<(), Error> {
    loop {
        let ready = std::future::poll_fn(|cx| sink.poll_ready_unpin(cx));
        if let Some(ready) = perhaps(&mut user.rng, user.fickle, ready).await {
            return ready;
        }
        tokio::task::yield_now().await;
    }
}
