//! HTTP: requests, responses, and where they lead.
#![forbid(unsafe_code)]

pub(crate) mod forwarded;
pub(crate) mod handler;
pub(crate) mod hosts;
pub(crate) mod networks;
pub(crate) mod origin;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod route;
