use super::engine::PublishError;

/// What has passed through the backplane of a server since it was made:
/// [`Stats::backplane`](crate::server::Stats::backplane).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackplaneStats {
    /// Whether the engine is connected.
    pub up: bool,
    /// Messages and closes that were put into the queue to the engine.
    pub published: u64,
    /// Those that were not: the engine was away, or its queue was full.
    pub not_published: u64,
    /// Messages and closes that have come from other servers, or from other programs.
    pub received: u64,
    /// What has come and is malformed, or of a later version, and was dropped.
    pub invalid: u64,
    /// Messages that were published and may not have arrived, because the connection was lost or
    /// newer ones took their place, and such as have come and found no room.
    pub lost: u64,
    /// Messages and closes of other servers that did not come, as the numbers of those behind them
    /// say: their queue to the engine was full, or it was away for them, or it has lost them on
    /// the way here. Those that it knows of itself are among [`lost`](Self::lost) too.
    pub missed: u64,
    /// Those that have come twice, or behind later ones, and were dropped.
    pub duplicates: u64,
    /// How often the connection to the engine was lost.
    pub outages: u64,
    /// Other servers that are known now: 0 without
    /// [`Server::presence`](crate::server::Server::presence).
    pub servers: usize,
}

/// The result of [`Target::publish`](crate::server::Target::publish).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Reach {
    /// For how many clients of this server the message was queued: those who are closing, and those
    /// whose queue is full, are left out.
    pub clients: usize,
    /// Whether it was queued for the other servers; `None` without a backplane. `Ok` does not mean
    /// that it has arrived.
    pub others: Option<Result<(), PublishError>>,
}
