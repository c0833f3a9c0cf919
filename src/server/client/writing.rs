#![forbid(unsafe_code)]

use alloc::vec::Vec;
use core::mem;

use tokio::runtime::Handle;
use tokio::task::yield_now;

use super::client::Client;
use super::run::Frames;
use crate::pool::PooledTx;
use crate::server::observe::tally;

/// Clients whose tasks were relieved of writing what was queued for them: a task for many of them
/// does it, which takes a fraction of the time that it would take to wake each.
///
/// Each such task writes to few clients, once to each, so that it is no more in the way of others
/// than they would be. Whoever is left when it is dropped is left to their tasks.
pub(super) struct Writing<'a> {
    runtime: Option<&'a Handle>,
    batch: Batch,
}

impl<'a> Writing<'a> {
    /// Writes in a runtime, if there is one.
    pub(super) const fn new(runtime: Option<&'a Handle>) -> Self {
        Self { runtime, batch: Batch(Vec::new()) }
    }

    /// Returns whether tasks may be relieved.
    pub(super) const fn may_relieve(&self) -> bool {
        self.runtime.is_some()
    }

    /// Adds a client whose task was relieved.
    pub(super) fn add(&mut self, client: &Client) {
        if self.batch.0.capacity() == 0 {
            self.batch.0.reserve_exact(MAX_CLIENTS);
        }
        self.batch.0.push(client.clone());
        if self.batch.0.len() == MAX_CLIENTS {
            self.start();
        }
    }

    /// Has all that were added written to.
    pub(super) fn finish(mut self) {
        if self.batch.0.len() >= MIN_CLIENTS {
            self.start();
        }
    }

    fn start(&mut self) {
        let batch = mem::replace(&mut self.batch, Batch(Vec::new()));
        if let Some(runtime) = self.runtime {
            // If the runtime is at its end, the batch is dropped here.
            drop(runtime.spawn(batch.write()));
        }
    }
}

struct Batch(Vec<Client>);

impl Batch {
    async fn write(mut self) {
        let (mut tx, mut frames) = (PooledTx::default(), Frames::default());
        let mut written = 0;
        for client in &self.0 {
            written += client.outbox().write(&mut tx, &mut frames, client.context().limits());
            let gives_way = written >= WRITTEN_IN_A_TURN;
            if gives_way || client.counts_traffic() {
                client.note_moved(&tally::fold(&client.context().counters));
            }
            if gives_way {
                tx.release();
                frames.release();
                yield_now().await;
                written = 0;
            }
        }
        if let Some(client) = self.0.last() {
            tally::fold(&client.context().counters); // they all have the same
        }
        self.0.clear();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.0.iter().for_each(|client| client.outbox().write_not());
    }
}

/// The most clients of one task: it takes about as long as a turn of any other.
const MAX_CLIENTS: usize = 64;

/// After that many bytes others get their turn, in the middle of a batch: a tenth of a millisecond
/// or two.
const WRITTEN_IN_A_TURN: usize = 256 * 1024;

/// For fewer it is quicker to wake their tasks.
const MIN_CLIENTS: usize = 4;
