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
use crate::compression;
use crate::scenario::{Kind, frame, parse_header};
use crate::sys;
use crate::texts::text;

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
    /// The frame of the burst that is sent next.
    next: usize,
    /// Bytes still to write, and where in the burst they begin.
    owed: usize,
    offset: usize,
}

/// What messages look like, here and back.
struct Pattern {
    /// Frames, one behind the other, which are sent again and again.
    burst: Vec<u8>,
    /// Where they end.
    ends: Vec<usize>,
    back: Back,
}

/// What comes back.
#[derive(Clone, Copy)]
enum Back {
    /// The same message each time, of which the first and the last byte are looked at.
    Same { opcode: u8, len: usize, ends: [u8; 2] },
    /// Texts, compressed or not.
    Texts,
}

impl Pattern {
    /// As many messages as are under way on a connection.
    fn new(kind: Kind, len: usize, depth: usize) -> Self {
        let payload = kind.payload(len);
        let frame = frame(kind.opcode(), &payload, Some(crate::scenario::KEY));
        let ends = [payload[0], payload[len - 1]];
        let back = Back::Same { opcode: kind.opcode(), len, ends };
        Self::of(&vec![frame; depth], back)
    }

    /// Different JSON texts, each compressed on its own.
    fn texts(len: usize) -> Self {
        let frames: Vec<_> = (0..compression::TEXTS)
            .map(|at| {
                let payload = compression::compress(text(at, len).as_bytes());
                frame(0x41, &payload, Some(crate::scenario::KEY))
            })
            .collect();
        Self::of(&frames, Back::Texts)
    }

    fn of(frames: &[Vec<u8>], back: Back) -> Self {
        let ends = frames.iter().scan(0, |end, frame| {
            *end += frame.len();
            Some(*end)
        });
        Self { burst: frames.concat(), ends: ends.collect(), back }
    }

    fn frame_len(&self, at: usize) -> usize {
        self.ends[at] - at.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    fn is_between_frames(&self, offset: usize) -> bool {
        offset == 0 || self.ends.binary_search(&offset).is_ok()
    }
}

impl Load {
    fn obey<'a>(&mut self, words: &mut impl Iterator<Item = &'a str>) -> io::Result<String> {
        let command = words.next().unwrap_or_default();
        let id: usize = number(words.next())?;
        match command {
            "open" => {
                let addr = address(words.next())?;
                let count = number(words.next())?;
                let fields = words.next().map_or("", compression::offer);
                let group = Group::open(addr, count, fields)?;
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
            // messages that come back, or those of the first connection that come to all of them
            "echo" | "broadcast" => {
                let kind = words.next().and_then(Kind::parse).ok_or(ErrorKind::InvalidInput)?;
                let (len, depth) = (number(words.next())?, number(words.next())?);
                let time = Duration::from_millis(number(words.next())?);
                let pattern = Pattern::new(kind, len, depth);
                let (group, buffer) = self.group(id)?;
                let (count, time) = match command {
                    "echo" => group.echo(&pattern, depth, time, buffer)?,
                    _ => group.broadcast(&pattern, depth, time, buffer)?,
                };
                Ok(format!("{count} {}", time.as_nanos()))
            }
            // texts that come back compressed; answers with their bytes as well
            "texts" => {
                let (len, depth) = (number(words.next())?, number(words.next())?);
                let time = Duration::from_millis(number(words.next())?);
                let pattern = Pattern::texts(len);
                let (group, buffer) = self.group(id)?;
                let before = group.bytes();
                let (count, time) = group.echo(&pattern, depth, time, buffer)?;
                let bytes = group.bytes() - before;
                Ok(format!("{count} {} {bytes}", time.as_nanos()))
            }
            // one message on each of the first connections, one after the other
            "touch" => {
                let (len, count): (usize, usize) = (number(words.next())?, number(words.next())?);
                let pattern = Pattern::new(Kind::Binary, len, 1);
                let (group, buffer) = self.group(id)?;
                group.touch(&pattern, count, buffer)?;
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

    /// The connections to a server, and a buffer to read into.
    fn group(&mut self, id: usize) -> io::Result<(&mut Group, &mut [u8])> {
        let group = self.groups.get_mut(id).and_then(Option::as_mut);
        Ok((group.ok_or(ErrorKind::NotConnected)?, &mut self.buffer))
    }
}

impl Group {
    fn open(addr: SocketAddr, count: usize, fields: &str) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(count);
        let start = Instant::now();
        for id in 0..count {
            if start.elapsed() > OPENING {
                return Err(io::Error::other(format!("only {id} connections in a minute")));
            }
            let mut stream = shake_hands(addr, fields)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(id), interest)?;
            connections.push(Connection {
                stream,
                reader: Reader::default(),
                control: Vec::new(),
                next: 0,
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
            connection.begin();
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

    /// Keeps `depth` messages of the first connection under way to all of them for `time`, then
    /// waits for the rest: the next one leaves when as many have come as one makes. Counts those
    /// that came.
    fn broadcast(
        &mut self,
        pattern: &Pattern,
        depth: usize,
        time: Duration,
        buffer: &mut [u8],
    ) -> io::Result<(u64, Duration)> {
        let start = Instant::now();
        let each = self.connections.len();
        self.connections[0].begin();
        let mut under_way = each * self.connections[0].send(pattern, depth)?;
        let (mut count, mut come) = (0, 0);
        let mut events = Events::with_capacity(1024);
        while under_way > 0 {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            let elapsed = start.elapsed();
            if events.is_empty() || elapsed > time + PATIENCE {
                return Err(io::Error::other(format!("{under_way} messages did not come")));
            }
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                come += connection.receive(pattern, buffer)?;
                connection.send(pattern, 0)?;
                let over = come / each;
                let next = if elapsed < time { over } else { 0 };
                count += over * each;
                come -= over * each;
                under_way += each * self.connections[0].send(pattern, next)?;
                under_way -= over * each;
            }
        }
        Ok((count as u64, start.elapsed()))
    }

    /// The bytes of all payloads that came.
    fn bytes(&self) -> u64 {
        self.connections.iter().map(|it| it.reader.bytes).sum()
    }

    fn touch(&mut self, pattern: &Pattern, count: usize, buffer: &mut [u8]) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        for at in 0..count.min(self.connections.len()) {
            self.connections[at].begin();
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
    /// Begins with the first frame of a pattern.
    fn begin(&mut self) {
        (self.next, self.offset) = (0, 0);
    }

    /// Queues `count` messages and writes what the socket takes.
    fn send(&mut self, pattern: &Pattern, count: usize) -> io::Result<usize> {
        for _ in 0..count {
            self.owed += pattern.frame_len(self.next);
            self.next = (self.next + 1) % pattern.ends.len();
        }
        while self.owed > 0 || !self.control.is_empty() {
            if !self.control.is_empty() && pattern.is_between_frames(self.offset) {
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
    /// The bytes of all payloads so far.
    bytes: u64,
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
            if let Back::Same { len, ends, .. } = pattern.back {
                if self.left == len && bytes[0] != ends[0] {
                    return Err(io::Error::other("the first byte of a message is wrong"));
                }
                if self.left == n && bytes[n - 1] != ends[1] {
                    return Err(io::Error::other("the last byte of a message is wrong"));
                }
            }
            self.left -= n;
            done += usize::from(self.left == 0);
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
        let expected = match pattern.back {
            Back::Same { opcode, len, .. } => header.first == 0x80 | opcode && header.len == len,
            Back::Texts => matches!(header.first, 0x81 | 0xc1) && header.len > 0,
        };
        if !expected {
            return Err(io::Error::other(format!(
                "a frame of type {:#x} and {} bytes came back",
                header.first, header.len
            )));
        }
        self.head.clear();
        self.left = header.len;
        self.bytes += header.len as u64;
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
