//! The handshake of the peers that leave HTTP to hyper. The socket comes back as it was before, so
//! that messages do not pay for the upgraded connection's dynamic dispatch.

use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Serves one request with `respond` and gives the socket back after the upgrade.
pub async fn accept<R>(stream: TcpStream, respond: R) -> Option<TcpStream>
where
    R: Fn(&mut Request<Incoming>) -> Option<Response<Empty<Bytes>>>,
{
    let upgrade = Mutex::new(None);
    let service = service_fn(|mut request: Request<Incoming>| {
        *upgrade.lock().expect("no panic") = request.extensions().get::<OnUpgrade>().cloned();
        let response = respond(&mut request);
        async { response.ok_or("refused") }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    connection.with_upgrades().await.ok()?;
    let upgraded = upgrade.into_inner().ok()??.await.ok()?;
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    // the load generator sends nothing before it has the answer
    parts.read_buf.is_empty().then(|| parts.io.into_inner())
}
