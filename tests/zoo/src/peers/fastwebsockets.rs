//! fastwebsockets, whose handshakes are hyper's; without compression.

use std::convert::Infallible;

use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, WebSocket, WebSocketError};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;

use super::{CLOSE, Order, Outcome, burst, closed, fragments, pong_text};

/// Runs hyper's side of a connection.
struct Executor;

impl<F: Future<Output: Send + 'static> + Send + 'static> hyper::rt::Executor<F> for Executor {
    fn execute(&self, future: F) {
        tokio::spawn(future);
    }
}

pub async fn client(url: String) -> Outcome {
    let address = url.trim_start_matches("ws://").split('/').next().unwrap_or_default();
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = Request::get(url.replace("ws:", "http:"))
        .header(HOST, address)
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "upgrade")
        .header("Sec-WebSocket-Key", fastwebsockets::handshake::generate_key())
        .header("Sec-WebSocket-Version", "13")
        .body(Empty::<Bytes>::new())?;
    let (ws, _) = fastwebsockets::handshake::client(&Executor, request, stream).await?;
    talk(ws).await
}

pub async fn server(stream: TcpStream) -> Outcome {
    let (sender, mut upgrades) = unbounded_channel::<UpgradeFut>();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (response, upgraded) = upgrade(&mut request).expect("a handshake");
        let _ = sender.send(upgraded); // its receiver is below
        async { Ok::<Response<Empty<Bytes>>, Infallible>(response) }
    });
    let http = hyper::server::conn::http1::Builder::new();
    http.serve_connection(TokioIo::new(stream), service).with_upgrades().await?;
    let upgraded = upgrades.recv().await.ok_or("no upgrade")?;
    talk(upgraded.await?).await
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(ws: WebSocket<S>) -> Outcome {
    let mut ws = FragmentCollector::new(ws);
    let text = |text: String| Frame::text(Payload::Owned(text.into_bytes()));
    loop {
        let frame = match ws.read_frame().await {
            // the answer to our Close, or the end of the stream, after which it reads on
            Err(WebSocketError::ConnectionClosed) => break,
            frame => frame?,
        };
        match frame.opcode {
            OpCode::Text | OpCode::Binary => match Order::of(&frame.payload) {
                Order::Burst => {
                    for message in burst() {
                        ws.write_frame(text(message)).await?;
                    }
                }
                Order::Fragments => {
                    for (number, (piece, last)) in fragments().enumerate() {
                        let kind = if number == 0 { OpCode::Text } else { OpCode::Continuation };
                        let payload = Payload::Owned(piece.into_bytes());
                        ws.write_frame(Frame::new(last, kind, None, payload)).await?;
                    }
                }
                Order::Ping => {
                    ws.write_frame(Frame::new(true, OpCode::Ping, None, Payload::Borrowed(b"zoo")))
                        .await?;
                }
                Order::Close => ws.write_frame(Frame::close(CLOSE.0, CLOSE.1.as_bytes())).await?,
                Order::Echo => {
                    ws.write_frame(Frame::new(true, frame.opcode, None, frame.payload)).await?;
                }
            },
            OpCode::Pong => ws.write_frame(text(pong_text(&frame.payload))).await?,
            OpCode::Close => {
                // it has answered, unless it began
                if let Some((code, reason)) = frame.payload.split_at_checked(2) {
                    let code = u16::from_be_bytes([code[0], code[1]]);
                    closed(code, &String::from_utf8_lossy(reason));
                } else {
                    closed(1005, "");
                }
                return Ok(());
            }
            _ => {}
        }
    }
    closed(1006, "");
    Ok(())
}
