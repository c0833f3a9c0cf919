//! Two threads for a connection, on the two halves of the core, with a channel between: one only
//! reads, one only writes, and nothing is locked.
//!
//! `threads [ADDR]` serves; `threads --client ADDR` asks. (`blocking::WebSocket::split` is the
//! ready-made form, without a channel.)

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use runtimes::{Arguments, Failure, config, messages, refusal, report, sum_up};
use sansws::blocking::{WebSocket, client, read_request};
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::endpoint::EndpointError;
use sansws::handshake::{client::Request, server::Accept};
use sansws::proto::{self, Arrived, Outcome, Reply, Transport};
use sansws::{CloseCode, Message};

/// What the writing thread is told.
enum Order {
    /// The peer waits for this.
    Reply(Reply),
    Send(Message),
    Close,
    /// Bytes have come: keep-alive wants to know.
    Note(Arrived),
    /// None will come any more.
    End,
}

/// What may wait between the threads. If the peer reads slowly, the writing thread is busy, then
/// this fills up, then nothing more is read.
const ORDERS: usize = 16;

/// The reading thread. `on_message` says what to answer.
fn read(
    mut stream: &TcpStream,
    mut receiver: proto::Receiver,
    mut rx: RecvBuffer,
    orders: &SyncSender<Order>,
    mut on_message: impl FnMut(Message) -> Option<Message>,
) {
    loop {
        let order = match receiver.poll_event(&mut rx) {
            Ok(Some((event, reply))) => match event.into_message().map(&mut on_message) {
                None => Order::Reply(reply),
                // nothing is owed for a message
                Some(Some(answer)) => Order::Send(answer),
                Some(None) => Order::Close,
            },
            Ok(None) => match stream.read(rx.space()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(n @ 1..) => {
                    rx.commit(n);
                    Order::Note(receiver.take_arrived())
                }
                _ => break,
            },
            // the answer once, and then what else comes is thrown away
            Err(error) => {
                let _ = orders.send(Order::Reply(error.into()));
                while matches!(stream.read(rx.space()), Ok(1..)) {}
                break;
            }
        };
        if orders.send(order).is_err() {
            return; // the writing thread has given up
        }
    }
    let _ = orders.send(Order::End);
}

/// The writing thread, which has the clock.
fn write(
    mut stream: &TcpStream,
    sender: &mut proto::Sender,
    orders: &Receiver<Order>,
) -> Result<(), EndpointError> {
    let (mut tx, start) = (SendBuffer::new(), Instant::now());
    loop {
        let until = sender.poll_timeout();
        let left = until.map_or(FOREVER, |until| until.saturating_sub(start.elapsed()));
        if tx.has_remaining() {
            stream.set_write_timeout(Some(left.max(TICK))).ok();
            match stream.write(tx.chunk()) {
                Ok(n) => {
                    tx.advance(n);
                    sender.note_written(n);
                }
                Err(error) if is_not_now(&error) => {
                    sender.handle_timeout(start.elapsed(), &mut tx)?
                }
                Err(_) => break,
            }
            continue;
        }
        match sender.transport() {
            Transport::KeepOpen => {}
            Transport::ShutdownWrite => drop(stream.shutdown(Shutdown::Write)),
            Transport::Close => break,
        }
        match orders.recv_timeout(left) {
            Ok(Order::Reply(reply)) => sender.reply(&mut tx, reply),
            Ok(Order::Send(message)) => drop(sender.feed(&mut tx, &message)), // not after a Close
            Ok(Order::Close) => drop(sender.close(&mut tx, Some(CloseCode::NORMAL.into()))),
            Ok(Order::Note(arrived)) => sender.note_arrived(arrived),
            Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => sender.handle_timeout(start.elapsed(), &mut tx)?,
        }
    }
    let outcome = sender.receive_eof();
    match (outcome, sender.close_info().and_then(|close| close.error)) {
        (Outcome::Clean, _) => Ok(()),
        (Outcome::Abnormal, Some(error)) => Err(error.into()),
        (Outcome::Abnormal, None) => Err(EndpointError::Disconnected),
    }
}

/// Time-outs of sockets are reported as one or the other.
fn is_not_now(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// A day: no deadline, for what must have one.
const FOREVER: Duration = Duration::from_secs(24 * 3600);
/// A time-out of zero is none.
const TICK: Duration = Duration::from_millis(1);

/// Goes on to the end of the connection, with this thread and another one.
fn drive(
    ws: WebSocket<TcpStream>,
    first: Option<Message>,
    on_message: impl FnMut(Message) -> Option<Message> + Send,
) -> (proto::Sender, Result<(), EndpointError>) {
    let parts = ws.into_parts();
    let (stream, rx) = (&parts.io, parts.rx);
    stream.set_read_timeout(None).ok();
    let (receiver, mut sender) = parts.connection.split();
    let (orders, inbox) = mpsc::sync_channel(ORDERS);
    if let Some(message) = first {
        let _ = orders.send(Order::Send(message));
    }
    thread::scope(|scope| {
        scope.spawn(move || read(stream, receiver, rx, &orders, on_message));
        let result = write(stream, &mut sender, &inbox);
        let _ = stream.shutdown(Shutdown::Both); // wakes the other thread
        drop(inbox);
        (sender, result)
    })
}

fn serve_connection(stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let incoming = read_request(stream, &config())?;
    if let Some(reject) = refusal(incoming.request()) {
        return Ok(incoming.reject(&reject)?);
    }
    Ok(drive(incoming.accept(&Accept::default())?, None, Some).1?)
}

fn serve(addr: &str) -> Result<(), Failure> {
    let listener = TcpListener::bind(addr)?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        thread::spawn(|| report(serve_connection(stream)));
    }
}

fn ask(addr: &str) -> Result<(), Failure> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    let ws = client(stream, &Request::new(&format!("ws://{addr}/"))?, &config())?;
    let ([first, rest @ ..], mut came_back) = (messages(), 0);
    let mut rest = rest.into_iter();
    let (sender, result) = drive(ws, Some(first), |_| {
        came_back += 1;
        rest.next()
    });
    result?;
    sum_up(came_back, sender.close_info());
    Ok(())
}

fn main() -> ExitCode {
    runtimes::run(
        |Arguments { is_client, addr, .. }| if is_client { ask(&addr) } else { serve(&addr) },
    )
}
