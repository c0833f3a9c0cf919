//! Non-blocking sockets in place of a device's, polled as an executor without interrupts does it.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use embassy_futures::block_on;
use embedded_io_async::ErrorKind as Failed;
use sansws::buf::SendBuffer;
use sansws::endpoint::Endpoint;
use sansws::handshake::client::Request;
use sansws::{Config, Event};
use sansws_embedded::{Clock, echo, run, small_config};

pub fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => serve("127.0.0.1:9001"),
        ["--client", addr] => ask(addr),
        [addr] => serve(addr),
        _ => Err("usage: sansws-embedded [ADDR] | --client ADDR".into()),
    }
}

fn serve(addr: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(addr)?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let stream = listener.accept()?.0;
        let (mut reader, mut writer) = split(&stream)?;
        let clock = Std(Instant::now());
        if let Err(failure) = block_on(echo(&mut reader, &mut writer, &clock, &Config::new())) {
            eprintln!("{failure}");
        }
    }
}

fn ask(addr: &str) -> Result<(), Box<dyn Error>> {
    let stream = TcpStream::connect(addr)?;
    let (mut reader, mut writer) = split(&stream)?;
    let (request, mut tx) = (Request::new(&format!("ws://{addr}"))?, SendBuffer::new());
    // on a device, from its generator of random numbers
    let mut seed = [0; 48];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let endpoint = Endpoint::client(&request, seed, &small_config(), &mut tx)?;
    let long = "x".repeat(4096);
    let (messages, mut echoed) = (["Hello", "", &long], 0);
    let clock = Std(Instant::now());
    let end =
        run(&mut reader, &mut writer, &clock, endpoint, tx, |event, endpoint, tx| match event {
            None => messages.iter().for_each(|text| endpoint.feed(tx, *text).unwrap()),
            Some(Event::Text(text)) => {
                echoed += usize::from(*text == *messages[echoed]);
                if echoed == messages.len() {
                    endpoint.close(tx, None).unwrap();
                }
            }
            Some(_) => {}
        });
    block_on(end)?;
    println!("{echoed} of {} came back", messages.len());
    Ok(())
}

fn split(stream: &TcpStream) -> io::Result<(Half<'_>, Half<'_>)> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok((Half(stream), Half(stream)))
}

struct Half<'s>(&'s TcpStream);

impl embedded_io_async::ErrorType for Half<'_> {
    type Error = Failed;
}

impl embedded_io_async::Read for Half<'_> {
    fn read(&mut self, buf: &mut [u8]) -> impl Future<Output = Result<usize, Failed>> {
        poll_fn(move |cx| now_or_later(self.0.read(buf), cx))
    }
}

impl embedded_io_async::Write for Half<'_> {
    fn write(&mut self, buf: &[u8]) -> impl Future<Output = Result<usize, Failed>> {
        poll_fn(move |cx| now_or_later(self.0.write(buf), cx))
    }

    async fn flush(&mut self) -> Result<(), Failed> {
        Ok(())
    }
}

fn now_or_later(result: io::Result<usize>, cx: &mut Context<'_>) -> Poll<Result<usize, Failed>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => later(cx),
        result => Poll::Ready(result.map_err(|_| Failed::Other)),
    }
}

/// In place of an interrupt, a look every now and then.
fn later<T>(cx: &mut Context<'_>) -> Poll<T> {
    thread::sleep(Duration::from_micros(200));
    cx.waker().wake_by_ref();
    Poll::Pending
}

struct Std(Instant);

impl Clock for Std {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep_until(&self, time: Duration) -> impl Future<Output = ()> {
        poll_fn(move |cx| if self.now() >= time { Poll::Ready(()) } else { later(cx) })
    }
}
