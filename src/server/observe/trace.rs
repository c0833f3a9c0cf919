//! What a server says to `tracing`.

use tracing::Span;

use super::event::{Level, LogEvent};
use crate::server::client::client::Client;

/// Returns the span of a connection: none of whoever brought it, which is over before.
pub(crate) fn span(client: &Client) -> Span {
    let info = client.info();
    tracing::info_span!(
        target: "sansws",
        parent: None,
        "connection",
        id = client.id(),
        path = info.path(),
        peer = %info.peer_addr(),
    )
}

/// Tells how a connection has ended, in its span.
pub(crate) fn ended_with(code: u16) {
    tracing::debug!(target: "sansws", code, "closed");
}

/// Tells a log event, in the span of the connection if it is about an open one.
pub(crate) fn log(event: &LogEvent<'_>) {
    macro_rules! at {
        ($level:ident) => {
            tracing::event!(
                target: "sansws",
                tracing::Level::$level,
                peer = event.peer_addr().map(tracing::field::display),
                path = event.path(),
                status = event.status(),
                "{event}"
            )
        };
    }
    match event.level() {
        Level::Debug => at!(DEBUG),
        Level::Info => at!(INFO),
        Level::Warn => at!(WARN),
        Level::Error => at!(ERROR),
    }
}

impl LogEvent<'_> {
    fn peer_addr(&self) -> Option<core::net::SocketAddr> {
        match self {
            Self::BadRequest { peer_addr, .. }
            | Self::BadProxyHeader { peer_addr, .. }
            | Self::Refused { peer_addr, .. }
            | Self::Panic { peer_addr, .. } => Some(*peer_addr),
            #[cfg(feature = "rustls")]
            Self::TlsFailed { peer_addr, .. } => Some(*peer_addr),
            #[cfg(feature = "rustls")]
            Self::CertificateNotReloaded(_) => None,
            Self::AcceptFailed(_)
            | Self::BackplaneDown { .. }
            | Self::BackplaneUp
            | Self::BackplaneMissed { .. } => None,
        }
    }

    fn path(&self) -> Option<&str> {
        match self {
            Self::Refused { path, .. } | Self::Panic { path, .. } => Some(path),
            _ => None,
        }
    }

    const fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}
