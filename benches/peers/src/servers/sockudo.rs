//! `sockudo-ws` with its defaults; batched, messages are queued with `feed` and leave before the
//! next read waits; and its protocol layer driven directly, as its own benchmark server does it,
//! but with one write for all that one read brought.

use std::io;

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use sockudo_ws::handshake::server_handshake;
use sockudo_ws::protocol::{Message, Protocol};
use sockudo_ws::{Config, RECV_BUFFER_SIZE, Role, WebSocketStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub fn plain() -> io::Result<()> {
    super::on_tokio(|mut stream| async {
        server_handshake(&mut stream).await.ok()?;
        let mut ws = WebSocketStream::server(stream, Config::default());
        while let Some(Ok(message)) = ws.next().await {
            if message.is_text() || message.is_binary() {
                ws.send(message).await.ok()?;
            }
        }
        Some(())
    })
}

pub fn batched() -> io::Result<()> {
    super::on_tokio(|mut stream| async {
        server_handshake(&mut stream).await.ok()?;
        let mut ws = WebSocketStream::server(stream, Config::default());
        while let Some(Ok(message)) = ws.next().await {
            if message.is_text() || message.is_binary() {
                ws.feed(message).await.ok()?;
            }
        }
        Some(())
    })
}

pub fn protocol() -> io::Result<()> {
    super::on_tokio(drive)
}

async fn drive(mut stream: TcpStream) -> Option<()> {
    server_handshake(&mut stream).await.ok()?;
    let config = Config::default();
    let mut protocol = Protocol::new(Role::Server, config.max_frame_size, config.max_message_size);
    let mut input = BytesMut::with_capacity(RECV_BUFFER_SIZE);
    let mut output = BytesMut::with_capacity(RECV_BUFFER_SIZE);
    let mut messages = Vec::new();
    loop {
        if stream.read_buf(&mut input).await.ok()? == 0 {
            return Some(());
        }
        protocol.process_into(&mut input, &mut messages).ok()?;
        for message in messages.drain(..) {
            match &message {
                Message::Text(_) | Message::Binary(_) => {
                    protocol.encode_message(&message, &mut output).ok()?;
                }
                Message::Ping(data) => protocol.encode_pong(data, &mut output),
                Message::Pong(_) => {}
                Message::Close(_) => return Some(()),
            }
        }
        if !output.is_empty() {
            stream.write_all(&output).await.ok()?;
            output.clear();
        }
        // what its own stream keeps free, when the buffer is not big enough for the message
        input.reserve(RECV_BUFFER_SIZE);
    }
}
