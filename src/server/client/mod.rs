//! Clients: handles on connections, the hub, the queue of each, and the task that serves it.

#[allow(clippy::module_inception)] // the file is named after what it holds
pub(crate) mod client;
mod comeback;
mod direct;
mod gate;
pub(crate) mod guard;
pub(crate) mod handler;
pub(crate) mod handler_fn;
pub(crate) mod history;
pub(crate) mod hub;
pub(crate) mod info;
pub(crate) mod limits;
mod line;
#[cfg(all(test, sansws_model))]
#[path = "../../../tests/models/hub.rs"]
mod models;
mod outbox;
mod pump;
mod queue;
mod quota;
pub(crate) mod rate;
mod rooms;
mod run;
pub(crate) mod shared;
pub(crate) mod stream;
pub(crate) mod target;
pub(crate) mod task;
pub(crate) mod topic;
mod topics;
pub(crate) mod traffic;
mod turn;
pub(crate) mod values;
mod waiter;
mod watch;
mod writing;
