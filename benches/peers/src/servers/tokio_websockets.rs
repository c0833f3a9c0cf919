//! `tokio-websockets` as in its own echo benchmark: no limits, no fragmentation, tasks without
//! tokio's budget; batched, the messages that are there are taken first (a poll for the next one
//! would flush), then queued with `feed` and flushed together, whatever their size.

use std::io;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::task::unconstrained;
use tokio_websockets::{Config, Limits, ServerBuilder, WebSocketStream};

pub fn plain() -> io::Result<()> {
    super::on_tokio(|stream| unconstrained(echo(stream)))
}

pub fn batched() -> io::Result<()> {
    super::on_tokio(|stream| unconstrained(echo_batches(stream)))
}

async fn echo(stream: TcpStream) -> Option<()> {
    let mut ws = accept(stream, config()).await?;
    while let Some(Ok(message)) = ws.next().await {
        if message.is_text() || message.is_binary() {
            ws.send(message).await.ok()?;
        }
    }
    Some(())
}

async fn echo_batches(stream: TcpStream) -> Option<()> {
    let mut ws = accept(stream, config().flush_threshold(256 * 1024)).await?;
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

fn config() -> Config {
    Config::default().frame_size(usize::MAX)
}

async fn accept(stream: TcpStream, config: Config) -> Option<WebSocketStream<TcpStream>> {
    let server = ServerBuilder::new().config(config).limits(Limits::unlimited());
    let (_request, ws) = server.accept(stream).await.ok()?;
    Some(ws)
}
