//! hyper as a server: an echo at every path.
//!
//! ```text
//! cargo run --manifest-path examples/http/Cargo.toml --bin hyper_server [ADDRESS]
//! ```

use std::convert::Infallible;
use std::io;

use http::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use sansws::Config;
use sansws::handshake::server::{Accept, AcceptError, Request};
use sansws::tokio::WebSocket;
use sansws_http_examples::{echo, listen};

/// Answers a request, and goes on with its stream if that has become a WebSocket.
fn answer(
    head: &http::request::Parts,
    upgraded: OnUpgrade,
) -> Result<Response<String>, AcceptError> {
    let config = Config::new();
    let request = Request::from_http(head, &config)?;
    // look at request.path(), request.is_same_origin(), request.subprotocols() here
    let upgrade = request.upgrade(&Accept::default(), &config)?;
    let response = upgrade.response();
    tokio::spawn(async move {
        if let Ok(io) = upgraded.await {
            // frames that came with the request are in `io`
            let _ = echo(WebSocket::from_upgrade(TokioIo::new(io), upgrade, b"")).await;
        }
    });
    Ok(response)
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = listen().await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(async |mut request: http::Request<Incoming>| {
            let upgraded = hyper::upgrade::on(&mut request);
            let (head, _) = request.into_parts();
            let response = answer(&head, upgraded).unwrap_or_else(|error| error.response());
            Ok::<_, Infallible>(response)
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection.with_upgrades());
    }
}
