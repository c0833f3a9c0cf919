//! tokio-tungstenite; without compression.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::{CLOSE, Order, Outcome, burst, closed, fragments, pong_text};

pub async fn client(url: String) -> Outcome {
    let address = url.trim_start_matches("ws://").split('/').next().unwrap_or_default();
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (ws, _) = tokio_tungstenite::client_async(&url, stream).await?;
    talk(ws).await
}

pub async fn server(stream: TcpStream) -> Outcome {
    talk(tokio_tungstenite::accept_async(stream).await?).await
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut ws: WebSocketStream<S>) -> Outcome {
    let mut end: (u16, String) = (1005, String::new());
    while let Some(message) = ws.next().await {
        let message = message?;
        match &message {
            Message::Text(text) => match Order::of(text.as_bytes()) {
                Order::Burst => {
                    for text in burst() {
                        ws.send(text.into()).await?;
                    }
                }
                Order::Fragments => {
                    for (number, (piece, last)) in fragments().enumerate() {
                        let kind = if number == 0 { Data::Text } else { Data::Continue };
                        let frame = Frame::message(piece, OpCode::Data(kind), last);
                        ws.send(Message::Frame(frame)).await?;
                    }
                }
                Order::Ping => ws.send(Message::Ping("zoo".into())).await?,
                Order::Close => {
                    let frame = CloseFrame { code: CLOSE.0.into(), reason: CLOSE.1.into() };
                    ws.close(Some(frame)).await?;
                }
                Order::Echo => ws.send(message).await?,
            },
            Message::Binary(_) => ws.send(message).await?,
            Message::Pong(payload) => ws.send(pong_text(payload).into()).await?,
            Message::Close(Some(frame)) => end = (frame.code.into(), frame.reason.to_string()),
            _ => {}
        }
    }
    closed(end.0, &end.1);
    Ok(())
}
