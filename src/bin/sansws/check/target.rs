//! The server that is asked: connections to it, with a handshake that may be changed.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use sansws::blocking::{self, ClientStream, WebSocket};
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::client::Connector;
use sansws::deflate::Deflate;
use sansws::handshake::HandshakeError;
use sansws::handshake::client::{Handshake, Refused, Response};
use sansws::wire::Opcode;
use sansws::{Config, Error};

use super::link::{Link, frame};
use super::verdict::{Trouble, Verdict};

/// A server, and what is known of it.
pub struct Target {
    connector: Connector,
    /// How long an answer may take.
    patience: Duration,
    /// Whether it sends messages back; `None` as long as nobody has asked.
    pub echoes: Option<bool>,
}

/// The head of a request, to be changed.
pub struct Head {
    pub line: String,
    pub fields: Vec<(String, String)>,
    /// What follows the head at once.
    pub behind: String,
}

/// The answer to a handshake.
pub enum Answer {
    /// 101, and valid.
    Open(Link),
    Refused(Refused),
    /// Not valid, for this reason.
    Invalid(HandshakeError),
    /// TCP was closed instead, or broke.
    Ended(String),
    Silence,
}

impl Target {
    pub fn new(connector: Connector, patience: Duration) -> Self {
        Self { connector, patience, echoes: None }
    }

    /// Connects without a handshake.
    pub fn stream(&self) -> Result<ClientStream, Error> {
        let stream = self.connector.connect_stream_blocking()?;
        stream.tcp().set_write_timeout(Some(self.patience))?;
        stream.tcp().set_read_timeout(Some(self.patience))?;
        Ok(stream)
    }

    /// Asks for a connection, by a request that was changed.
    pub fn ask(&self, change: impl FnOnce(&mut Head)) -> Result<Answer, Trouble> {
        self.ask_with(&Config::new(), change, |stream, bytes| stream.write_all(bytes))
    }

    /// Asks with settings of compression, and writes the request in a way of one's own.
    pub fn ask_with(
        &self,
        config: &Config,
        change: impl FnOnce(&mut Head),
        write: impl FnOnce(&mut ClientStream, &[u8]) -> std::io::Result<()>,
    ) -> Result<Answer, Trouble> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| Trouble(error.to_string()))?;
        let mut tx = SendBuffer::new();
        let mut handshake = Handshake::start(self.connector.request(), nonce, config, &mut tx)
            .map_err(|error| Trouble(error.to_string()))?;
        let mut bytes = Vec::new();
        while let Some(chunk) = tx.take_chunk() {
            bytes.extend_from_slice(&chunk);
        }
        let mut head = Head::parse(&String::from_utf8_lossy(&bytes));
        change(&mut head);
        let mut io = self.stream()?;
        // if it does not take all of it, it has an answer
        let written = write(&mut io, head.to_string().as_bytes()).and_then(|()| io.flush());
        drop(written);

        let mut rx = RecvBuffer::new();
        let deadline = Instant::now() + self.patience;
        loop {
            let response = match handshake.read_response(&mut rx) {
                Ok(response) => response,
                Err(error) => return Ok(Answer::Invalid(error)),
            };
            match response {
                None => {}
                Some(Response::Refused(refused)) => return Ok(Answer::Refused(refused)),
                Some(Response::Accepted(accepted)) => {
                    let (received, agreed) = (rx.unparsed().to_vec(), accepted.deflate());
                    return Ok(Answer::Open(Link::new(io, received, self.patience, agreed)));
                }
                Some(_) => return Err(Trouble("an answer of an unknown kind".into())),
            }
            if Instant::now() >= deadline {
                return Ok(Answer::Silence);
            }
            match io.read(rx.space()) {
                Ok(0) => {
                    return Ok(match handshake.receive_eof() {
                        Ok(Some(Response::Refused(refused))) => Answer::Refused(refused),
                        Ok(_) | Err(HandshakeError::Incomplete) => {
                            Answer::Ended("TCP was closed without an answer".into())
                        }
                        Err(error) => Answer::Invalid(error),
                    });
                }
                Ok(n) => rx.commit(n),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Ok(Answer::Ended(error.to_string())),
                },
            }
        }
    }

    /// Opens a connection without compression.
    pub fn open(&self) -> Result<Link, Trouble> {
        opened(self.ask(|_| {})?)
    }

    /// Opens a connection with compression.
    pub fn open_compressed(&self, settings: &Deflate) -> Result<Link, Trouble> {
        let config = Config::new().deflate(settings.clone());
        let write = |stream: &mut ClientStream, bytes: &[u8]| stream.write_all(bytes);
        let link = opened(self.ask_with(&config, |_| {}, write)?)?;
        match link.agreed {
            Some(_) => Ok(link),
            None => Err(Trouble("it does not compress".into())),
        }
    }

    /// Opens a connection that is driven by the crate itself.
    pub fn socket(&self, config: &Config) -> Result<WebSocket<ClientStream>, Trouble> {
        Ok(blocking::client(self.stream()?, self.connector.request(), config)?)
    }

    /// Says what it is about if an echo is needed and there is none.
    pub fn needs_echo(&self) -> Result<(), Trouble> {
        match self.echoes {
            Some(true) => Ok(()),
            _ => Err(Trouble("the server sends nothing back".into())),
        }
    }

    /// Finds out whether it sends messages back.
    pub fn find_echo(&self) -> bool {
        let text = b"sansws check: is this an echo?";
        let ask = || -> Result<bool, Trouble> {
            let mut link = self.open()?;
            link.write(&frame(Opcode::Text, text)?);
            Ok(link.echo(Opcode::Text, text).is_ok())
        };
        ask().unwrap_or(false)
    }

    /// Sends bytes that are against a rule, and says whether the server fails the connection, best
    /// with the first of these codes.
    pub fn fails_on(&self, bytes: &[u8], codes: &[u16]) -> Result<Verdict, Trouble> {
        let mut link = self.open()?;
        link.write(bytes);
        link.failed(codes)
    }

    /// The same with several cases, each in a connection of its own. Returns the worst verdict.
    pub fn fails_on_each(&self, cases: &[Vec<u8>], codes: &[u16]) -> Result<Verdict, Trouble> {
        let mut worst = None;
        for bytes in cases {
            let shown: Vec<_> = bytes.iter().take(2).map(|byte| format!("{byte:02x}")).collect();
            match self.fails_on(bytes, codes)? {
                Verdict::Wrong(seen) => {
                    return Ok(Verdict::Wrong(format!("{} …: {seen}", shown.join(" "))));
                }
                Verdict::Right(seen) => drop(worst.get_or_insert(Verdict::Right(seen))),
                other => worst = Some(other),
            }
        }
        worst.ok_or_else(|| Trouble("there is no case".into()))
    }
}

/// Returns the connection, or why there is none.
pub fn opened(answer: Answer) -> Result<Link, Trouble> {
    match answer {
        Answer::Open(link) => Ok(link),
        other => Err(Trouble(format!("no connection: {other}"))),
    }
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let fields = lines.filter_map(|line| line.split_once(": "));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { line, fields, behind: String::new() }
    }

    /// Removes all headers of this name.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    }

    /// Gives a header this value, whatever it had.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.add(name, value);
    }

    /// Adds a header.
    pub fn add(&mut self, name: &str, value: &str) {
        self.fields.push((name.to_owned(), value.to_owned()));
    }
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\r\n", self.line)?;
        for (name, value) in &self.fields {
            write!(f, "{name}: {value}\r\n")?;
        }
        write!(f, "\r\n{}", self.behind)
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(_) => f.write_str("101, the connection is open"),
            Self::Refused(refused) => write!(f, "{} {}", refused.status(), refused.reason()),
            Self::Invalid(error) => write!(f, "an answer that is not valid: {error}"),
            Self::Ended(how) => f.write_str(how),
            Self::Silence => f.write_str("no answer in time"),
        }
    }
}
