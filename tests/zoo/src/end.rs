//! Our end of a connection: a socket on tokio in either role, or a client of the event server.

use sansws::deflate::Agreement;
use sansws::proto::{CloseInfo, MessageRef};
use sansws::server::Client;
use sansws::tokio::WebSocket;
use sansws::{CloseCode, Event, Message};
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
    Socket(Box<WebSocket<Tap>>),
    Events { client: Client, incoming: UnboundedReceiver<Incoming> },
}

impl End {
    pub fn socket(ws: WebSocket<Tap>, received: Received) -> Self {
        Self { kind: Kind::Socket(Box::new(ws)), received }
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
            Kind::Socket(ws) => Some(ws.deflate()),
            Kind::Events { .. } => None,
        }
    }

    pub async fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), String> {
        match &mut self.kind {
            Kind::Socket(ws) => ws.send(message).await.map_err(|error| error.to_string()),
            Kind::Events { client, .. } => client.send(message).map_err(|error| error.to_string()),
        }
    }

    /// Without a flush, where there is one.
    pub fn feed<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), String> {
        match &mut self.kind {
            Kind::Socket(ws) => ws.feed(message).map_err(|error| error.to_string()),
            Kind::Events { client, .. } => client.send(message).map_err(|error| error.to_string()),
        }
    }

    pub async fn next(&mut self) -> Result<Incoming, String> {
        match &mut self.kind {
            Kind::Socket(ws) => next_of(ws).await,
            Kind::Events { incoming, .. } => {
                incoming.recv().await.ok_or_else(|| "the event server forgot it".into())
            }
        }
    }

    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), String> {
        match &mut self.kind {
            Kind::Socket(ws) => ws.close(code, reason).await.map_err(|error| error.to_string()),
            Kind::Events { client, .. } => {
                client.close(code, reason).map_err(|error| error.to_string())
            }
        }
    }
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
