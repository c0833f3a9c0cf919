//! axum with an extractor of one's own: an echo at `/echo`, over HTTP/1.1 and HTTP/2.
//!
//! ```text
//! cargo run --manifest-path examples/http/Cargo.toml --bin axum [ADDRESS [CERTIFICATE KEY]]
//! ```
//!
//! Browsers use HTTP/2 with TLS alone, so that they need the certificate and the key for it.

use std::env::args;
use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{self, StatusCode, Version};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use axum::serve::ListenerExt;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use sansws::Config;
use sansws::deflate::Deflate;
use sansws::handshake::HandshakeError;
use sansws::handshake::server::{Accept, Request};
use sansws::tokio::WebSocket;
use sansws_http_examples::listen;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A request for a WebSocket, as an argument of a handler. What is none is answered before the
/// handler is called, and so is one that breaks the rules.
struct Handshake(Request, OnUpgrade);

impl<S: Sync> FromRequestParts<S> for Handshake {
    type Rejection = http::Response<String>;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let request = Request::from_http(head, &Config::new()).map_err(|it| it.response())?;
        request.check().map_err(|error| error.response())?;
        let upgraded = head.extensions.remove::<OnUpgrade>();
        let upgraded = upgraded.ok_or_else(|| HandshakeError::NotAnUpgrade.response())?;
        Ok(Self(request, upgraded))
    }
}

impl Handshake {
    /// Answers, and serves the WebSocket in a task of its own.
    fn accept<F>(
        self,
        accept: &Accept<'_>,
        config: &Config,
        serve: impl FnOnce(WebSocket<TokioIo<Upgraded>>) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = Result<(), sansws::Error>> + Send,
    {
        let upgrade = match self.0.upgrade(accept, config) {
            Ok(upgrade) => upgrade,
            Err(error) => return error.response().into_response(),
        };
        let response = upgrade.response();
        tokio::spawn(async move {
            let Ok(io) = self.1.await else { return };
            let ws = WebSocket::from_upgrade(TokioIo::new(io), upgrade, b"");
            if let Err(error) = serve(ws).await {
                println!("failed: {error}");
            }
        });
        response
    }
}

async fn echo(version: Version, handshake: Handshake) -> Response {
    let request = &handshake.0;
    if request.is_same_origin() == Some(false) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let subprotocol = request.subprotocols().any(|name| name == "echo").then_some("echo");
    let accept = Accept::new().subprotocol(subprotocol);
    let config = Config::new().deflate(Deflate::new());
    handshake.accept(&accept, &config, move |mut ws| async move {
        let compressed = ws.deflate().is_some();
        println!("open: {version:?}, subprotocol {subprotocol:?}, compressed: {compressed}");
        while let Some(message) = ws.recv().await? {
            println!("message: {:.40}", message.as_text().unwrap_or("binary"));
            ws.feed(message)?;
        }
        println!("closed");
        Ok(())
    })
}

/// Says what came back.
const PAGE: &str = "<!doctype html>
<script>
    const ws = new WebSocket(`${location.origin.replace('http', 'ws')}/echo`, 'echo');
    ws.onopen = () => ws.send('hello from a page');
    ws.onmessage = ({ data }) => {
        document.write(`${data}, by ${ws.protocol} with ${ws.extensions}`);
        if (!data.startsWith('back: ')) ws.send(`back: ${data}`); else ws.close();
    };
</script>";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = Router::new().route("/", get(Html(PAGE))).route("/echo", any(echo));
    let listener = listen().await?;
    match (args().nth(2), args().nth(3)) {
        (Some(certificate), Some(key)) => serve_tls(listener, app, &certificate, &key).await,
        _ => {
            let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
            Ok(axum::serve(listener, app).await?)
        }
    }
}

async fn serve_tls(
    listener: TcpListener,
    app: Router,
    certificate: &str,
    key: &str,
) -> Result<(), Box<dyn Error>> {
    let certificates = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = TlsAcceptor::from(Arc::new(config));
    let mut http = auto::Builder::new(TokioExecutor::new());
    // without it no client asks for a WebSocket over HTTP/2; `axum::serve` has it on
    http.http2().enable_connect_protocol();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, http) = (tls.clone(), http.clone());
        let app = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            if let Ok(stream) = tls.accept(stream).await {
                let _ = http.serve_connection_with_upgrades(TokioIo::new(stream), app).await;
            }
        });
    }
}
