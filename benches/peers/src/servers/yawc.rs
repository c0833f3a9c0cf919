//! `yawc`: plain with its defaults, and tuned as for its own comparison (128 KiB read buffer,
//! 64 KiB write boundary, up to 32 ready messages before a flush). In both UTF-8 is checked, which
//! is off by default and not optional in RFC 6455, and the limits let 1 MiB pass.

use std::io;

use ::yawc::{Frame, HttpStream, OpCode, Options, Role, WebSocket};
use futures_util::SinkExt;
use tokio::net::TcpStream;

fn options() -> Options {
    Options::default().with_utf8().with_limits(16 << 20, 32 << 20)
}

pub fn plain() -> io::Result<()> {
    super::on_tokio(echo)
}

pub fn batched() -> io::Result<()> {
    super::on_tokio(echo_batches)
}

async fn echo(stream: TcpStream) -> Option<()> {
    let mut ws = accept(stream, options()).await?;
    loop {
        let frame = ws.next_frame().await.ok()?;
        if is_data(&frame) {
            ws.send(frame).await.ok()?;
        }
    }
}

async fn echo_batches(stream: TcpStream) -> Option<()> {
    let options =
        options().with_read_buffer_capacity(128 * 1024).with_backpressure_boundary(64 * 1024);
    let mut ws = accept(stream, options).await?;
    let mut frames = Vec::new();
    loop {
        super::take_ready(&mut ws, &mut frames).await;
        if frames.is_empty() {
            return Some(());
        }
        for frame in frames.drain(..) {
            if is_data(&frame) {
                ws.feed(frame).await.ok()?;
            }
        }
        ws.flush().await.ok()?;
    }
}

fn is_data(frame: &Frame) -> bool {
    matches!(frame.opcode(), OpCode::Text | OpCode::Binary)
}

async fn accept(stream: TcpStream, options: Options) -> Option<WebSocket<TcpStream>> {
    let handshake = options.clone();
    let stream = super::upgrade::accept(stream, |request| {
        let (response, _upgraded) =
            WebSocket::<HttpStream>::upgrade_with_options(request, handshake.clone()).ok()?;
        Some(response)
    });
    WebSocket::from_stream(stream.await?, Role::Server, options).ok()
}
