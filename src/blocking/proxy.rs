//! The way through a proxy.

use alloc::sync::Arc;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use bytes::Buf;

use super::connect::connect_to_host;
use super::deadline::Deadline;
use crate::buf::{RecvBuffer, SendBuffer};
use crate::client::{Server, Tunnel};
use crate::config::Config;
use crate::error::Error;
use crate::handshake::client::Request;

/// Connects to a proxy, and by it to the server of a request.
pub(super) fn through(
    proxy: &Arc<Server>,
    request: &Request,
    config: &Config,
    deadline: &Deadline,
) -> Result<TcpStream, Error> {
    let connected = connect_to_host(&proxy.host, proxy.port, deadline);
    let mut tcp = connected.map_err(|error| proxy.unreachable(error))?;
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let mut tunnel = Tunnel::start(proxy, request, config, &mut tx)?;
    while !exchange(&mut tcp, &mut tunnel, &mut rx, &mut tx, deadline)? {}
    tcp.set_read_timeout(None)?;
    tcp.set_write_timeout(None)?;
    Ok(tcp)
}

/// Says what there is to say, and takes one piece of what the proxy says to that.
fn exchange(
    tcp: &mut TcpStream,
    tunnel: &mut Tunnel,
    rx: &mut RecvBuffer,
    tx: &mut SendBuffer,
    deadline: &Deadline,
) -> Result<bool, Error> {
    while tx.has_remaining() {
        let written = in_time(tunnel, deadline, |left| {
            tcp.set_write_timeout(Some(left))?;
            (&*tcp).write(tx.chunk())
        })?;
        tx.advance(written);
    }
    let mut seen = [0; 512];
    // Only looked at, and then taken as far as it is the proxy's: what follows is the server's, and
    // stays in the socket for whoever reads next.
    let n = in_time(tunnel, deadline, |left| {
        tcp.set_read_timeout(Some(left))?;
        tcp.peek(&mut seen)
    })?;
    rx.extend_from_slice(&seen[..n]);
    let open = tunnel.read(rx, tx)?;
    let taken = n - rx.unparsed().len();
    rx.clear();
    tcp.read_exact(&mut seen[..taken])?; // it is there
    Ok(open)
}

/// Tries until something is done, or the time is over.
fn in_time(
    tunnel: &mut Tunnel,
    deadline: &Deadline,
    mut act: impl FnMut(core::time::Duration) -> io::Result<usize>,
) -> Result<usize, Error> {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    loop {
        let Ok(left) = deadline.left() else { return Err(tunnel.timed_out()) };
        match act(left) {
            Ok(0) => return Err(tunnel.disconnected(None)),
            Ok(n) => return Ok(n),
            Err(error) if matches!(error.kind(), Interrupted | TimedOut | WouldBlock) => {}
            Err(error) => return Err(tunnel.disconnected(Some(error))),
        }
    }
}
