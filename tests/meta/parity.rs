//! The two adapters beside each other, by the recorded public surface: a method of one is a method
//! of the other, with the same arguments and the same result, or there is a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Methods, or whole types and traits, that only one adapter has, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("ByteReader::", "tokio::io::split takes a stream of bytes apart"),
    ("ByteWriter::", "tokio::io::split takes a stream of bytes apart"),
    ("ByteStream::split", "tokio::io::split takes a stream of bytes apart"),
    ("ByteStream::shutdown", "of AsyncWriteExt"),
    ("ByteStream::fill_buf", "of BufRead"),
    ("ByteStream::read", "of Read"),
    ("ByteStream::write", "of Write"),
    ("ByteStream::flush", "of Write"),
    ("ByteStream::poll_", "of AsyncBufRead, AsyncRead and AsyncWrite"),
    ("ClientStream::poll_", "of AsyncRead and AsyncWrite"),
    ("ClientStream::is_write_vectored", "of AsyncWrite"),
    ("ClientStream::read", "of Read"),
    ("ClientStream::read_", "of Transport and SplitTransport"),
    ("ClientStream::write", "of Write"),
    ("ClientStream::write_", "of Write, Transport and SplitTransport"),
    ("ClientStream::flush", "of Write"),
    ("ClientStream::set_", "of Transport"),
    ("ClientStream::shutdown", "of Transport"),
    ("ClientStream::shutdown_", "of Transport"),
    ("ClientStream::split", "how tokio takes a stream apart"),
    ("ClientStream::unsplit", "how tokio takes a stream apart"),
    ("ClientReadHalf::", "how tokio takes a stream apart"),
    ("ClientWriteHalf::", "how tokio takes a stream apart"),
    ("Plain::", "streams whose reads and writes cannot be bounded in time"),
    ("TlsStream::", "tokio-rustls has one that can be taken apart"),
    ("Transport::", "what a blocking stream has to be able to do"),
    ("SplitTransport::", "what a stream has to be able to do through a shared reference"),
    ("SplitStream::", "how tokio takes a stream apart"),
    ("Locked::", "how tokio takes a stream apart"),
    ("LockedHalf::", "how tokio takes a stream apart"),
    ("WebSocket::into_split", "without a lock, for streams of tokio that have halves of their own"),
    ("Receiver::poll_next", "of Stream"),
    ("Receiver::is_terminated", "of FusedStream"),
    ("Sender::poll_", "of Sink"),
    ("Sender::start_send", "of Sink"),
    ("Sender::with_control", "a Sink of control frames"),
    ("Sender::try_send", "a write to a blocking stream waits: `feed` is what does not"),
    ("WebSocket::poll_", "of Stream and Sink"),
    ("WebSocket::start_send", "of Sink"),
    ("WebSocket::is_terminated", "of FusedStream"),
    ("WebSocket::with_control", "a Sink of control frames"),
    ("WithControl::", "a Sink of control frames"),
    ("tune_listener", "as `tune`"),
    ("tune", "for the sockets of a server that accepts by itself; the event server is tokio's"),
];

/// Methods of both that differ in more than waiting, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("WebSocket::split", "of tokio takes any stream apart, by a lock"),
    ("Receiver::reunite", "of tokio says which stream the halves are of"),
    ("ByteStream::consume", "of BufRead, and of AsyncBufRead"),
    ("Reconnecting::from_fn", "of tokio connects in a future"),
    ("Reconnecting::on_connect", "of tokio has the hook in a future"),
];

/// The functions and methods of a module, each with its arguments and its result.
fn functions(surface: &str, module: &str) -> BTreeMap<String, String> {
    let prefix = format!("sansws::{module}::");
    let mut functions = BTreeMap::new();
    for line in surface.lines() {
        let Some(item) = line.strip_prefix("pub ") else { continue };
        let item = item.trim_start_matches("async ").trim_start_matches("const ");
        let Some(item) = item.strip_prefix("fn ").and_then(|item| item.strip_prefix(&*prefix))
        else {
            continue;
        };
        let item = item.replace(&prefix, "");
        let (name, signature) = item.split_once('(').unwrap();
        // the bounds on streams differ
        let signature = signature.split(" where ").next().unwrap();
        let signature = ["std::net::tcp::TcpStream", "tokio::net::tcp::stream::TcpStream"]
            .iter()
            .fold(signature.to_owned(), |text, stream| text.replace(stream, "TcpStream"));
        functions.insert(without_generics(name), signature);
    }
    functions
}

/// The name without what stands between angle brackets.
fn without_generics(name: &str) -> String {
    let mut depth = 0;
    let keep = |c: &char| match c {
        '<' => {
            depth += 1;
            false
        }
        '>' => {
            depth -= 1;
            false
        }
        _ => depth == 0,
    };
    name.chars().filter(keep).collect()
}

fn is_excepted(name: &str, list: &'static [(&'static str, &'static str)]) -> Option<&'static str> {
    let fits = |entry: &&str| {
        let is_prefix = entry.ends_with("::") || entry.ends_with('_');
        if is_prefix { name.starts_with(*entry) } else { name == *entry }
    };
    list.iter().map(|(entry, _)| *entry).find(fits)
}

#[test]
fn what_one_adapter_has_the_other_has() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public_api/surface.txt");
    let surface = fs::read_to_string(path).unwrap();
    let (blocking, tokio) = (functions(&surface, "blocking"), functions(&surface, "tokio"));
    assert!(blocking.contains_key("WebSocket::recv") && tokio.contains_key("WebSocket::recv"));
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for (here, there, adapter) in
        [(&blocking, &tokio, "the blocking adapter"), (&tokio, &blocking, "the tokio adapter")]
    {
        for (name, signature) in here {
            match there.get(name) {
                None => match is_excepted(name, EXCEPTIONS) {
                    Some(entry) => drop(used.insert(entry)),
                    None => faults.push(format!("only {adapter} has {name}")),
                },
                Some(other) if other == signature => {}
                Some(other) => match is_excepted(name, DIFFERENCES) {
                    Some(entry) => drop(used.insert(entry)),
                    None => faults.push(format!("{name}\n    {signature}\n    {other}")),
                },
            }
        }
    }
    for (entry, reason) in EXCEPTIONS.iter().chain(DIFFERENCES) {
        if !used.contains(entry) {
            faults.push(format!("{entry} ({reason}): there is no such difference any more"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What users take from the root of the crate has no second path in one of its modules.
#[test]
fn one_path_a_type() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public_api/surface.txt");
    let surface = fs::read_to_string(path).unwrap();
    let mut paths: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in surface.lines() {
        let item = line.strip_prefix("#[non_exhaustive] ").unwrap_or(line);
        let mut words = item.split([' ', '<', '(', ';']);
        if let (Some("pub"), Some("struct" | "enum" | "trait"), Some(path)) =
            (words.next(), words.next(), words.next())
        {
            let name = path.rsplit("::").next().unwrap();
            paths.entry(name).or_default().push(path);
        }
    }
    let at_the_root = |path: &&str| path.matches("::").count() == 1;
    let mut found = 0;
    for (name, paths) in &paths {
        if paths.iter().any(at_the_root) {
            found += 1;
            assert_eq!(paths.len(), 1, "{name}: {paths:?}");
        }
    }
    assert!(found > 10, "the root was not found");
}
