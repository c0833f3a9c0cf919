//! What compression costs, and what it saves: JSON texts that come compressed and go back
//! compressed.

use std::io;

use flate2::{Compress, Compression, FlushCompress};

use crate::Options;
use crate::end_to_end::{start_all, visit_all};
use crate::report::{Cell, Grid, median};
use crate::scenario::COMPRESSION;
use crate::servers::For;

/// Different texts: as many as a compressor with takeover is likely to remember some of.
pub const TEXTS: usize = 64;

/// Microseconds of processor time, and bytes of payload, for each message.
pub fn measure(options: &Options, cpus: (usize, usize)) -> io::Result<[Grid; 2]> {
    let running = start_all(options, For::Compression, &["--deflate"], cpus.0)?;
    let scenarios: Vec<_> = COMPRESSION.iter().collect();
    let results = visit_all(options, &running, &scenarios, cpus.1)?;
    Ok([
        results.costs("Processor time per message, µs (median)"),
        results.grid("Bytes of a message that comes back", |row| Cell::new(median(&row.bytes), 0)),
    ])
}

/// What a client offers: messages of its own that are compressed each on its own, and those of the
/// server likewise, or with what came before.
pub fn offer(name: &str) -> &'static str {
    match name {
        "takeover" => {
            "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"
        }
        _ => {
            "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; \
             server_no_context_takeover\r\n"
        }
    }
}

/// Compresses a message on its own (RFC 7692 §7.2.1).
pub fn compress(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut compress = Compress::new(Compression::new(6), false);
    let done = compress.compress_vec(text, &mut out, FlushCompress::Sync);
    assert!(done.is_ok() && out.ends_with(&[0, 0, 0xff, 0xff]), "there is room");
    out.truncate(out.len() - 4);
    out
}
