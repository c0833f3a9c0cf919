//! `tokio::ByteStream` under `tokio::io::split`, in two tasks.

use std::io;

use sansws::Error;
use sansws::tokio::ByteStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::end::End;
use crate::oracles::Ending;
use crate::payload::stream_byte;
use crate::rng::Rng;
use crate::scenario::{Closes, Ear, Outcome, Running, User, Wishes, pause, perhaps};

pub fn run(seed: u64) -> Outcome {
    super::converse_alone(seed, Wishes { full_duplex: true, senders: 1, binary: true }, user)
}

pub fn user(user: User) -> Running {
    Box::pin(talk(user))
}

async fn talk(mut user: User) -> Ending {
    let stream = user.socket().into_byte_stream();
    let (reading, writing) = tokio::io::split(stream);
    let ear = user.ear();
    let (rng, name, fickle) = (user.rng.fork(), user.name(), user.fickle);
    let reading = tokio::spawn(read(reading, ear, name, rng, fickle));
    let writing = tokio::spawn(write(writing, user));
    let (result, reading) = reading.await.expect("no panic");
    let (said, writing) = writing.await.expect("no panic");
    let stream = reading.unsplit(writing);
    let result = result.and(said);
    let result = result.map_err(|error| match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => error.into(),
    });
    let ending = Ending::new(result, stream.close_info(), false);
    drop(stream);
    ending
}

async fn read(
    mut reading: ReadHalf<ByteStream<End>>,
    ear: Ear,
    name: String,
    mut rng: Rng,
    fickle: bool,
) -> (io::Result<()>, ReadHalf<ByteStream<End>>) {
    let who = format!("{name} reading");
    let mut buf = vec![0; rng.magnitude(16, 128 * 1024) as usize];
    let result = loop {
        ear.story.doing(&who, "read");
        match perhaps(&mut rng, fickle, reading.read(&mut buf)).await {
            None => tokio::task::yield_now().await,
            Some(Ok(0)) => break Ok(()),
            Some(Ok(n)) => ear.hear_bytes(&buf[..n]),
            Some(Err(error)) => break Err(error),
        }
    };
    ear.story.doing(&who, format!("over, {result:?}"));
    (result, reading)
}

async fn write(
    mut writing: WriteHalf<ByteStream<End>>,
    mut user: User,
) -> (io::Result<()>, WriteHalf<ByteStream<End>>) {
    let who = format!("{} writing", user.name());
    let result = async {
        for item in std::mem::take(&mut user.says) {
            pause(&mut user.rng, user.pause).await;
            user.story.doing(&who, format!("write {} bytes", item.len));
            let mut left = item.len;
            while left > 0 {
                let at = user.story.stream_len(user.side);
                let bytes: Vec<u8> =
                    (at..at + left as u64).map(|at| stream_byte(user.side, at)).collect();
                let write = writing.write(&bytes);
                if let Some(n) = perhaps(&mut user.rng, user.fickle, write).await {
                    left -= n.inspect(|&n| user.story.stream_sent(user.side, n))?;
                } else {
                    tokio::task::yield_now().await;
                }
            }
            if user.rng.chance(40) {
                user.story.doing(&who, "flush");
                match perhaps(&mut user.rng, user.fickle, writing.flush()).await {
                    Some(flushed) => flushed?,
                    None if user.rng.chance(20) => user.quiet().await,
                    None => {}
                }
            }
        }
        user.story.doing(&who, "flush at the end");
        writing.flush().await?;
        if user.closes != Closes::Never {
            if user.closes == Closes::AtTheEnd {
                user.story.doing(&who, "wait");
                user.was_quiet = false;
                user.quiet().await;
            }
            user.story.doing(&who, "shutdown");
            until_done(&mut user.rng, user.fickle, &mut writing).await?;
        }
        io::Result::Ok(())
    };
    let result = match result.await {
        // the other has closed
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    };
    user.story.doing(&who, format!("over, {result:?}"));
    (result, writing)
}

async fn until_done(
    rng: &mut Rng,
    fickle: bool,
    writing: &mut WriteHalf<ByteStream<End>>,
) -> io::Result<()> {
    loop {
        if let Some(done) = perhaps(rng, fickle, writing.shutdown()).await {
            return done;
        }
        tokio::task::yield_now().await;
    }
}
