//! What was asked for.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

pub const USAGE: &str = "\
Talks to WebSocket servers.

    sansws connect [OPTIONS] URL
    sansws serve [OPTIONS] [ADDRESS]
    sansws bench [OPTIONS] URL
    sansws check [OPTIONS] URL

`connect`, in a terminal: a line that is entered is a text message, and what comes appears above it.
The arrow keys bring earlier lines back. Lines that begin with a slash are commands:

    /ping [TEXT]            measures the round trip
    /close [CODE [REASON]]  closes; without a code 1000
    //TEXT                  sends TEXT with one slash before it

With pipes: each line of stdin is a message, and each message that comes is a line on
stdout, as it is. After the end of stdin the connection is closed with 1000, as soon as
nothing has come for a second. All else goes to stderr.

    -H, --header 'NAME: VALUE'  adds a header; more than once for more
    --origin ORIGIN             sets the header Origin
    --subprotocol NAME          offers a subprotocol; more than once for more
    --binary                    sends binary messages
    --json                      prints an object for each event, binary data in base64
    -v, --verbose               shows each frame, its length and compression
    --linger SECONDS            how long nothing has to come after the end of stdin; default 1
    --wait                      stays after the end of stdin until the server closes
    --no-compression            does not offer permessage-deflate
    --ca FILE                   trusts the authorities in this file too (PEM)
    --timeout SECONDS           for connecting; default 10

`serve` listens on ADDRESS, by default 127.0.0.1:9001, and sends each message back. It
compresses for clients that offer it.

    --broadcast                 sends each message to everybody instead
    --folder DIR                serves the files in DIR, as they are now, as pages
    --any-origin                lets scripts of other sites connect

`bench` asks an echo server on this machine: each connection sends a message when the one
before it is back.

    -c, --connections N         how many; default 100
    -d, --duration SECONDS      how long; default 10
    -s, --size BYTES            of a message; default 128
    --json                      prints an object, times in microseconds
    --force                     asks a server on another machine

`check` finds out what a server does right and wrong, rule by rule. Each question has a
connection of its own, four at a time; messages are up to 32 MiB long. Some questions need
a server that sends messages back.

    --only NAME                 asks this, or this group; more than once for more
    --list                      shows what would be asked, and why
    --json                      prints an object for each question
    -H, --header, --origin, --ca, --timeout as above; a time-out for each answer, default 5

Exit codes: 0 closed with 1000 or without a code, 1 input or output failed, 2 usage,
3 not connected, 4 the connection broke, 5 closed by the server with another code.
Those of `check`: 0 no MUST is broken, 1 one is, 2 usage, 3 not connected.
";

#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Help,
    Version,
    Connect(Connect),
    Serve(Serve),
    Bench(Bench),
    Check(Check),
}

/// The options of `connect`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Connect {
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub origin: Option<String>,
    pub subprotocols: Vec<String>,
    pub binary: bool,
    pub json: bool,
    pub verbose: bool,
    pub linger: Option<Duration>,
    pub wait: bool,
    pub no_compression: bool,
    pub ca: Option<PathBuf>,
    pub timeout: Option<Duration>,
}

/// The options of `serve`.
#[derive(Debug, PartialEq, Eq)]
pub struct Serve {
    pub listen: String,
    pub broadcast: bool,
    pub folder: Option<PathBuf>,
    pub any_origin: bool,
}

/// The options of `bench`.
#[derive(Debug, PartialEq, Eq)]
pub struct Bench {
    pub url: String,
    /// At least one.
    pub connections: usize,
    pub duration: Duration,
    pub size: usize,
    pub json: bool,
    pub force: bool,
}

/// The options of `check`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Check {
    pub connect: Connect,
    pub only: Vec<String>,
    pub list: bool,
}

/// Reads the arguments behind the name of the program.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_args(args);
    match parser.next()? {
        Some(Short('h') | Long("help")) | None => Ok(Command::Help),
        Some(Short('V') | Long("version")) => Ok(Command::Version),
        Some(Value(name)) if name == "help" => Ok(Command::Help),
        Some(Value(name)) if name == "connect" => connect(parser),
        Some(Value(name)) if name == "serve" => serve(parser),
        Some(Value(name)) if name == "bench" => bench(parser),
        Some(Value(name)) if name == "check" => check(parser),
        Some(Value(name)) => Err(format!("there is no command {name:?}").into()),
        Some(other) => Err(other.unexpected()),
    }
}

fn connect(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut it = Connect::default();
    let mut url = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('H') | Long("header") => it.headers.push(header(&mut parser)?),
            Long("origin") => it.origin = Some(parser.value()?.string()?),
            Long("subprotocol") => it.subprotocols.push(parser.value()?.string()?),
            Long("binary") => it.binary = true,
            Long("json") => it.json = true,
            Short('v') | Long("verbose") => it.verbose = true,
            Long("wait") => it.wait = true,
            Long("no-compression") => it.no_compression = true,
            Long("ca") => it.ca = Some(parser.value()?.into()),
            Long("linger") => it.linger = Some(seconds(&mut parser)?),
            Long("timeout") => it.timeout = Some(seconds(&mut parser)?),
            Value(value) if url.is_none() => url = Some(value.string()?),
            other => return Err(other.unexpected()),
        }
    }
    it.url = url.ok_or("the URL is missing: sansws connect URL")?;
    Ok(Command::Connect(it))
}

fn serve(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut broadcast, mut any_origin, mut folder, mut listen) = (false, false, None, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("broadcast") => broadcast = true,
            Long("any-origin") => any_origin = true,
            Long("folder") => folder = Some(parser.value()?.into()),
            Value(value) if listen.is_none() => listen = Some(value.string()?),
            other => return Err(other.unexpected()),
        }
    }
    let listen = listen.unwrap_or_else(|| "127.0.0.1:9001".into());
    Ok(Command::Serve(Serve { listen, broadcast, folder, any_origin }))
}

fn bench(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut it = Bench {
        url: String::new(),
        connections: 100,
        duration: Duration::from_secs(10),
        size: 128,
        json: false,
        force: false,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('c') | Long("connections") => it.connections = parser.value()?.parse()?,
            Short('d') | Long("duration") => it.duration = seconds(&mut parser)?,
            Short('s') | Long("size") => it.size = parser.value()?.parse()?,
            Long("json") => it.json = true,
            Long("force") => it.force = true,
            Value(value) if it.url.is_empty() => it.url = value.string()?,
            other => return Err(other.unexpected()),
        }
    }
    if it.url.is_empty() {
        return Err("the URL is missing: sansws bench URL".into());
    }
    if it.connections == 0 || it.duration.is_zero() {
        return Err("there has to be a connection, and time for it".into());
    }
    if it.size > MAX_SIZE {
        return Err(format!("a message has at most {MAX_SIZE} bytes").into());
    }
    Ok(Command::Bench(it))
}

fn check(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut connect, mut only, mut list) = (Connect::default(), Vec::new(), false);
    // messages of a probe are compressed only where that is what it is about
    connect.no_compression = true;
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('H') | Long("header") => connect.headers.push(header(&mut parser)?),
            Long("origin") => connect.origin = Some(parser.value()?.string()?),
            Long("ca") => connect.ca = Some(parser.value()?.into()),
            Long("timeout") => connect.timeout = Some(seconds(&mut parser)?),
            Long("json") => connect.json = true,
            Long("only") => only.push(parser.value()?.string()?),
            Long("list") => list = true,
            Value(value) if connect.url.is_empty() => connect.url = value.string()?,
            other => return Err(other.unexpected()),
        }
    }
    if connect.url.is_empty() && !list {
        return Err("the URL is missing: sansws check URL".into());
    }
    Ok(Command::Check(Check { connect, only, list }))
}

/// The longest message of a benchmark, in bytes: what connections take by default.
const MAX_SIZE: usize = 16 << 20;

impl Connect {
    /// Returns how long nothing has to come until there is nothing more to wait for.
    pub fn linger(&self) -> Duration {
        self.linger.unwrap_or(Duration::from_secs(1))
    }
}

fn header(parser: &mut lexopt::Parser) -> Result<(String, String), lexopt::Error> {
    let line = parser.value()?.string()?;
    let (name, value) =
        line.split_once(':').ok_or_else(|| format!("{line:?} is no header: it has no colon"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn seconds(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    let seconds = parser.value()?.parse_with(|text| match text.parse::<f64>() {
        Ok(number) => Duration::try_from_secs_f64(number).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    })?;
    Ok(seconds.min(Duration::from_secs(1 << 30))) // longer than any program runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Command, String> {
        parse(args.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn options() {
        let all = "connect -H Authorization:x:y --header A: -v --json --binary --wait \
                   --no-compression --subprotocol a --subprotocol b --origin http://o \
                   --timeout 3 --linger 0.5 ws://h/";
        let all: Vec<_> = all.split(' ').filter(|arg| !arg.is_empty()).collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = Connect {
            url: "ws://h/".into(),
            headers: vec![pair("Authorization", "x:y"), pair("A", "")],
            origin: Some("http://o".into()),
            subprotocols: vec!["a".into(), "b".into()],
            binary: true,
            json: true,
            verbose: true,
            linger: Some(Duration::from_millis(500)),
            wait: true,
            no_compression: true,
            ca: None,
            timeout: Some(Duration::from_secs(3)),
        };
        assert_eq!(parsed(&all), Ok(Command::Connect(expected)));
        assert_eq!(parsed(&[]), Ok(Command::Help));
        assert_eq!(parsed(&["connect", "--help"]), Ok(Command::Help));
    }

    #[test]
    fn faults() {
        for (args, text) in [
            (&["check"][..], "the URL is missing: sansws check URL"),
            (&["connect"][..], "the URL is missing: sansws connect URL"),
            (&["connect", "-H", "a", "ws://h"], r#""a" is no header: it has no colon"#),
            (&["connect", "ws://h", "--colour"], "invalid option '--colour'"),
            (&["connect", "ws://h", "ws://i"], r#"unexpected argument "ws://i""#),
            (&["dance"], r#"there is no command "dance""#),
        ] {
            assert_eq!(parsed(args), Err(text.to_owned()));
        }
    }
}
