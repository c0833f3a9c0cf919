use core::future::Future;
use core::time::Duration;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use sansws::Error;
use sansws::blocking;
use sansws::client::Connector;
use sansws::tokio::{ClientStream, WebSocket};

/// Bounds a wait that should be short.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
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
pub async fn echo(mut ws: WebSocket<ClientStream>) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}

/// The same without a runtime.
pub fn echo_blocking(mut ws: blocking::WebSocket<blocking::ClientStream>) -> Result<(), Error> {
    while let Some(message) = ws.recv()? {
        ws.send(message)?;
    }
    Ok(())
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
