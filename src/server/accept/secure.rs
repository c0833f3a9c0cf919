//! Connections to a listener for `wss://`, until they are ones of TLS.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};

use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::acceptor::{Acceptor, Either, answer, either};
use super::pending::Stage;
use super::permits::HandshakePermit;
use super::refusal::tls_expected;
use crate::error::Error;
use crate::server::client::stream::ClientStream;
use crate::server::http::request::Peer;
use crate::server::observe::event::LogEvent;
use crate::server::step::Step;
use crate::tokio::Incoming;

impl Acceptor {
    /// Does the handshake of TLS, behind what a proxy may say about the client, and answers the
    /// request that follows. All of them have the time of a handshake together.
    pub(super) async fn handle_tls(
        &self,
        stream: ClientStream,
        mut peer: Peer,
        permit: &HandshakePermit,
        from_proxy: bool,
    ) -> Option<Step> {
        permit.advance(Stage::Silent);
        let mut progress = Progress::Proxy;
        let reading = self.read_tls(stream, &mut peer, permit, from_proxy, &mut progress);
        let limit = self.settings.config.handshake_timeout;
        let read = timeout(limit, reading).await;
        match (read, progress) {
            (Ok(Some(Ok(incoming))), Progress::Request) => {
                return self.handle_request(incoming, &peer, permit).await;
            }
            // in the clear
            (Ok(Some(Ok(incoming))), _) => answer(incoming, &tls_expected()).await,
            (Ok(Some(Err(error))), Progress::Request) => self.record_invalid(&peer, &error),
            // in the clear, and told already
            (Ok(Some(Err(_)) | None), _) => {}
            (Err(_), Progress::Proxy) => {
                self.record_bad_proxy(&peer, "the header took too long");
            }
            (Err(_), Progress::Handshake) => {
                self.record_tls_failed(peer, "the handshake took too long");
            }
            (Err(_), Progress::Clear) => {}
            (Err(_), Progress::Request) => self.record_invalid(&peer, &Error::HandshakeTimeout),
        }
        None
    }

    /// Reads as far as the request; `None` if what came before it was not valid, or the server
    /// stops before it is there.
    async fn read_tls(
        &self,
        mut stream: ClientStream,
        peer: &mut Peer,
        permit: &HandshakePermit,
        from_proxy: bool,
        progress: &mut Progress,
    ) -> Option<Result<Incoming<ClientStream>, Error>> {
        let mut received = Vec::new();
        if from_proxy {
            received = self.read_proxy(&mut stream, peer, permit).await?;
        }
        *progress = Progress::Handshake;
        let begun = AtomicBool::new(!received.is_empty()); // atomic for `Send`
        let opening = async {
            if received.is_empty() {
                received = read_first(&mut stream).await.ok_or("the peer has left")?;
            }
            begun.store(true, Ordering::Relaxed);
            permit.advance(Stage::Begun);
            // RFC 8446 §5.1: the first record is of type 22; a method of HTTP is in capitals
            if received.first().is_some_and(u8::is_ascii_uppercase) {
                return Ok((stream, received, Progress::Clear));
            }
            stream.unread(received);
            let config = self.settings.tls.clone().ok_or("there is no certificate")?;
            let accepted = TlsAcceptor::from(config).accept(stream).await;
            let stream = accepted.map_err(|error| error.to_string())?;
            Ok((ClientStream::boxed(stream), Vec::new(), Progress::Request))
        };
        let (stream, received) =
            match either(pin!(opening), pin!(self.too_late(permit, &begun))).await {
                Either::First(Ok((stream, received, reached))) => {
                    *progress = reached;
                    (stream, received)
                }
                Either::First(Err::<_, alloc::string::String>(reason)) => {
                    self.record_tls_failed(*peer, &reason);
                    return None;
                }
                Either::Second(()) => return None,
            };
        if matches!(progress, Progress::Clear) {
            self.record_tls_failed(
                *peer,
                "plain HTTP, where TLS was expected: connect with wss:// or https://",
            );
        }
        self.read(self.begin(stream, &received), permit).await
    }

    /// Counts and logs a connection that did not become one of TLS.
    fn record_tls_failed(&self, peer: Peer, reason: &str) {
        self.context.counters.bad_request(None);
        self.context.log(&LogEvent::TlsFailed { peer_addr: peer.addr, reason });
    }
}

/// What is read from a connection.
#[derive(Clone, Copy)]
enum Progress {
    Proxy,
    Handshake,
    /// A request that came without TLS.
    Clear,
    Request,
}

/// Reads the first bytes; `None` if there are none.
async fn read_first(stream: &mut ClientStream) -> Option<Vec<u8>> {
    let mut piece = [0; PIECE];
    match stream.read(&mut piece).await {
        Ok(0) | Err(_) => None,
        Ok(n) => Some(piece[..n].to_vec()),
    }
}

/// Most of the first message of a client, or all of it.
const PIECE: usize = 1024;
