//! compio, on the core: io_uring, where the kernel owns a buffer until it is done with it.
//!
//! `compio [ADDR]` serves; `compio --client ADDR` asks. A read and a write are under way while the
//! core goes on: the read has the space that the receive buffer lends, the write a chunk that the
//! send buffer gave away.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::process::ExitCode;
use std::task::Poll;
use std::time::{Duration, Instant};

use compio::BufResult;
use compio::driver::{DriverType, ProactorBuilder};
use compio::io::{AsyncRead, AsyncWrite};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::{Runtime, time::sleep};
use runtimes::on_endpoint::{self, Talk};
use runtimes::{Arguments, Failure, report};
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::{Buf, Bytes, BytesMut};
use sansws::endpoint::{Endpoint, EndpointError, Step};

/// What the kernel is doing, and the buffer that it has.
type Operation<'a, B> = Pin<Box<dyn Future<Output = BufResult<usize, B>> + 'a>>;

/// A connection and what the kernel does for it.
struct Driver<'a> {
    stream: &'a TcpStream,
    endpoint: Endpoint,
    rx: RecvBuffer,
    tx: SendBuffer,
    reading: Option<Operation<'a, BytesMut>>,
    writing: Option<Operation<'a, Bytes>>,
    start: Instant,
}

impl<'a> Driver<'a> {
    fn new(stream: &'a TcpStream, (endpoint, tx): (Endpoint, SendBuffer)) -> Self {
        let (rx, start) = (RecvBuffer::new(), Instant::now());
        Self { stream, endpoint, rx, tx, reading: None, writing: None, start }
    }

    /// Goes on to the end of the connection.
    async fn drive(&mut self, talk: &mut Talk) -> Result<(), EndpointError> {
        let mut stream = self.stream;
        loop {
            let Self { endpoint, rx, tx, .. } = self;
            match endpoint.step(rx, tx) {
                // one at a time: the transport takes no more until it is done
                Step::Write if self.writing.is_some() => endpoint.note_blocked(),
                Step::Write => self.writing = tx.take_chunk().map(|chunk| write(stream, chunk)),
                Step::Read { until } => {
                    if self.reading.is_none() {
                        self.reading = Some(read(stream, rx.take_space()));
                    }
                    self.wait(true, until).await;
                }
                Step::Wait { until } => self.wait(false, until).await,
                // what was taken counts as sent, and is not there yet
                Step::ShutdownWrite if self.writing.is_some() => {
                    let until = endpoint.poll_timeout();
                    self.wait(false, until).await;
                }
                Step::ShutdownWrite => {
                    let _ = stream.shutdown().await;
                    endpoint.note_shut_down();
                }
                Step::Again => sleep(Duration::ZERO).await,
                Step::Request(request) => drop(talk.decide(request, endpoint, tx)),
                Step::Response(_) => talk.begin(endpoint, tx),
                Step::Event(event) => talk.go_on(event, endpoint, tx),
                // to drop an operation cancels it; the kernel is done with the buffer before that
                // is freed
                Step::Close(result) => return result,
            }
        }
    }

    /// Waits until something is done, or the time has come. What a read under way has read is taken
    /// in only where that `may_read`.
    async fn wait(&mut self, may_read: bool, until: Option<Duration>) {
        let Self { stream, endpoint, rx, tx, reading, writing, start } = self;
        let stream: &'a TcpStream = stream;
        let mut timer = until.map(|until| Box::pin(sleep(until.saturating_sub(start.elapsed()))));
        poll_fn(|cx| {
            if let Some(operation) = writing.as_mut()
                && let Poll::Ready(BufResult(result, mut chunk)) = operation.as_mut().poll(cx)
            {
                *writing = None;
                match result {
                    Ok(n) if n > 0 => {
                        endpoint.note_written(n);
                        chunk.advance(n);
                        *writing = chunk.has_remaining().then(|| write(stream, chunk));
                    }
                    _ => endpoint.note_write_failed(tx),
                }
                return Poll::Ready(());
            }
            if may_read
                && let Some(operation) = reading.as_mut()
                && let Poll::Ready(BufResult(result, space)) = operation.as_mut().poll(cx)
            {
                *reading = None;
                rx.put_space(space, *result.as_ref().unwrap_or(&0));
                if !matches!(result, Ok(1..)) {
                    endpoint.receive_eof();
                }
                return Poll::Ready(());
            }
            timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
        })
        .await;
        endpoint.handle_timeout(start.elapsed(), tx);
    }
}

fn read(mut stream: &TcpStream, space: BytesMut) -> Operation<'_, BytesMut> {
    Box::pin(async move { stream.read(space).await })
}

fn write(mut stream: &TcpStream, chunk: Bytes) -> Operation<'_, Bytes> {
    Box::pin(async move { stream.write(chunk).await })
}

async fn serve(addr: &str) -> Result<(), Failure> {
    let listener = TcpListener::bind(addr).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let echo = async move {
            stream.set_nodelay(true).ok();
            let mut driver = Driver::new(&stream, on_endpoint::server());
            report(driver.drive(&mut Talk::default()).await);
        };
        compio::runtime::spawn(echo).detach();
    }
}

async fn ask(addr: &str) -> Result<(), Failure> {
    let first = on_endpoint::client(&format!("ws://{addr}/"))?;
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let (mut talk, mut driver) = (Talk::default(), Driver::new(&stream, first));
    driver.drive(&mut talk).await?;
    talk.sum_up(&driver.endpoint);
    Ok(())
}

fn main() -> ExitCode {
    runtimes::run(|Arguments { is_client, addr, .. }| {
        let mut kernel = ProactorBuilder::new();
        kernel.driver_type(DriverType::IoUring);
        let runtime = Runtime::builder().with_proactor(kernel).build();
        let runtime = runtime.map_err(|error| format!("no io_uring here: {error}"))?;
        runtime.block_on(async { if is_client { ask(&addr).await } else { serve(&addr).await } })
    })
}
