//! tokio-rustls: TLS that the program sets up itself, under a socket, under the event server, and
//! under both halves of a client.
//!
//! `tls_tokio ADDR CERTIFICATE KEY [events]` serves; `tls_tokio --client ADDR AUTHORITY` asks. For
//! the usual cases the feature `rustls` does this: `Server::tls`, and `wss://` in `connect`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use runtimes::{Arguments, Failure, config, messages, on_tokio, report, sum_up, tls};
use sansws::CloseCode;
use sansws::handshake::client::Request;
use sansws::server::{ExternalStream, Server, handler_fn};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, server::TlsStream};

/// For the handshake of TLS; that of the WebSocket has its own.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

async fn accept_tls(
    acceptor: TlsAcceptor,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, Failure> {
    tcp.set_nodelay(true)?;
    Ok(timeout(TLS_TIMEOUT, acceptor.accept(tcp)).await??)
}

async fn serve(addr: &str, more: &[String]) -> Result<(), Failure> {
    let acceptor = TlsAcceptor::from(Arc::new(tls::server(more)?));
    let listener = TcpListener::bind(addr).await?;
    println!("listening on wss://{}", listener.local_addr()?);
    if more.iter().any(|word| word == "events") {
        return serve_events(listener, acceptor).await;
    }
    loop {
        let (tcp, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        let serve =
            async { Ok::<_, Failure>(on_tokio::serve(accept_tls(acceptor, tcp).await?).await?) };
        tokio::spawn(async { report(serve.await) });
    }
}

/// Hands the streams to an event server.
async fn serve_events(listener: TcpListener, acceptor: TlsAcceptor) -> Result<(), Failure> {
    let echo = handler_fn().on_message(|client, message| client.send(message));
    let server = Server::detached().config(config()).route("/", echo);
    let handle = server.handle();
    tokio::spawn(server.run());
    loop {
        let (tcp, peer) = listener.accept().await?;
        let (acceptor, handle) = (acceptor.clone(), handle.clone());
        let serve = async move {
            let tls = accept_tls(acceptor, tcp).await?;
            Ok::<_, Failure>(handle.accept(ExternalStream::new(tls, peer).secure(true))?)
        };
        tokio::spawn(async { report(serve.await) });
    }
}

/// One task sends while another receives.
async fn ask(addr: &str, more: &[String]) -> Result<(), Failure> {
    let connector = TlsConnector::from(Arc::new(tls::client(more)?));
    let tcp = TcpStream::connect(addr).await?;
    tcp.set_nodelay(true)?;
    let tls = timeout(TLS_TIMEOUT, connector.connect(tls::name(), tcp)).await??;
    let ws = sansws::tokio::client(tls, &Request::new("wss://localhost/")?, &config()).await?;
    let (mut receiver, sender) = ws.split();
    let writer = sender.clone();
    let sending = tokio::spawn(async move {
        for message in messages() {
            if writer.send(message).await.is_err() {
                break; // the other task hears why
            }
        }
    });
    let mut came_back = 0;
    for message in messages() {
        match receiver.recv().await? {
            Some(echo) => came_back += usize::from(echo == message),
            None => break,
        }
    }
    sending.await?;
    if came_back == messages().len() {
        sender.close(CloseCode::NORMAL, "").await?;
        while receiver.recv().await?.is_some() {}
    }
    sum_up(came_back, receiver.close_info());
    Ok(())
}

fn main() -> ExitCode {
    runtimes::run(|Arguments { is_client, addr, more }| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            if is_client { ask(&addr, &more).await } else { serve(&addr, &more).await }
        })
    })
}
