//! The way between a server and its broker, which can be cut: nothing passes, and nobody is told.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Proxy {
    pub addr: SocketAddr,
    open: watch::Sender<bool>,
}

impl Proxy {
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (open, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((here, _)) = listener.accept().await {
                tokio::spawn(connect(here, to, state.clone()));
            }
        });
        Self { addr, open }
    }

    /// Cuts the way, or mends it: what was sent meanwhile comes late then, as by TCP it does.
    pub fn cut(&self, cut: bool) {
        self.open.send_replace(!cut);
    }
}

async fn connect(here: TcpStream, to: SocketAddr, mut state: watch::Receiver<bool>) {
    if state.wait_for(|open| *open).await.is_err() {
        return;
    }
    let Ok(there) = TcpStream::connect(to).await else { return };
    let _ = (here.set_nodelay(true), there.set_nodelay(true));
    let ((from_here, to_here), (from_there, to_there)) = (here.into_split(), there.into_split());
    tokio::spawn(pass(from_here, to_there, state.clone()));
    pass(from_there, to_here, state).await;
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        // also what was read before the cut: it is on its way
        if state.wait_for(|open| *open).await.is_err()
            || to.write_all(&buffer[..len]).await.is_err()
        {
            return;
        }
    }
    let _ = state.wait_for(|open| *open).await; // nor does an end pass
}
