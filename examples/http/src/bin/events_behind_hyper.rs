//! The event server behind hyper, which has the port: an echo at `/echo`, over HTTP/1.1 and HTTP/2,
//! and a page of hyper's at `/`.
//!
//! ```text
//! cargo run --manifest-path examples/http/Cargo.toml --bin events_behind_hyper [ADDRESS]
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use http::Response;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use sansws::deflate::Deflate;
use sansws::handshake::server::Request;
use sansws::server::{Server, ServerHandle, handler_fn};
use sansws::{CloseCode, Config};
use sansws_http_examples::listen;
use tokio::signal::ctrl_c;

type Body = Full<Bytes>;

/// Answers a request: a page, or what the event server says.
async fn answer(
    mut request: http::Request<Incoming>,
    handle: ServerHandle,
    peer: SocketAddr,
) -> Response<Body> {
    if request.uri().path() == "/" {
        return Response::new(Body::from("a page of hyper's\n"));
    }
    let upgraded = hyper::upgrade::on(&mut request);
    let request = match Request::from_http(&request.into_parts().0, &Config::new()) {
        Ok(request) => request,
        Err(error) => return error.response().map(Body::from),
    };
    match handle.accept_request(request, peer, false).await {
        Ok(pending) => {
            let response = pending.response();
            tokio::spawn(async move {
                if let Ok(io) = upgraded.await {
                    pending.start(TokioIo::new(io), b"");
                }
            });
            response
        }
        Err(refusal) => refusal.into_http(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::detached()
        .route("/echo", handler_fn().on_message(|client, message| client.send(message)))
        .deflate(Deflate::new());
    let handle = server.handle();
    let running = tokio::spawn(server.run());
    let listener = listen().await?;
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http2().enable_connect_protocol();
    let accepting = async {
        loop {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (http, handle) = (http.clone(), handle.clone());
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let answer = answer(request, handle.clone(), peer);
                    async { Ok::<_, Infallible>(answer.await) }
                });
                let _ = http.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            });
        }
    };
    tokio::select! {
        ended = accepting => ended,
        ended = ctrl_c() => ended,
    }?;
    handle.shutdown(CloseCode::GOING_AWAY, "", Duration::from_secs(5)).await?;
    Ok(running.await??)
}
