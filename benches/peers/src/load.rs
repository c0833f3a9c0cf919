//! The load generator: a process of its own, one thread, one epoll.
//!
//! It obeys lines on its standard input and answers each with one line. Frames are encoded once;
//! of a reply it reads the header and looks at the first and the last byte. Everything ends in
//! bounded time, by an error if need be.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::attackers::Honest;
use crate::scenario::{Kind, frame, parse_header};
use crate::sys;

/// How long a server may keep silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take to open all connections to a server.
const OPENING: Duration = Duration::from_secs(60);

/// All of it but the empty line at its end.
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub fn run() -> io::Result<()> {
    let mut load = Load { groups: Vec::new(), honest: None, buffer: vec![0; 256 * 1024] };
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split(' ');
        let answer = match load.obey(&mut words) {
            Ok(answer) => format!("ok {answer}"),
            Err(error) => format!("error {error}"),
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{}", answer.replace('\n', " "))?;
        out.flush()?;
    }
    Ok(())
}

struct Load {
    /// The connections to each server; the index is the number that the commands use.
    groups: Vec<Option<Group>>,
    honest: Option<Honest>,
    buffer: Vec<u8>,
}

struct Group {
    poll: Poll,
    connections: Vec<Connection>,
}

struct Connection {
    stream: mio::net::TcpStream,
    reader: Reader,
    /// Pongs that are due.
    control: Vec<u8>,
    /// Bytes still to write, and where in the burst they begin.
    owed: usize,
    offset: usize,
}

/// What a message looks like, here and back.
struct Pattern {
    frame_len: usize,
    /// As many frames as are under way on a connection.
    burst: Vec<u8>,
    opcode: u8,
    len: usize,
    ends: [u8; 2],
}

impl Pattern {
    fn new(kind: Kind, len: usize, depth: usize) -> Self {
        let payload = kind.payload(len);
        let frame = frame(kind.opcode(), &payload, Some(crate::scenario::KEY));
        let ends = [payload[0], payload[len - 1]];
        let burst = frame.repeat(depth);
        Self { frame_len: frame.len(), burst, opcode: kind.opcode(), len, ends }
    }
}

impl Load {
    fn obey<'a>(&mut self, words: &mut impl Iterator<Item = &'a str>) -> io::Result<String> {
        let command = words.next().unwrap_or_default();
        let id: usize = number(words.next())?;
        match command {
            "open" => {
                let addr = address(words.next())?;
                let group = Group::open(addr, number(words.next())?)?;
                if self.groups.len() <= id {
                    self.groups.resize_with(id + 1, || None);
                }
                self.groups[id] = Some(group);
                Ok(String::new())
            }
            "close" => {
                if let Some(group) = self.groups.get_mut(id) {
                    *group = None;
                }
                Ok(String::new())
            }
            "echo" => {
                let kind = words.next().and_then(Kind::parse).ok_or(ErrorKind::InvalidInput)?;
                let (len, depth) = (number(words.next())?, number(words.next())?);
                let time = Duration::from_millis(number(words.next())?);
                let group = self.groups.get_mut(id).and_then(Option::as_mut);
                let group = group.ok_or(ErrorKind::NotConnected)?;
                let pattern = Pattern::new(kind, len, depth);
                let (count, time) = group.echo(&pattern, depth, time, &mut self.buffer)?;
                Ok(format!("{count} {}", time.as_nanos()))
            }
            // one message on each of the first connections, one after the other
            "touch" => {
                let (len, count): (usize, usize) = (number(words.next())?, number(words.next())?);
                let group = self.groups.get_mut(id).and_then(Option::as_mut);
                let group = group.ok_or(ErrorKind::NotConnected)?;
                let pattern = Pattern::new(Kind::Binary, len, 1);
                group.touch(&pattern, count, &mut self.buffer)?;
                Ok(String::new())
            }
            // beside attackers: connected before they begin, then so many milliseconds
            "honest" => {
                self.honest = None;
                self.honest = Some(Honest::connect(address(words.next())?)?);
                Ok(String::new())
            }
            "latency" => {
                let time = Duration::from_millis(number(words.next())?);
                Ok(self.honest.as_ref().ok_or(ErrorKind::NotConnected)?.measure(time))
            }
            "handshakes" => {
                let addr = address(words.next())?;
                let at_once = number(words.next())?;
                let time = Duration::from_millis(number(words.next())?);
                let (count, time) = handshakes(addr, at_once, time)?;
                Ok(format!("{count} {}", time.as_nanos()))
            }
            _ => Err(io::Error::other("unknown command")),
        }
    }
}

impl Group {
    fn open(addr: SocketAddr, count: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(count);
        let start = Instant::now();
        for id in 0..count {
            if start.elapsed() > OPENING {
                return Err(io::Error::other(format!("only {id} connections in a minute")));
            }
            let mut stream = shake_hands(addr, "")?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(id), interest)?;
            connections.push(Connection {
                stream,
                reader: Reader::default(),
                control: Vec::new(),
                owed: 0,
                offset: 0,
            });
        }
        Ok(Self { poll, connections })
    }

    /// Keeps `depth` messages under way on every connection for `time`, then waits for the rest.
    fn echo(
        &mut self,
        pattern: &Pattern,
        depth: usize,
        time: Duration,
        buffer: &mut [u8],
    ) -> io::Result<(u64, Duration)> {
        let start = Instant::now();
        let mut under_way = 0;
        for connection in &mut self.connections {
            connection.offset = 0;
            under_way += connection.send(pattern, depth)?;
        }
        let mut count = 0;
        let mut events = Events::with_capacity(1024);
        while under_way > 0 {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            let elapsed = start.elapsed();
            if events.is_empty() || elapsed > time + PATIENCE {
                return Err(io::Error::other(format!("{under_way} messages did not come back")));
            }
            let more = elapsed < time;
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                let done = connection.receive(pattern, buffer)?;
                count += done as u64;
                under_way -= done;
                under_way += connection.send(pattern, if more { done } else { 0 })?;
            }
        }
        Ok((count, start.elapsed()))
    }

    fn touch(&mut self, pattern: &Pattern, count: usize, buffer: &mut [u8]) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        for at in 0..count.min(self.connections.len()) {
            self.connections[at].offset = 0;
            let mut under_way = self.connections[at].send(pattern, 1)?;
            let start = Instant::now();
            while under_way > 0 {
                self.poll.poll(&mut events, Some(PATIENCE))?;
                if events.is_empty() || start.elapsed() > PATIENCE {
                    return Err(io::Error::other("a message did not come back"));
                }
                for event in &events {
                    let connection = &mut self.connections[event.token().0];
                    under_way -= connection.receive(pattern, buffer)?;
                    connection.send(pattern, 0)?;
                }
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Queues `count` messages and writes what the socket takes.
    fn send(&mut self, pattern: &Pattern, count: usize) -> io::Result<usize> {
        self.owed += count * pattern.frame_len;
        while self.owed > 0 || !self.control.is_empty() {
            if !self.control.is_empty() && self.offset.is_multiple_of(pattern.frame_len) {
                match self.stream.write(&self.control) {
                    Ok(n) => drop(self.control.drain(..n)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
                continue;
            }
            if self.offset == pattern.burst.len() {
                self.offset = 0;
                continue;
            }
            let end = pattern.burst.len().min(self.offset + self.owed);
            match self.stream.write(&pattern.burst[self.offset..end]) {
                Ok(n) => {
                    self.offset += n;
                    self.owed -= n;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Reads all there is; how many messages ended.
    fn receive(&mut self, pattern: &Pattern, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(io::Error::other("the server closed the connection")),
                Ok(n) => {
                    done += self.reader.take(&buffer[..n], pattern, &mut self.control)?;
                    if n < buffer.len() {
                        return Ok(done);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(done),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Where in the stream of frames the last read ended.
#[derive(Default)]
struct Reader {
    /// A header that is cut, or a control frame.
    head: Vec<u8>,
    /// Bytes of the payload still to come.
    left: usize,
}

impl Reader {
    fn take(
        &mut self,
        mut bytes: &[u8],
        pattern: &Pattern,
        control: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let mut done = 0;
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.head(bytes, pattern, control)?;
                continue;
            }
            let n = bytes.len().min(self.left);
            if self.left == pattern.len && bytes[0] != pattern.ends[0] {
                return Err(io::Error::other("the first byte of a message is wrong"));
            }
            self.left -= n;
            if self.left == 0 {
                if bytes[n - 1] != pattern.ends[1] {
                    return Err(io::Error::other("the last byte of a message is wrong"));
                }
                done += 1;
            }
            bytes = &bytes[n..];
        }
        Ok(done)
    }

    /// Takes in a header, or a whole ping.
    fn head<'a>(
        &mut self,
        bytes: &'a [u8],
        pattern: &Pattern,
        control: &mut Vec<u8>,
    ) -> io::Result<&'a [u8]> {
        let before = self.head.len();
        let header = if before == 0 {
            parse_header(bytes)
        } else {
            self.head.extend_from_slice(&bytes[..bytes.len().min(140)]);
            parse_header(&self.head)
        };
        let Some(header) = header else {
            if before == 0 {
                self.head.extend_from_slice(bytes);
            }
            return Ok(&[]);
        };
        let used = header.header_len - before.min(header.header_len);
        if header.first == 0x89 {
            if before == 0 {
                self.head.extend_from_slice(&bytes[..bytes.len().min(140)]);
            }
            let end = header.header_len + header.len;
            if self.head.len() < end {
                return Ok(&[]);
            }
            control.extend(frame(10, &self.head[header.header_len..end], Some([0; 4])));
            self.head.clear();
            return Ok(&bytes[end - before..]);
        }
        if header.first != 0x80 | pattern.opcode || header.len != pattern.len {
            return Err(io::Error::other(format!(
                "a frame of type {:#x} and {} bytes came back",
                header.first, header.len
            )));
        }
        self.head.clear();
        self.left = header.len;
        Ok(&bytes[used..])
    }
}

/// Opens a connection, with these header fields besides, and waits for the server's consent.
pub fn shake_hands(addr: SocketAddr, fields: &str) -> io::Result<mio::net::TcpStream> {
    shake_hands_within(addr, fields, PATIENCE)
}

/// The same, with another patience for each step.
pub fn shake_hands_within(
    addr: SocketAddr,
    fields: &str,
    patience: Duration,
) -> io::Result<mio::net::TcpStream> {
    let mut stream = TcpStream::connect_timeout(&addr, patience)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(format!("{REQUEST}{fields}\r\n").as_bytes())?;
    let mut response = Vec::new();
    let mut buffer = [0; 1024];
    while !is_accepted(&response)? {
        match stream.read(&mut buffer)? {
            0 => return Err(io::Error::other("the server hung up instead of answering")),
            n => response.extend_from_slice(&buffer[..n]),
        }
    }
    stream.set_nonblocking(true)?;
    sys::reset_on_close(&stream);
    Ok(mio::net::TcpStream::from_std(stream))
}

/// `false` when the response is not complete.
fn is_accepted(response: &[u8]) -> io::Result<bool> {
    if !response.ends_with(b"\r\n\r\n") {
        return Ok(false);
    }
    let accepted = response.starts_with(b"HTTP/1.1 101 ")
        && response.windows(ACCEPT.len()).any(|window| window == ACCEPT);
    if accepted { Ok(true) } else { Err(io::Error::other("the server refused the handshake")) }
}

/// Opens connections for `time`, so many at a time, and resets each that was accepted.
fn handshakes(addr: SocketAddr, at_once: usize, time: Duration) -> io::Result<(u64, Duration)> {
    let start = Instant::now();
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut open = Vec::new();
    for id in 0..at_once {
        open.push(Some(ask(addr, &poll, id)?));
    }
    let mut left = at_once;
    let mut count = 0;
    while left > 0 {
        poll.poll(&mut events, Some(PATIENCE))?;
        let elapsed = start.elapsed();
        if events.is_empty() || elapsed > time + PATIENCE {
            return Err(io::Error::other(format!("{left} handshakes did not end")));
        }
        for event in &events {
            let id = event.token().0;
            let Some(asked) = &mut open[id] else { continue };
            if !asked.is_answered()? {
                continue;
            }
            count += 1;
            open[id] = None;
            if elapsed < time {
                open[id] = Some(ask(addr, &poll, id)?);
            } else {
                left -= 1;
            }
        }
    }
    poll.poll(&mut events, Some(Duration::ZERO))?;
    Ok((count, start.elapsed()))
}

struct Asked {
    stream: mio::net::TcpStream,
    response: Vec<u8>,
}

fn ask(addr: SocketAddr, poll: &Poll, id: usize) -> io::Result<Asked> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    sys::reset_on_close(&stream);
    stream.write_all(format!("{REQUEST}\r\n").as_bytes())?;
    stream.set_nonblocking(true)?;
    let mut stream = mio::net::TcpStream::from_std(stream);
    poll.registry().register(&mut stream, Token(id), Interest::READABLE)?;
    Ok(Asked { stream, response: Vec::new() })
}

impl Asked {
    fn is_answered(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::Error::other("the server hung up instead of answering")),
                Ok(n) => {
                    self.response.extend_from_slice(&buffer[..n]);
                    if is_accepted(&self.response)? {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}

fn number<N: std::str::FromStr>(word: Option<&str>) -> io::Result<N> {
    word.and_then(|word| word.parse().ok()).ok_or_else(|| io::Error::other("a number is missing"))
}

fn address(word: Option<&str>) -> io::Result<SocketAddr> {
    number(word)
}
