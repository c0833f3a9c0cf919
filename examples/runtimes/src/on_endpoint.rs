//! Both ends on the core: what they do about the events of an [`Endpoint`].

use sansws::buf::SendBuffer;
use sansws::endpoint::Endpoint;
use sansws::handshake::server::{Accept, Request};
use sansws::handshake::{UsageError, client};
use sansws::proto::MessageRef;
use sansws::{CloseCode, Event};

use crate::{Failure, config, messages, refusal, sum_up};

/// Makes an end of each kind, with what it sends first.
pub fn server() -> (Endpoint, SendBuffer) {
    (Endpoint::server(&config()), SendBuffer::new())
}

pub fn client(url: &str) -> Result<(Endpoint, SendBuffer), Failure> {
    let mut tx = SendBuffer::new();
    let (request, seed) = (client::Request::new(url)?, Endpoint::random_seed()?);
    Ok((Endpoint::client(&request, seed, &config(), &mut tx)?, tx))
}

/// What is said on a connection.
#[derive(Default)]
pub struct Talk {
    came_back: usize,
    asks: bool,
}

impl Talk {
    /// A server decides on a request.
    pub fn decide(
        &mut self,
        request: Request,
        endpoint: &mut Endpoint,
        tx: &mut SendBuffer,
    ) -> Result<(), UsageError> {
        match refusal(&request) {
            Some(reject) => endpoint.reject(request, &reject, tx),
            None => endpoint.accept(request, &Accept::default(), tx),
        }
    }

    /// A client begins.
    pub fn begin(&mut self, endpoint: &mut Endpoint, tx: &mut SendBuffer) {
        self.asks = true;
        let _ = endpoint.feed(tx, &messages()[0]); // refused only after a Close, here and below
    }

    /// An event came, on either end.
    pub fn go_on(&mut self, event: Event<'_>, endpoint: &mut Endpoint, tx: &mut SendBuffer) {
        let Some(message) = event.into_message_ref() else { return };
        if !self.asks {
            let _ = endpoint.feed(tx, message);
            return;
        }
        let messages = messages();
        let asked = messages.get(self.came_back).map(MessageRef::from);
        self.came_back += usize::from(asked.is_some_and(|it| it.payload() == message.payload()));
        let _ = match messages.get(self.came_back) {
            Some(next) => endpoint.feed(tx, next),
            None => endpoint.close(tx, Some(CloseCode::NORMAL.into())),
        };
    }

    /// A client is done.
    pub fn sum_up(&self, endpoint: &Endpoint) {
        sum_up(self.came_back, endpoint.connection().and_then(|it| it.close_info()));
    }
}
