//! History in NATS: a stream of JetStream for each topic, whose sequence numbers are the offsets.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use async_nats::jetstream::context::{
    CreateStreamErrorKind, DeleteStreamErrorKind, GetStreamErrorKind, PublishErrorKind,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DirectGetErrorKind, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::keep::{ANSWER_TIMEOUT, NO_ANSWER};
use super::link::Link;
use super::store::{Answer, Append, Appended, HistoryError, Page, Read, Store};
use crate::server::client::history::Position;

/// What all calls share.
#[derive(Default)]
pub(super) struct Slot {
    /// That of the connection, while there is one.
    context: Mutex<Option<Context>>,
    /// The epochs of topics that were sent to. One that is not right any more has no stream, and
    /// is asked for again.
    epochs: Mutex<BTreeMap<String, u64>>,
}

impl Slot {
    pub(super) fn set(&self, client: async_nats::Client) {
        let mut context = async_nats::jetstream::new(client);
        context.set_timeout(ANSWER_TIMEOUT);
        *self.context.lock().unwrap_or_else(PoisonError::into_inner) = Some(context);
    }

    /// Gives up a connection that is over.
    pub(super) fn clear(&self) {
        *self.context.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn epoch(&self, subject: &str) -> Option<u64> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner).get(subject).copied()
    }

    fn note(&self, subject: &str, epoch: u64) {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        if epochs.len() >= MAX_EPOCHS {
            epochs.clear();
        }
        epochs.insert(subject.into(), epoch);
    }

    fn forget(&self, subject: &str) {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner).remove(subject);
    }
}

/// More are asked for again: a way there and back each.
const MAX_EPOCHS: usize = 4096;

/// The bytes of one read, but for the last message: little enough to hold up nobody.
const READ_BYTES: usize = 256 * 1024;

/// How long one read asks for more: what it has would be lost when the call is over.
const READ_TIME: Duration = Duration::from_secs(3);

/// The bounds of a stream that begins before anything is sent to it, until something is.
const FIRST_BOUNDS: (usize, Duration) = (1000, Duration::from_secs(3600));

/// The attempts to send while streams come and go.
const ATTEMPTS: usize = 5;

/// The part of [`Nats`](super::Nats) that remembers.
pub(super) struct JetStream {
    slot: Arc<Slot>,
    link: Arc<Link>,
}

impl JetStream {
    pub(super) const fn new(slot: Arc<Slot>, link: Arc<Link>) -> Self {
        Self { slot, link }
    }

    /// Calls for an answer, and waits no longer than one takes; `late` is the error then.
    fn run<T, F>(
        &self,
        late: fn(Box<str>) -> HistoryError,
        call: impl FnOnce(Context, Arc<Slot>) -> F,
    ) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HistoryError>> + Send + 'static,
    {
        let context = self.slot.context.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(context) = context.filter(|_| self.link.is_up()) else {
            return Box::pin(core::future::ready(Err(HistoryError::Away)));
        };
        let answer = call(context, Arc::clone(&self.slot));
        Box::pin(async move {
            timeout(ANSWER_TIMEOUT, answer).await.unwrap_or_else(|_| Err(late(NO_ANSWER.into())))
        })
    }
}

/// A stream, and what it says of itself.
struct Opened {
    stream: Stream,
    first: u64,
    last: Position,
}

/// Opens the stream of a topic, and makes it if there is none. With bounds, these hold then.
async fn open(
    context: &Context,
    subject: &str,
    epoch: u64,
    bounds: Option<(usize, Duration)>,
) -> Result<Opened, HistoryError> {
    let name = name(subject);
    let mut stream = context.get_stream(&name).await;
    if let Err(error) = &stream
        && let GetStreamErrorKind::JetStream(reason) = error.kind()
        && reason.error_code() == ErrorCode::STREAM_NOT_FOUND
    {
        let config = config(subject, epoch, bounds.unwrap_or(FIRST_BOUNDS));
        stream = match context.create_stream(config).await {
            Ok(stream) => Ok(stream),
            Err(error) => match error.kind() {
                // somebody else has made it
                CreateStreamErrorKind::JetStream(reason)
                    if reason.error_code() == ErrorCode::STREAM_NAME_EXIST =>
                {
                    context.get_stream(&name).await
                }
                _ => return Err(refused(&error)),
            },
        };
    }
    let stream = stream.map_err(|error| match error.kind() {
        GetStreamErrorKind::Request => no_answer(&error),
        _ => refused(&error),
    })?;
    let info = stream.cached_info();
    let epoch = info.config.subjects.first().and_then(|it| it.rsplit_once('.'));
    let epoch = epoch.and_then(|(_, epoch)| u64::from_str_radix(epoch, 16).ok());
    let epoch = epoch.ok_or_else(|| refused(&"this stream is no history"))?;
    let (first, last) = (info.state.first_sequence, info.state.last_sequence);
    if let Some(bounds) = bounds {
        let wanted = config(subject, epoch, bounds);
        if (wanted.max_messages, wanted.max_age) != (info.config.max_messages, info.config.max_age)
        {
            let update = Config {
                max_messages: wanted.max_messages,
                max_age: wanted.max_age,
                duplicate_window: wanted.duplicate_window,
                ..info.config.clone()
            };
            context.update_stream(&update).await.map_err(|error| refused(&error))?;
        }
    }
    Ok(Opened { first, last: Position { epoch, offset: last }, stream })
}

/// Returns the name of the stream of a topic, which has no dots.
fn name(subject: &str) -> String {
    subject.replace('.', "_")
}

/// The subject has the epoch: what is sent to one that is over finds no stream.
fn subject_in(subject: &str, epoch: u64) -> String {
    format!("{subject}.{epoch:016x}")
}

fn config(subject: &str, epoch: u64, (max_messages, max_age): (usize, Duration)) -> Config {
    // no less than NATS takes; 0 is for ever
    let max_age = max_age.clamp(Duration::from_millis(100), LONGEST);
    Config {
        name: name(subject),
        subjects: [subject_in(subject, epoch)].into(),
        max_messages: i64::try_from(max_messages).unwrap_or(-1),
        max_age,
        duplicate_window: max_age.min(Duration::from_secs(120)),
        allow_direct: true,
        ..Config::default()
    }
}

/// As long as nothing expires: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn refused(error: &impl ToString) -> HistoryError {
    HistoryError::Engine { reason: error.to_string().into() }
}

/// Where nothing listens for what JetStream is asked, it is not switched on.
fn no_answer(error: &impl ToString) -> HistoryError {
    let error = error.to_string();
    HistoryError::Engine {
        reason: format!("{error}; is NATS started with JetStream (nats-server -js)?").into(),
    }
}

/// Ends whatever epoch there is.
async fn delete(context: &Context, subject: &str) -> Result<bool, HistoryError> {
    match context.delete_stream(name(subject)).await {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            DeleteStreamErrorKind::JetStream(reason)
                if reason.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                Ok(false)
            }
            _ => Err(refused(&error)),
        },
    }
}

/// Ends an epoch, unless somebody else has: the next one is not to end with it.
async fn end(context: &Context, subject: &str, epoch: u64, new: u64) -> Result<(), HistoryError> {
    if open(context, subject, new, None).await?.last.epoch == epoch {
        delete(context, subject).await?;
    }
    Ok(())
}

async fn append(
    context: Context,
    slot: Arc<Slot>,
    append: Append,
) -> Result<Appended, HistoryError> {
    let Append { subject, message, epoch: new, known, exact, max_messages, max_age } = append;
    let bounds = Some((max_messages, max_age));
    for _ in 0..ATTEMPTS {
        // where the server has heard of another epoch, the noted one may be over
        let noted = slot.epoch(&subject);
        let epoch = match noted.filter(|epoch| known.is_none_or(|it| it.epoch == *epoch)) {
            Some(epoch) => epoch,
            None => {
                let last = open(&context, &subject, new, bounds).await?.last;
                slot.note(&subject, last.epoch);
                if known.is_some_and(|it| it.epoch == last.epoch && it.offset > last.offset) {
                    end(&context, &subject, last.epoch, new).await?;
                    slot.forget(&subject);
                    continue;
                }
                last.epoch
            }
        };
        let mut publish = PublishMessage::build().payload(message.clone());
        if exact {
            let Some(known) = known.filter(|it| it.epoch == epoch) else {
                let last = open(&context, &subject, new, bounds).await?.last;
                slot.note(&subject, last.epoch);
                return Ok(Appended::Behind(last));
            };
            publish = publish.expected_last_sequence(known.offset);
        }
        let sent = context.send_publish(subject_in(&subject, epoch), publish).await;
        let sent = match sent {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(answer) => {
                let at = Position { epoch, offset: answer.sequence };
                if known.is_none_or(|it| it.epoch != epoch || it.offset < at.offset) {
                    return Ok(Appended::At(at));
                }
                // NATS has lost its last messages: no offset is given twice
                let ended = end(&context, &subject, epoch, new).await;
                slot.forget(&subject);
                // this one is kept until it has ended
                ended.map_err(|error| HistoryError::Unsure { reason: error.to_string().into() })?;
            }
            Err(error) => match error.kind() {
                // the epoch is over
                PublishErrorKind::StreamNotFound => slot.forget(&subject),
                PublishErrorKind::WrongLastSequence => {
                    let last = open(&context, &subject, new, bounds).await?.last;
                    if known.is_none_or(|it| it.epoch != last.epoch || it.offset <= last.offset) {
                        return Ok(Appended::Behind(last));
                    }
                    end(&context, &subject, last.epoch, new).await?;
                    slot.forget(&subject);
                }
                PublishErrorKind::MaxPayloadExceeded => return Err(refused(&error)),
                _ => {
                    slot.forget(&subject);
                    return Err(HistoryError::Unsure { reason: error.to_string().into() });
                }
            },
        }
    }
    Err(HistoryError::Contended)
}

async fn read(context: Context, read: Read) -> Result<Page, HistoryError> {
    let Read { subject, epoch: new, after, most, max_age } = read;
    for _ in 0..ATTEMPTS {
        let opened = open(&context, &subject, new, None).await?;
        let Position { epoch, offset: last } = opened.last;
        let behind = match after {
            None => return Ok(Page { last: opened.last, messages: Vec::new() }),
            Some(after) if after.epoch != epoch => 0,
            Some(after) if after.offset <= last => after.offset,
            Some(_) => {
                // NATS has lost its last messages: no offset is given twice
                end(&context, &subject, epoch, new).await?;
                continue;
            }
        };
        if let Some(messages) = messages(&opened, &subject, behind, most, max_age).await? {
            return Ok(Page { last: opened.last, messages });
        }
    }
    Err(HistoryError::Contended)
}

/// Reads the messages behind an offset, as many as there is time for. `None` if the epoch is over.
async fn messages(
    opened: &Opened,
    subject: &str,
    behind: u64,
    most: usize,
    max_age: Duration,
) -> Result<Option<Vec<(u64, Bytes)>>, HistoryError> {
    let Opened { stream, first, last } = opened;
    let expected = subject_in(subject, last.epoch);
    let (now, until) = (SystemTime::now(), Instant::now() + READ_TIME);
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for offset in (behind + 1).max(*first)..=last.offset {
        let is_enough = messages.len() >= most || bytes >= READ_BYTES || Instant::now() >= until;
        if is_enough && !messages.is_empty() {
            break;
        }
        let message = match stream.direct_get(offset).await {
            Ok(message) if *message.subject == *expected => message,
            Ok(_) if messages.is_empty() => return Ok(None),
            Err(error) if messages.is_empty() => match error.kind() {
                // it is gone meanwhile, or somebody has deleted it
                DirectGetErrorKind::NotFound => continue,
                DirectGetErrorKind::ErrorResponse(..) => return Err(refused(&error)),
                _ => return Err(HistoryError::Away),
            },
            // what is there is good, and the next read says what is wrong
            _ => break,
        };
        let age = now.duration_since(message.time.into()).unwrap_or_default();
        if age < max_age {
            bytes += message.payload.len();
            messages.push((offset, message.payload));
        }
    }
    Ok(Some(messages))
}

impl Store for JetStream {
    fn append(&self, what: Append) -> Answer<Appended> {
        let late = |reason| HistoryError::Unsure { reason };
        self.run(late, |context, slot| append(context, slot, what))
    }

    fn read(&self, what: Read) -> Answer<Page> {
        self.run(|_| HistoryError::Away, |context, _| read(context, what))
    }

    fn forget(&self, subject: String) -> Answer<bool> {
        self.run(
            |_| HistoryError::Away,
            |context, _| async move { delete(&context, &subject).await },
        )
    }
}
