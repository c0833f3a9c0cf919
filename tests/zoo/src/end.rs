//! Our end of a connection: a socket on tokio in either role, or a client of the event server.

use sansws::deflate::Agreement;
use sansws::proto::{CloseInfo, MessageKind, MessageRef, SendError};
use sansws::server::Client;
use sansws::tokio::WebSocket;
use sansws::{CloseCode, Event, Message, Parts};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::tap::{Received, Tap};

/// What comes from the peer.
#[derive(Debug)]
pub enum Incoming {
    Message(Message),
    Pong(Vec<u8>),
    Closed(CloseInfo<'static>),
}

pub struct End {
    kind: Kind,
    received: Received,
}

enum Kind {
    /// There, but while it is taken apart.
    Socket(Option<Box<WebSocket<Tap>>>),
    Events {
        client: Client,
        incoming: UnboundedReceiver<Incoming>,
    },
}

impl End {
    pub fn socket(ws: WebSocket<Tap>, received: Received) -> Self {
        Self { kind: Kind::Socket(Some(Box::new(ws))), received }
    }

    pub fn events(
        client: Client,
        incoming: UnboundedReceiver<Incoming>,
        received: Received,
    ) -> Self {
        Self { kind: Kind::Events { client, incoming }, received }
    }

    /// Bytes on the wire, so far.
    pub fn received(&self) -> usize {
        self.received.bytes()
    }

    /// What was agreed on about compression; the event server does not say.
    pub fn deflate(&self) -> Option<Option<Agreement>> {
        match &self.kind {
            Kind::Socket(ws) => ws.as_ref().map(|ws| ws.deflate()),
            Kind::Events { .. } => None,
        }
    }

    pub async fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), String> {
        match &mut self.kind {
            Kind::Socket(ws) => there(ws)?.send(message).await.map_err(|error| error.to_string()),
            Kind::Events { client, .. } => client.send(message).map_err(|error| error.to_string()),
        }
    }

    /// Sends a message that is cut there, with a Ping behind the first fragment. The event server
    /// has no call for fragments.
    pub async fn send_in_fragments(
        &mut self,
        message: &Message,
        cuts: &[usize],
    ) -> Result<(), String> {
        let Kind::Socket(socket) = &mut self.kind else { return Err("no fragments".into()) };
        let mut parts = socket.take().ok_or("it was taken apart")?.into_parts();
        let kind = match message {
            Message::Text(_) => MessageKind::Text,
            Message::Binary(_) => MessageKind::Binary,
        };
        put_fragments(&mut parts, kind, message.as_bytes(), cuts)
            .map_err(|error| error.to_string())?;
        let ws = socket.insert(Box::new(WebSocket::from_parts(parts)));
        ws.flush().await.map_err(|error| error.to_string())
    }

    /// Without a flush, where there is one.
    pub fn feed<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), String> {
        match &mut self.kind {
            Kind::Socket(ws) => there(ws)?.feed(message).map_err(|error| error.to_string()),
            Kind::Events { client, .. } => client.send(message).map_err(|error| error.to_string()),
        }
    }

    pub async fn next(&mut self) -> Result<Incoming, String> {
        match &mut self.kind {
            Kind::Socket(ws) => next_of(there(ws)?).await,
            Kind::Events { incoming, .. } => {
                incoming.recv().await.ok_or_else(|| "the event server forgot it".into())
            }
        }
    }

    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), String> {
        match &mut self.kind {
            Kind::Socket(ws) => {
                there(ws)?.close(code, reason).await.map_err(|error| error.to_string())
            }
            Kind::Events { client, .. } => {
                client.close(code, reason).map_err(|error| error.to_string())
            }
        }
    }
}

fn there(ws: &mut Option<Box<WebSocket<Tap>>>) -> Result<&mut WebSocket<Tap>, String> {
    ws.as_deref_mut().ok_or_else(|| "it was taken apart".into())
}

/// Queues a message that is cut there, with a Ping behind the first fragment.
fn put_fragments(
    parts: &mut Parts<Tap>,
    kind: MessageKind,
    mut rest: &[u8],
    cuts: &[usize],
) -> Result<(), SendError> {
    let Parts { connection, tx, .. } = parts;
    let _ = connection.start_message(kind)?;
    for (number, len) in cuts.iter().enumerate() {
        let (piece, behind) = rest.split_at(*len);
        connection.resume_message()?.write(tx, piece)?;
        if number == 0 {
            connection.feed(tx, MessageRef::ping(b"between"))?;
        }
        rest = behind;
    }
    connection.resume_message()?.finish(tx, rest)
}

/// A case may end before the connection does, when something is wrong.
impl Drop for End {
    fn drop(&mut self) {
        if let Kind::Events { client, .. } = &self.kind {
            client.abort();
        }
    }
}

async fn next_of(ws: &mut WebSocket<Tap>) -> Result<Incoming, String> {
    let ended = loop {
        match ws.next_event().await {
            Ok(Some((Event::Pong(payload), _))) => return Ok(Incoming::Pong(payload.to_vec())),
            Ok(Some((event, _))) => {
                if let Some(message) = event.into_message() {
                    return Ok(Incoming::Message(message));
                }
            }
            Ok(None) => break "the end".to_string(),
            Err(error) => break error.to_string(),
        }
    };
    ws.close_info().map(|info| Incoming::Closed(info.into_owned())).ok_or(ended)
}
