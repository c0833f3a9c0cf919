//! tokio-websockets; without compression, and with messages in frames of 16 KiB.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, CloseCode, Config, Message, ServerBuilder, WebSocketStream};

use super::{CLOSE, Order, Outcome, burst, closed, fragments, pong_text};

pub async fn client(url: String) -> Outcome {
    let (ws, _) = ClientBuilder::new().uri(&url)?.config(config()).connect().await?;
    talk(ws).await
}

pub async fn server(stream: TcpStream) -> Outcome {
    let (_, ws) = ServerBuilder::new().config(config()).accept(stream).await?;
    talk(ws).await
}

fn config() -> Config {
    Config::default().frame_size(16 * 1024)
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut ws: WebSocketStream<S>) -> Outcome {
    let mut end: (u16, String) = (1005, String::new());
    while let Some(message) = ws.next().await {
        let message = message?;
        if let Some((code, reason)) = message.as_close() {
            end = (code.into(), reason.to_owned());
        } else if message.is_pong() {
            ws.send(Message::text(pong_text(message.as_payload()))).await?;
        } else if message.is_binary() {
            ws.send(message).await?;
        } else if message.is_text() {
            match Order::of(message.as_payload()) {
                Order::Burst => {
                    for text in burst() {
                        ws.send(Message::text(text)).await?;
                    }
                }
                Order::Fragments => {
                    let text: String = fragments().map(|(piece, _)| piece).collect();
                    ws.send(Message::text(text)).await?;
                }
                Order::Ping => ws.send(Message::ping("zoo")).await?,
                Order::Close => {
                    let code = CloseCode::try_from(CLOSE.0)?;
                    ws.send(Message::close(Some(code), CLOSE.1)).await?;
                }
                Order::Echo => ws.send(message).await?,
            }
        }
    }
    closed(end.0, &end.1);
    Ok(())
}
