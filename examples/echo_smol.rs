//! An echo server and its client on smol: the core on another runtime than tokio.
//!
//! `cargo run --example echo_smol -- [ADDR]` serves, and prints its address. With `--client ADDR`
//! it sends some messages there, and says whether they came back.

use std::error::Error;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::endpoint::{Endpoint, EndpointError, Step};
use sansws::handshake::{client::Request, server::Accept};
use sansws::{Config, Event, KeepAlive};
use smol::{Async, Timer, future};

/// The steps after which other tasks have their turn.
const TURN: usize = 32;

/// Goes on to the end of the connection. `on_event` gets the events, `None` for its beginning.
async fn run(
    stream: &Async<TcpStream>,
    mut endpoint: Endpoint,
    mut tx: SendBuffer,
    mut on_event: impl FnMut(Option<Event<'_>>, &mut Endpoint, &mut SendBuffer),
) -> Result<(), EndpointError> {
    let (mut rx, start) = (RecvBuffer::new(), Instant::now());
    for step in 1.. {
        if step % TURN == 0 {
            future::yield_now().await;
        }
        match endpoint.step(&mut rx, &mut tx) {
            // that reading or writing failed shows in the result
            Step::Write => drop(endpoint.write_to(&mut tx, &mut stream.get_ref())),
            Step::Read { until } => {
                if let Ok(false) = endpoint.read_from(&mut rx, &mut stream.get_ref()) {
                    wait(stream, true, !tx.is_empty(), until.map(|until| start + until)).await;
                    endpoint.handle_timeout(start.elapsed(), &mut tx);
                }
            }
            Step::Wait { until } => {
                wait(stream, false, true, until.map(|until| start + until)).await;
                endpoint.handle_timeout(start.elapsed(), &mut tx);
            }
            Step::Again => future::yield_now().await,
            Step::ShutdownWrite => {
                let _ = stream.get_ref().shutdown(Shutdown::Write);
                endpoint.note_shut_down();
            }
            Step::Request(request) => {
                drop(endpoint.accept(request, &Accept::default(), &mut tx));
                on_event(None, &mut endpoint, &mut tx);
            }
            Step::Response(_) => on_event(None, &mut endpoint, &mut tx),
            Step::Event(event) => on_event(Some(event), &mut endpoint, &mut tx),
            Step::Close(result) => return result,
        }
    }
    Ok(())
}

/// Waits until the stream is ready, or the time has come.
async fn wait(stream: &Async<TcpStream>, read: bool, write: bool, until: Option<Instant>) {
    let readable =
        async { if read { drop(stream.readable().await) } else { future::pending().await } };
    let writable =
        async { if write { drop(stream.writable().await) } else { future::pending().await } };
    let timer = async {
        until.map_or_else(Timer::never, Timer::at).await;
    };
    future::or(future::or(readable, writable), timer).await;
}

async fn serve(addr: &str) -> Result<(), Box<dyn Error>> {
    let listener = Async::<TcpListener>::bind(addr.parse::<std::net::SocketAddr>()?)?;
    println!("listening on ws://{}", listener.get_ref().local_addr()?);
    let config = Config::new().keep_alive(KeepAlive::Every(Duration::from_secs(20)));
    loop {
        let (stream, _) = listener.accept().await?;
        let endpoint = Endpoint::server(&config);
        let echo = async move {
            stream.get_ref().set_nodelay(true).ok();
            let result = run(&stream, endpoint, SendBuffer::new(), |event, endpoint, tx| {
                if let Some(message) = event.and_then(Event::into_message_ref) {
                    let _ = endpoint.feed(tx, message); // refused only after a Close
                }
            });
            if let Err(failure) = result.await {
                eprintln!("{failure}");
            }
        };
        smol::spawn(echo).detach();
    }
}

async fn ask(addr: &str) -> Result<(), Box<dyn Error>> {
    let (request, mut tx) = (Request::new(&format!("ws://{addr}"))?, SendBuffer::new());
    let endpoint = Endpoint::client(&request, Endpoint::random_seed()?, &Config::new(), &mut tx)?;
    let stream = Async::<TcpStream>::connect(addr.parse::<std::net::SocketAddr>()?).await?;
    let long = "x".repeat(1 << 20);
    let (messages, mut echoed) = (["Hello", "", &long], 0);
    run(&stream, endpoint, tx, |event, endpoint, tx| match event {
        None => messages.iter().for_each(|text| endpoint.feed(tx, *text).unwrap()),
        Some(Event::Text(text)) => {
            echoed += usize::from(*text == *messages[echoed]);
            if echoed == messages.len() {
                endpoint.close(tx, None).unwrap();
            }
        }
        Some(_) => {}
    })
    .await?;
    println!("{echoed} of {} came back", messages.len());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        [] => smol::block_on(serve("127.0.0.1:9001")),
        ["--client", addr] => smol::block_on(ask(addr)),
        [addr] => smol::block_on(serve(addr)),
        _ => Err("usage: echo_smol [ADDR] | --client ADDR".into()),
    }
}
