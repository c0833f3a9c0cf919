//! `fastwebsockets` as in its own echo server: hyper's upgrade, fragments collected, tasks without
//! tokio's budget. It flushes every frame; there is nothing to batch with.

use std::io;

use ::fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket, upgrade};
use tokio::task::unconstrained;

pub fn serve() -> io::Result<()> {
    super::on_tokio(|stream| {
        unconstrained(async {
            let stream = super::upgrade::accept(stream, |request| {
                let (response, _upgraded) = upgrade::upgrade(request).ok()?;
                Some(response)
            });
            let stream = stream.await?;
            let mut ws = FragmentCollector::new(WebSocket::after_handshake(stream, Role::Server));
            loop {
                let frame = ws.read_frame().await.ok()?;
                match frame.opcode {
                    OpCode::Close => return Some(()),
                    OpCode::Text | OpCode::Binary => ws.write_frame(frame).await.ok()?,
                    _ => {}
                }
            }
        })
    })
}
