//! What the examples have in common: their command line and their first line of output.
#![allow(dead_code)] // no example needs all of it

use std::io::Write;
use std::net::SocketAddr;
use std::process::exit;

/// The command line of the echo servers.
pub struct Options {
    pub addr: String,
    pub max_message_len: Option<usize>,
    pub threads: usize,
    pub compression: Compression,
    /// The files of a certificate and of its key.
    pub tls: Option<(String, String)>,
    /// The URL of the engine that joins several servers.
    pub backplane: Option<String>,
}

impl Options {
    /// Reads the command line; on anything unknown prints how to use `name` and exits.
    pub fn parse(name: &str, default_addr: &str) -> Self {
        let mut options = Self {
            addr: default_addr.to_string(),
            max_message_len: None,
            threads: 1,
            compression: Compression::default(),
            tls: None,
            backplane: None,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--max-message-len" => options.max_message_len = Some(number(name, args.next())),
                "--tls" if name == "chat" => match (args.next(), args.next()) {
                    _ if !cfg!(feature = "rustls") => {
                        usage(name, "--tls needs the feature `rustls`")
                    }
                    (Some(certificate), Some(key)) => options.tls = Some((certificate, key)),
                    _ => usage(name, "--tls needs the files of a certificate and of its key"),
                },
                "--backplane" if name == "chat" => match backplane(args.next()) {
                    Ok(url) => options.backplane = Some(url),
                    Err(problem) => usage(name, &problem),
                },
                "--threads" => options.threads = number(name, args.next()).max(1),
                addr if !addr.starts_with('-') => options.addr = addr.to_string(),
                option => match options.compression.read(option, &mut args) {
                    Ok(true) => {}
                    Ok(false) => usage(name, &format!("unknown option {option}")),
                    Err(problem) => usage(name, &problem),
                },
            }
        }
        options
    }

    /// The settings that the options ask for: the limits are the same for every kind of server.
    pub fn config(&self) -> sansws::Config {
        const MIB: usize = 1024 * 1024;
        let config = sansws::Config::new()
            .max_message_len(self.max_message_len.unwrap_or(16 * MIB))
            .max_unsent(MIB);
        self.compression.apply(config)
    }
}

/// Whether and how to compress: options of servers and clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compression {
    on: bool,
    no_context_takeover: bool,
    window_bits: Option<u8>,
}

impl Compression {
    pub const USAGE: &str = "[--deflate [--no-context-takeover] [--window-bits N]]";

    /// Reads one option; says whether it was one of these.
    pub fn read(
        &mut self,
        option: &str,
        args: &mut impl Iterator<Item = String>,
    ) -> Result<bool, String> {
        match option {
            "--deflate" if !cfg!(feature = "deflate") => {
                return Err("--deflate needs the feature `deflate`".to_string());
            }
            "--deflate" => self.on = true,
            "--no-context-takeover" => self.no_context_takeover = true,
            "--window-bits" => {
                let bits = args.next().and_then(|bits| bits.parse().ok());
                let bits = bits.filter(|bits| (8..=15).contains(bits));
                self.window_bits = Some(bits.ok_or("--window-bits needs a number from 8 to 15")?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The same in both directions. Both keep their context, where nothing else is said, which is
    /// not what a server does by default: it takes half a megabyte for every connection.
    #[cfg(feature = "deflate")]
    pub fn apply(self, config: sansws::Config) -> sansws::Config {
        if !self.on {
            return config;
        }
        let bits = self.window_bits.unwrap_or(15);
        let deflate = sansws::deflate::Deflate::new()
            .server_no_context_takeover(self.no_context_takeover)
            .client_no_context_takeover(self.no_context_takeover)
            .server_max_window_bits(bits)
            .client_max_window_bits(Some(bits));
        config.deflate(deflate)
    }

    #[cfg(not(feature = "deflate"))]
    pub fn apply(self, config: sansws::Config) -> sansws::Config {
        config
    }
}

/// The URL of an engine that is there.
fn backplane(url: Option<String>) -> Result<String, String> {
    let url = url.ok_or("--backplane needs a URL: redis://127.0.0.1 or nats://127.0.0.1")?;
    let (feature, is_there) = match url.split_once("://").map(|it| it.0) {
        Some("redis" | "rediss" | "unix") => ("redis", cfg!(feature = "redis")),
        Some("nats" | "tls") => ("nats", cfg!(feature = "nats")),
        _ => return Err(format!("--backplane needs a URL of redis:// or nats://, not {url}")),
    };
    if is_there {
        return Ok(url);
    }
    Err(format!(
        "--backplane {url} needs the feature `{feature}`: \
         cargo run --features {feature} --example chat -- --backplane {url}"
    ))
}

fn number(name: &str, arg: Option<String>) -> usize {
    match arg.as_deref().map(str::parse) {
        Some(Ok(number)) => number,
        _ => usage(name, "a number is missing or not a number"),
    }
}

fn usage(name: &str, problem: &str) -> ! {
    eprintln!("{name}: {problem}");
    let tls = if name == "chat" { " [--tls CERTIFICATE KEY] [--backplane URL]" } else { "" };
    let compression = Compression::USAGE;
    eprintln!("usage: {name} [ADDR] [--max-message-len N] [--threads N]{tls} {compression}");
    exit(2);
}

/// Prints the line that says where the server is, at once, for whoever started it.
pub fn announce(addr: SocketAddr) {
    announce_as("ws", addr);
}

/// The same, with another scheme.
pub fn announce_as(scheme: &str, addr: SocketAddr) {
    println!("listening on {scheme}://{addr}");
    // nobody may be reading
    let _ = std::io::stdout().flush();
}
