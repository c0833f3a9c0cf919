//! Why a client finds no way to its server: proxies and redirections.
#![forbid(unsafe_code)]

mod proxy;
mod redirect;

pub use proxy::{ProxyError, ProxyFailure};
pub use redirect::RedirectError;
