//! Doors for the fuzzers to what cannot be reached from outside without sockets. Not a part of the
//! interface: it may change with any version.
#![forbid(unsafe_code)]

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use super::http::forwarded::{Forwarded, ProxyHeaders, Trust};
use super::http::route::Table;
use crate::handshake::server::Request;

pub use super::backplane::fuzzing::envelope;

/// Returns what trusted proxies say of the client: its address, whether it spoke TLS, and the host.
/// The error is the status of the refusal.
#[allow(clippy::type_complexity)] // three statements, as they are
pub fn forwarded(
    request: &Request,
    headers: ProxyHeaders,
    proxies: usize,
) -> Result<(Option<IpAddr>, Option<bool>, Option<String>), u16> {
    let trust = Trust { headers, proxies, ..Trust::default() };
    match Forwarded::read(request, &trust, [127, 0, 0, 1].into()) {
        Ok(said) => Ok((said.ip, said.secure, said.host.map(ToString::to_string))),
        Err(response) => Err(response.status_code()),
    }
}

/// Returns which of these routes can be together, in their order, and the one that a path leads to
/// with its parameters.
pub fn route(routes: &[&str], path: &str) -> (Vec<bool>, Option<(usize, Vec<String>)>) {
    let mut table = Table::default();
    let routes = routes.iter().enumerate();
    let taken = routes.map(|(at, route)| table.insert(route, at).is_ok()).collect();
    let found = table.find(path).map(|(_, at, params)| {
        (*at, params.iter().map(ToString::to_string).collect::<Vec<String>>())
    });
    (taken, found)
}
