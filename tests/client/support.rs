use core::future::Future;
use core::time::Duration;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use sansws::Error;
use sansws::blocking;
use sansws::client::Connector;
#[cfg(feature = "rustls")]
use sansws::tokio::{ClientStream, WebSocket};

/// Bounds a wait that should be short.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it takes too long")
}

/// The two adapters.
#[derive(Clone, Copy, Debug)]
pub enum Adapter {
    Tokio,
    Blocking,
}

pub const BOTH: [Adapter; 2] = [Adapter::Tokio, Adapter::Blocking];

impl Adapter {
    /// Connects, sends a text, and returns the text that comes back.
    pub async fn ask(self, connector: &Connector) -> Result<String, Error> {
        let connector = connector.clone();
        match self {
            Self::Tokio => {
                let mut ws = within(connector.connect()).await?;
                ws.send("hello").await?;
                let answer = within(ws.recv()).await?.unwrap();
                within(ws.close(sansws::CloseCode::NORMAL, "")).await?;
                Ok(answer.as_text().unwrap().to_string())
            }
            Self::Blocking => {
                within_thread(move || {
                    let mut ws = connector.connect_blocking()?;
                    ws.send("hello")?;
                    let answer = ws.recv()?.unwrap();
                    ws.close(sansws::CloseCode::NORMAL, "")?;
                    Ok(answer.as_text().unwrap().to_string())
                })
                .await
            }
        }
    }

    /// Connects, and returns why that failed.
    pub async fn fails(self, connector: &Connector) -> Error {
        match self.ask(connector).await {
            Ok(answer) => panic!("{self:?} is connected: {answer:?}"),
            Err(error) => error,
        }
    }
}

/// Runs a blocking part of a test in a thread.
pub async fn within_thread<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    within(tokio::task::spawn_blocking(act)).await.unwrap()
}

/// Sends everything back until the peer closes.
#[cfg(feature = "rustls")]
pub async fn echo(mut ws: WebSocket<ClientStream>) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}

/// The same without a runtime.
#[cfg(feature = "rustls")]
pub fn echo_blocking(mut ws: blocking::WebSocket<blocking::ClientStream>) -> Result<(), Error> {
    while let Some(message) = ws.recv()? {
        ws.send(message)?;
    }
    Ok(())
}

/// Reads the head of a request, and not a byte more.
pub fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            break; // nobody that sends a head, or nobody at all
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Accepts a WebSocket, of which the head was read already, and sends everything back.
pub fn echo_plain(stream: TcpStream, head: String) {
    let config = sansws::Config::new();
    let Ok(mut ws) = blocking::accept_with_prefix(stream, head.as_bytes(), &config) else { return };
    while let Ok(Some(message)) = ws.recv() {
        if ws.send(message).is_err() {
            return;
        }
    }
}

/// A server that does this with each connection, in a thread for each.
pub fn serve(each: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let each = std::sync::Arc::new(each);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = std::sync::Arc::clone(&each);
            thread::spawn(move || each(stream));
        }
    });
    addr
}
