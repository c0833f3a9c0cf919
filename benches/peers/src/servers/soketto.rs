//! `soketto` over buffered halves, as in its example.

use std::io;

use ::soketto::handshake::Server;
use ::soketto::handshake::server::Response;
use futures_util::io::{BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncReadCompatExt;

pub fn serve() -> io::Result<()> {
    super::on_tokio(echo)
}

async fn echo(stream: TcpStream) -> Option<()> {
    let mut server = Server::new(BufReader::new(BufWriter::new(stream.compat())));
    let key = server.receive_request().await.ok()?.key();
    server.send_response(&Response::Accept { key, protocol: None }).await.ok()?;
    let (mut sender, mut receiver) = server.into_builder().finish();
    let mut message = Vec::new();
    loop {
        message.clear();
        let data = receiver.receive_data(&mut message).await.ok()?;
        if data.is_text() {
            sender.send_text(std::str::from_utf8(&message).ok()?).await.ok()?;
        } else {
            sender.send_binary(&message).await.ok()?;
        }
        sender.flush().await.ok()?;
    }
}
