//! hyper as a client: sends a message, and shows what comes back.
//!
//! ```text
//! cargo run --manifest-path examples/http/Cargo.toml --bin hyper_client URL [PROXY]
//! ```
//!
//! With a proxy (`HOST:PORT`) it goes through a tunnel that hyper opens there by CONNECT.

use std::env::args;
use std::error::Error;

use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sansws::handshake::client::{Offer, Request};
use sansws::tokio::WebSocket;
use sansws::{CloseCode, Config};
use tokio::net::TcpStream;

/// Opens a WebSocket on a stream to the server.
async fn open<S>(io: S, request: &Request) -> Result<WebSocket<TokioIo<Upgraded>>, Box<dyn Error>>
where
    S: Read + Write + Send + Unpin + 'static,
{
    let (mut http, connection) = http1::handshake(io).await?;
    tokio::spawn(connection.with_upgrades());
    let offer = request.offer(Offer::random_nonce()?, &Config::new())?;
    let response = http.send_request(offer.request::<String>()?).await?;
    let accepted = offer.confirm_http(&response)?.into_result()?;
    let io = hyper::upgrade::on(response).await?;
    // frames that came with the response are in `io`
    Ok(WebSocket::from_accepted(TokioIo::new(io), accepted, b"")?)
}

/// Opens a tunnel to the server.
async fn tunnel(proxy: &str, request: &Request) -> Result<Upgraded, Box<dyn Error>> {
    let stream = TcpStream::connect(proxy).await?;
    let (mut http, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let server = format!("{}:{}", request.host(), request.port());
    let connect = http::Request::connect(&server).header("Host", &server).body(String::new())?;
    let response = http.send_request(connect).await?;
    if !response.status().is_success() {
        return Err(format!("the proxy answers {}", response.status()).into());
    }
    Ok(hyper::upgrade::on(response).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = args().nth(1).ok_or("usage: hyper_client URL [PROXY]")?;
    let request = Request::new(&url)?;
    let mut ws = match args().nth(2) {
        Some(proxy) => open(tunnel(&proxy, &request).await?, &request).await?,
        None => {
            let stream = TcpStream::connect((request.host(), request.port())).await?;
            stream.set_nodelay(true)?;
            open(TokioIo::new(stream), &request).await?
        }
    };
    ws.send("hello").await?;
    println!("{:?}", ws.recv().await?);
    ws.close(CloseCode::NORMAL, "").await?;
    Ok(())
}
