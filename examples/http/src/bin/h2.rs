//! WebSockets over HTTP/2 (RFC 8441) with the crate `h2`, both roles, without TLS.
//!
//! ```text
//! cargo run --manifest-path examples/http/Cargo.toml --bin h2 [ADDRESS]
//! cargo run --manifest-path examples/http/Cargo.toml --bin h2 ws://ADDRESS/
//! ```
//!
//! The first is a server, an echo at every path; the second sends a message to one, and shows what
//! comes back.

use std::env::args;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Ping, RecvStream, SendStream, client, server};
use hyper::body::Bytes;
use sansws::handshake::HandshakeError;
use sansws::handshake::client::Request as ClientRequest;
use sansws::handshake::server::{Accept, AcceptError, Request, Upgrade};
use sansws::tokio::WebSocket;
use sansws::{CloseCode, Config};
use sansws_http_examples::{echo, listen};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A stream of HTTP/2 as a stream of bytes. Dropping it before it has ended resets it, as RFC 8441
/// §5 wants it: by RST_STREAM with CANCEL.
struct Stream {
    recv: RecvStream,
    send: SendStream<Bytes>,
    /// What of a DATA frame has not been read.
    rest: Bytes,
}

impl Stream {
    fn new(recv: RecvStream, send: SendStream<Bytes>) -> Self {
        Self { recv, send, rest: Bytes::new() }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.recv.poll_data(cx)) {
                Some(data) => self.rest = data.map_err(io::Error::other)?,
                None => return Poll::Ready(Ok(())), // END_STREAM
            }
        }
        let n = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest.split_to(n));
        let released = self.recv.flow_control().release_capacity(n);
        Poll::Ready(released.map_err(io::Error::other))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.send.reserve_capacity(buf.len());
        // `poll_capacity` tells of more than there was
        while self.send.capacity() == 0 {
            match ready!(self.send.poll_capacity(cx)) {
                Some(capacity) => capacity.map_err(io::Error::other)?,
                None => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
            };
        }
        let n = self.send.capacity().min(buf.len());
        let sent = self.send.send_data(Bytes::copy_from_slice(&buf[..n]), false);
        Poll::Ready(sent.map(|()| n).map_err(io::Error::other))
    }

    /// The task of the connection writes.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// RFC 8441 §5: "Orderly TCP-level closures are represented as END_STREAM flags".
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.send.send_data(Bytes::new(), true).map_err(io::Error::other))
    }
}

fn accept(head: &http::request::Parts) -> std::result::Result<Upgrade, AcceptError> {
    if head.extensions.get::<Protocol>().is_some_and(|it| it.as_str() != "websocket") {
        return Err(HandshakeError::UnsupportedProtocol.into());
    }
    let config = Config::new();
    let request = Request::from_http(head, &config)?;
    request.upgrade(&Accept::default(), &config)
}

async fn answer(
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<()> {
    let (head, recv) = request.into_parts();
    match accept(&head) {
        Ok(upgrade) => {
            let send = respond.send_response(upgrade.response(), false)?;
            echo(WebSocket::from_upgrade(Stream::new(recv, send), upgrade, b"")).await?;
        }
        Err(error) => {
            let (head, text) = error.response().into_parts();
            let response = http::Response::from_parts(head, ());
            respond.send_response(response, false)?.send_data(text.into(), true)?;
        }
    }
    Ok(())
}

async fn serve(stream: TcpStream) -> Result<()> {
    let mut http = server::Builder::new();
    let mut connection = http.enable_connect_protocol().handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        tokio::spawn(answer(request, respond));
    }
    Ok(())
}

async fn open(url: &str) -> Result<WebSocket<Stream>> {
    let request = ClientRequest::new(url)?;
    let stream = TcpStream::connect((request.host(), request.port())).await?;
    stream.set_nodelay(true)?;
    let (http, mut connection) = client::handshake(stream).await?;
    let mut ping = connection.ping_pong().ok_or("a connection has one")?;
    tokio::spawn(connection);
    // the settings of the server come before its answer
    ping.ping(Ping::opaque()).await?;
    let mut http = http.ready().await?;
    if !http.is_extended_connect_protocol_enabled() {
        return Err("the server takes no WebSockets over HTTP/2".into());
    }
    let offer = request.offer_connect(&Config::new())?;
    let mut connect = offer.request()?;
    connect.extensions_mut().insert(Protocol::from_static("websocket"));
    let (response, send) = http.send_request(connect, false)?;
    let response = response.await?;
    let accepted = offer.confirm_http(&response)?.into_result()?;
    Ok(WebSocket::from_accepted(Stream::new(response.into_body(), send), accepted, b"")?)
}

#[tokio::main]
async fn main() -> Result<()> {
    if let Some(url) = args().nth(1).filter(|it| it.starts_with("ws://")) {
        let mut ws = open(&url).await?;
        ws.send("hello").await?;
        println!("{:?}", ws.recv().await?);
        ws.close(CloseCode::NORMAL, "").await?;
        return Ok(());
    }
    let listener = listen().await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream));
    }
}
