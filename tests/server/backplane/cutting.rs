//! An engine that loses, doubles and holds up what another one carries, as it is told to.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use sansws::server::backplane::{Backplane, EngineEvent, Memory, PublishError};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    #[default]
    Open,
    /// What is published is lost, and nobody is told.
    Lost,
    /// It comes twice.
    Twice,
    /// It waits until the way is another one.
    Held,
    /// The engine is away.
    Away,
}

/// A connection of a server; the clone is for the test.
#[derive(Clone)]
pub struct Cutting {
    engine: Arc<Memory>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    out: Way,
    /// What comes is lost.
    deaf: bool,
    held: Vec<(String, Bytes)>,
    published: Vec<String>,
}

impl Cutting {
    pub fn new(bus: &Memory) -> Self {
        Self { engine: Arc::new(bus.clone()), state: Arc::default() }
    }

    pub fn set(&self, out: Way) {
        let held = {
            let mut state = self.state.lock().unwrap();
            state.out = out;
            std::mem::take(&mut state.held)
        };
        for (subject, message) in held {
            let _ = self.publish(&subject, message);
        }
    }

    /// Cuts the server off, in both directions, or not any more.
    pub fn cut(&self, cut: bool) {
        self.state.lock().unwrap().deaf = cut;
        self.set(if cut { Way::Lost } else { Way::Open });
    }

    /// The subjects of what was published since the last call, lost or not.
    pub fn published(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().published)
    }
}

impl Backplane for Cutting {
    fn publish(&self, subject: &str, message: Bytes) -> Result<(), PublishError> {
        let mut state = self.state.lock().unwrap();
        state.published.push(subject.into());
        let out = state.out;
        if out == Way::Held {
            state.held.push((subject.into(), message));
            return Ok(());
        }
        drop(state);
        match out {
            Way::Open => self.engine.publish(subject, message),
            Way::Twice => {
                self.engine.publish(subject, message.clone())?;
                self.engine.publish(subject, message)
            }
            Way::Away => Err(PublishError::Away),
            Way::Lost | Way::Held => Ok(()),
        }
    }

    fn subscribe(&self, subject: &str) {
        self.engine.subscribe(subject);
    }

    fn unsubscribe(&self, subject: &str) {
        self.engine.unsubscribe(subject);
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<EngineEvent> {
        loop {
            let event = std::task::ready!(self.engine.poll_event(cx));
            if !self.state.lock().unwrap().deaf {
                return Poll::Ready(event);
            }
        }
    }

    fn close(&self) {
        self.engine.close();
    }
}
