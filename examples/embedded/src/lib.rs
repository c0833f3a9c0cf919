//! A WebSocket over the traits of `embedded-io-async`, which the sockets of embassy have.
//!
//! [`run`] is the whole loop, for both roles. What it needs of a device is an allocator, a
//! [`Clock`], and for clients 48 random bytes. With embassy that is:
//!
//! ```ignore
//! struct Embassy;
//!
//! impl Clock for Embassy {
//!     fn now(&self) -> Duration {
//!         Duration::from_micros(embassy_time::Instant::now().as_micros())
//!     }
//!
//!     async fn sleep_until(&self, time: Duration) {
//!         embassy_time::Timer::at(Instant::from_micros(time.as_micros() as u64)).await
//!     }
//! }
//!
//! socket.accept(80).await?;
//! let (mut reader, mut writer) = socket.split();
//! let result = echo(&mut reader, &mut writer, &Embassy, &small_config()).await;
//! socket.close(); // and `flush`, so that it gets out
//! ```
#![no_std]

use core::future::{Future, pending, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use embassy_futures::select::{Either3, select3};
use embedded_io_async::{Read, Write};
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::endpoint::{Endpoint, EndpointError, Step};
use sansws::handshake::server::Accept;
use sansws::{Config, Event};

/// A monotonic clock, which may begin anywhere.
pub trait Clock {
    /// The time.
    fn now(&self) -> Duration;

    /// Waits for a time.
    fn sleep_until(&self, time: Duration) -> impl Future<Output = ()>;
}

/// What a device has room for. The defaults are those of larger machines.
pub fn small_config() -> Config {
    Config::new().max_message_len(4096).max_head_len(2048).max_unsent(8192)
}

/// Serves one client: sends everything back.
///
/// # Errors
///
/// How the connection ended, if not by a closing handshake.
pub async fn echo(
    reader: &mut impl Read,
    writer: &mut impl Write,
    clock: &impl Clock,
    config: &Config,
) -> Result<(), EndpointError> {
    let (endpoint, tx) = (Endpoint::server(config), SendBuffer::new());
    run(reader, writer, clock, endpoint, tx, |event, endpoint, tx| {
        if let Some(message) = event.and_then(Event::into_message_ref) {
            let _ = endpoint.feed(tx, message); // refused only after a Close
        }
    })
    .await
}

/// Goes on to the end of the connection; close the socket then. `on_event` gets the events, `None`
/// for its beginning. A client's `tx` holds its request, as [`Endpoint::client`] leaves it.
///
/// Reads and writes are dropped when something else comes first: they must lose nothing then, as
/// those of embassy's sockets.
///
/// # Errors
///
/// How the connection ended, if not by a closing handshake.
pub async fn run(
    reader: &mut impl Read,
    writer: &mut impl Write,
    clock: &impl Clock,
    mut endpoint: Endpoint,
    mut tx: SendBuffer,
    mut on_event: impl FnMut(Option<Event<'_>>, &mut Endpoint, &mut SendBuffer),
) -> Result<(), EndpointError> {
    let mut rx = RecvBuffer::with_read_ahead(1024);
    loop {
        match endpoint.step(&mut rx, &mut tx) {
            Step::Write => match poll_once(writer.write(tx.chunk())).await {
                Some(written) => wrote(written.ok(), &mut endpoint, &mut tx),
                None => endpoint.note_blocked(),
            },
            Step::Read { until } => {
                let read = reader.read(rx.space());
                match select3(read, write(writer, &tx), sleep(clock, until)).await {
                    Either3::First(Ok(0) | Err(_)) => endpoint.receive_eof(),
                    Either3::First(Ok(n)) => rx.commit(n),
                    Either3::Second(written) => wrote(written, &mut endpoint, &mut tx),
                    Either3::Third(()) => {}
                }
                endpoint.handle_timeout(clock.now(), &mut tx);
            }
            Step::Wait { until } => {
                match select3(pending::<()>(), write(writer, &tx), sleep(clock, until)).await {
                    Either3::Second(written) => wrote(written, &mut endpoint, &mut tx),
                    Either3::First(()) | Either3::Third(()) => {}
                }
                endpoint.handle_timeout(clock.now(), &mut tx);
            }
            Step::Again => embassy_futures::yield_now().await,
            // the traits have no word for it; the peer gets a second to close
            Step::ShutdownWrite => endpoint.note_shut_down(),
            Step::Request(request) => {
                drop(endpoint.accept(request, &Accept::default(), &mut tx));
                on_event(None, &mut endpoint, &mut tx);
            }
            Step::Response(_) => on_event(None, &mut endpoint, &mut tx),
            Step::Event(event) => on_event(Some(event), &mut endpoint, &mut tx),
            Step::Close(result) => return result,
        }
    }
}

/// Writes the beginning of what is unsent; never ends if nothing is. `None` is a failure.
async fn write(writer: &mut impl Write, tx: &SendBuffer) -> Option<usize> {
    if tx.is_empty() { pending().await } else { writer.write(tx.chunk()).await.ok() }
}

fn wrote(n: Option<usize>, endpoint: &mut Endpoint, tx: &mut SendBuffer) {
    match n {
        None | Some(0) => endpoint.note_write_failed(tx),
        Some(n) => {
            tx.advance(n);
            endpoint.note_written(n);
        }
    }
}

async fn sleep(clock: &impl Clock, until: Option<Duration>) {
    match until {
        Some(time) => clock.sleep_until(time).await,
        None => pending().await,
    }
}

/// What a future has to give at once.
async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
