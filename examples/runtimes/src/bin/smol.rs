//! smol, on the core: readiness and timers of any runtime for futures, and no other runtime beside
//! it.
//!
//! `smol [ADDR]` serves; `smol --client ADDR` asks.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Instant;

use runtimes::on_endpoint::{self, Talk};
use runtimes::{Arguments, Failure, report};
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::endpoint::{Endpoint, EndpointError, Step};
use smol::{Async, Timer, future};

/// The steps after which other tasks have their turn.
const TURN: usize = 32;

/// Goes on to the end of the connection.
async fn drive(
    stream: &Async<TcpStream>,
    endpoint: &mut Endpoint,
    mut tx: SendBuffer,
    talk: &mut Talk,
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
            // the peer is slow: nothing more is read before it takes what it has asked for
            Step::Wait { until } => {
                wait(stream, false, true, until.map(|until| start + until)).await;
                endpoint.handle_timeout(start.elapsed(), &mut tx);
            }
            Step::Again => future::yield_now().await,
            Step::ShutdownWrite => {
                let _ = stream.get_ref().shutdown(Shutdown::Write);
                endpoint.note_shut_down();
            }
            Step::Request(request) => drop(talk.decide(request, endpoint, &mut tx)),
            Step::Response(_) => talk.begin(endpoint, &mut tx),
            Step::Event(event) => talk.go_on(event, endpoint, &mut tx),
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

async fn serve(addr: SocketAddr) -> Result<(), Failure> {
    let listener = Async::<TcpListener>::bind(addr)?;
    println!("listening on ws://{}", listener.get_ref().local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let echo = async move {
            stream.get_ref().set_nodelay(true).ok();
            let (mut endpoint, tx) = on_endpoint::server();
            report(drive(&stream, &mut endpoint, tx, &mut Talk::default()).await);
        };
        smol::spawn(echo).detach();
    }
}

async fn ask(addr: SocketAddr) -> Result<(), Failure> {
    let (mut endpoint, tx) = on_endpoint::client(&format!("ws://{addr}/"))?;
    let stream = Async::<TcpStream>::connect(addr).await?;
    stream.get_ref().set_nodelay(true)?;
    let mut talk = Talk::default();
    drive(&stream, &mut endpoint, tx, &mut talk).await?;
    talk.sum_up(&endpoint);
    Ok(())
}

fn main() -> ExitCode {
    runtimes::run(|Arguments { is_client, addr, .. }| {
        let addr = addr.parse()?;
        if is_client { smol::block_on(ask(addr)) } else { smol::block_on(serve(addr)) }
    })
}
