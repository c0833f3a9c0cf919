//! `tungstenite`, blocking, a thread for each connection, as its README and examples do it.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::thread;

pub fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    super::announce(listener.local_addr()?)?;
    for stream in listener.incoming().flatten() {
        // the stack that our blocking example has
        let spawned = thread::Builder::new().stack_size(256 * 1024).spawn(|| echo(stream));
        drop(spawned);
    }
    Ok(())
}

fn echo(stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut ws = tungstenite::accept(stream).ok()?;
    loop {
        let message = ws.read().ok()?;
        if message.is_text() || message.is_binary() {
            ws.send(message).ok()?;
        }
    }
}
