//! `tokio-tungstenite` with its defaults; batched, the messages that are there are queued with
//! `feed` and flushed together; tuned, the buffers are small, for idle connections.

use std::io;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{accept_async, accept_async_with_config};

pub fn plain() -> io::Result<()> {
    super::on_tokio(|stream| echo(stream, None))
}

pub fn tuned() -> io::Result<()> {
    let config = WebSocketConfig::default().read_buffer_size(4096);
    super::on_tokio(move |stream| echo(stream, Some(config)))
}

/// With a handler that computes.
pub fn computing() -> io::Result<()> {
    super::on_tokio(|stream| async {
        let mut ws = accept_async(stream).await.ok()?;
        while let Some(Ok(message)) = ws.next().await {
            if message.is_text() || message.is_binary() {
                super::compute();
                ws.send(message).await.ok()?;
            }
        }
        Some(())
    })
}

async fn echo(stream: TcpStream, config: Option<WebSocketConfig>) -> Option<()> {
    let mut ws = accept_async_with_config(stream, config).await.ok()?;
    while let Some(Ok(message)) = ws.next().await {
        if message.is_text() || message.is_binary() {
            ws.send(message).await.ok()?;
        }
    }
    None
}

pub fn batched() -> io::Result<()> {
    super::on_tokio(echo_batches)
}

async fn echo_batches(stream: TcpStream) -> Option<()> {
    let mut ws = accept_async(stream).await.ok()?;
    let mut messages = Vec::new();
    loop {
        super::take_ready(&mut ws, &mut messages).await;
        if messages.is_empty() {
            return Some(());
        }
        for message in messages.drain(..) {
            let message = message.ok()?;
            if message.is_text() || message.is_binary() {
                ws.feed(message).await.ok()?;
            }
        }
        ws.flush().await.ok()?;
    }
}
