//! A QUIC stream under a WebSocket: it is a stream of bytes like any other.
//!
//! `quinn ADDR CERTIFICATE KEY` serves; `quinn --client ADDR AUTHORITY [PATH]` asks. Each
//! bidirectional stream of a connection is a WebSocket. (RFC 9220 is something else: WebSockets of
//! HTTP/3.)

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, Incoming, ServerConfig, TransportConfig};
use runtimes::{Arguments, Failure, on_tokio, report, tls};

/// What both ends call this protocol: QUIC has no connection without a name for it.
const ALPN: &[u8] = b"websocket-bytes";

/// QUIC notices by itself that a peer is gone: none of its connections is idle that long.
fn transport() -> Result<Arc<TransportConfig>, Failure> {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_secs(10).try_into()?));
    transport.keep_alive_interval(Some(Duration::from_secs(3)));
    Ok(Arc::new(transport))
}

async fn serve(addr: SocketAddr, files: &[String]) -> Result<(), Failure> {
    let mut config = tls::server(files)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config)?));
    config.transport_config(transport()?);
    let endpoint = Endpoint::server(config, addr)?;
    println!("listening on {}", endpoint.local_addr()?);
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async { report(serve_connection(incoming).await) });
    }
    Ok(())
}

async fn serve_connection(incoming: Incoming) -> Result<(), Failure> {
    let connection = incoming.await?;
    // its end is an error here
    while let Ok((output, input)) = connection.accept_bi().await {
        let stream = tokio::io::join(input, output);
        tokio::spawn(async { report(on_tokio::serve(stream).await) });
    }
    Ok(())
}

async fn ask(addr: SocketAddr, more: &[String]) -> Result<(), Failure> {
    let mut config = tls::client(more)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(config)?));
    config.transport_config(transport()?);
    let endpoint = Endpoint::client("127.0.0.1:0".parse()?)?;
    let connection = endpoint.connect_with(config, addr, "localhost")?.await?;
    let (output, input) = connection.open_bi().await?;
    let url = format!("ws://localhost{}", more.get(1).map_or("/", |path| path));
    let asked = on_tokio::ask(tokio::io::join(input, output), &url).await;
    connection.close(0u32.into(), b"");
    endpoint.wait_idle().await; // the peer hears of it
    asked
}

fn main() -> ExitCode {
    runtimes::run(|Arguments { is_client, addr, more }| {
        let addr = addr.parse()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            if is_client { ask(addr, &more).await } else { serve(addr, &more).await }
        })
    })
}
