pub(crate) mod accept;
pub(crate) mod acceptor;
pub(crate) mod external;
pub(crate) mod lifecycle;
pub(crate) mod network;
pub(crate) mod pending;
