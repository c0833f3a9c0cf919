//! rustls on blocking sockets, with one thread for a connection and with two.
//!
//! `tls_blocking ADDR CERTIFICATE KEY [split]` serves; `tls_blocking --client ADDR AUTHORITY
//! [split]` asks. With `split`, one thread receives and another sends, and neither waits for the
//! other.

use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use runtimes::{Arguments, Failure, config, messages, on_blocking, refusal, report, sum_up, tls};
use rustls::{ClientConnection, ServerConfig, ServerConnection};
use sansws::CloseCode;
use sansws::blocking::{TlsStream, client, read_request};
use sansws::handshake::{client::Request, server::Accept};

/// For the handshake of TLS; that of the WebSocket has its own.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// What may wait between the threads: with more than that the receiving one waits for the other.
const MESSAGES: usize = 4;

fn serve_connection(tcp: TcpStream, config: Arc<ServerConfig>, split: bool) -> Result<(), Failure> {
    tcp.set_nodelay(true)?;
    let stream = TlsStream::handshake(tcp, ServerConnection::new(config)?, TLS_TIMEOUT)?;
    if split { echo_in_two_threads(stream) } else { Ok(on_blocking::serve(stream)?) }
}

fn echo_in_two_threads(stream: TlsStream) -> Result<(), Failure> {
    let incoming = read_request(stream, &config())?;
    if let Some(reject) = refusal(incoming.request()) {
        return Ok(incoming.reject(&reject)?);
    }
    let (mut receiver, sender) = incoming.accept(&Accept::default())?.split();
    let (queue, messages) = mpsc::sync_channel(MESSAGES);
    thread::scope(|scope| {
        // it ends when there is nobody to receive any more, or nobody to send to
        scope.spawn(move || messages.iter().try_for_each(|message| sender.send(message)));
        while let Some(message) = receiver.recv()? {
            if queue.send(message).is_err() {
                break;
            }
        }
        drop(queue);
        Ok(())
    })
}

fn serve(addr: &str, files: &[String], split: bool) -> Result<(), Failure> {
    let config = Arc::new(tls::server(files)?);
    let listener = TcpListener::bind(addr)?;
    println!("listening on wss://{}", listener.local_addr()?);
    loop {
        let (tcp, _) = listener.accept()?;
        let config = config.clone();
        thread::spawn(move || report(serve_connection(tcp, config, split)));
    }
}

fn ask(addr: &str, files: &[String], split: bool) -> Result<(), Failure> {
    let config = Arc::new(tls::client(files)?);
    let tcp = TcpStream::connect(addr)?;
    tcp.set_nodelay(true)?;
    let state = ClientConnection::new(config, tls::name())?;
    let stream = TlsStream::handshake(tcp, state, TLS_TIMEOUT)?;
    let url = "wss://localhost/";
    if split { ask_in_two_threads(stream, url) } else { on_blocking::ask(stream, url) }
}

fn ask_in_two_threads(stream: TlsStream, url: &str) -> Result<(), Failure> {
    let ws = client(stream, &Request::new(url)?, &config())?;
    let (mut receiver, sender) = ws.split();
    let mut came_back = 0;
    thread::scope(|scope| {
        let sender = &sender;
        // the other thread hears why it fails
        scope.spawn(move || messages().iter().try_for_each(|message| sender.send(message)));
        for message in messages() {
            match receiver.recv()? {
                Some(echo) => came_back += usize::from(echo == message),
                None => break,
            }
        }
        if came_back == messages().len() {
            sender.close(CloseCode::NORMAL, "")?;
            while receiver.recv()?.is_some() {}
        }
        Ok::<_, Failure>(())
    })?;
    sum_up(came_back, receiver.close_info());
    Ok(())
}

fn main() -> ExitCode {
    runtimes::run(|Arguments { is_client, addr, more }| {
        let split = more.iter().any(|word| word == "split");
        if is_client { ask(&addr, &more, split) } else { serve(&addr, &more, split) }
    })
}
