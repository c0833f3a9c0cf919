//! The entry functions of the fuzzers, and what they hold the crate to.
//!
//! `tests/core/fuzz.rs` has them as a module of its own, so that they are compiled and run with
//! every `cargo test`: a change that breaks them breaks the build. Each takes any bytes and panics
//! when the crate does something it must not do.
//!
//! The first bytes of an input say how the rest is used:
//!
//! ```text
//! [switches] [length of the plan, 0 to 15] [plan] [what the peer sends]
//! ```

#[cfg(feature = "std")]
mod byte_stream;
#[cfg(feature = "deflate")]
mod deflate;
#[cfg(feature = "deflate")]
mod deflate_streams;
mod endpoint;
#[cfg(feature = "server")]
mod envelope;
#[cfg(feature = "server")]
mod forwarded;
mod frames;
mod inflate;
pub mod model;
mod negotiation;
mod operations;
mod parsers;
mod refusal;
mod request;
mod response;
#[cfg(feature = "server")]
mod routes;
mod second_opinion;
mod source;
mod url;
mod utf8;

#[cfg(feature = "std")]
pub use byte_stream::byte_stream;
#[cfg(feature = "deflate")]
pub use deflate::compressed_messages;
#[cfg(feature = "deflate")]
pub use deflate_streams::deflate_streams;
pub use endpoint::{endpoint_client, endpoint_server};
#[cfg(feature = "server")]
pub use envelope::backplane_envelope;
#[cfg(feature = "server")]
pub use forwarded::forwarded_headers;
pub use frames::{frame_stream_client, frame_stream_server};
pub use operations::operations;
pub use parsers::request_parts;
pub use refusal::refusal_body;
pub use request::handshake_request;
pub use response::handshake_response;
#[cfg(feature = "server")]
pub use routes::server_routes;
pub use url::client_url;
pub use utf8::utf8;

use sansws::buf::RecvBuffer;

/// An input, taken apart.
#[derive(Clone, Copy, Debug)]
struct Input<'a> {
    switches: u8,
    plan: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn new(data: &'a [u8]) -> Self {
        let (&switches, rest) = data.split_first().unwrap_or((&0, &[]));
        let (&plan_len, rest) = rest.split_first().unwrap_or((&0, &[]));
        let (plan, bytes) = rest.split_at(usize::from(plan_len % 16).min(rest.len()));
        Self { switches, plan, bytes }
    }

    fn is_set(&self, switch: u32) -> bool {
        self.switches >> switch & 1 != 0
    }

    /// What the peer sends, in the pieces of the plan, over and over; byte by byte without a plan.
    fn pieces(&self) -> Vec<Piece<'a>> {
        let mut left = self.bytes;
        let mut pieces = Vec::new();
        let mut steps = self.plan.iter().cycle();
        while !left.is_empty() {
            let step = steps.next().copied().unwrap_or(0);
            let len = match usize::from(step & 0x3F) {
                small @ 0..48 => small + 1,
                large => (large - 47) * 256,
            };
            let (bytes, rest) = left.split_at(len.min(left.len()));
            left = rest;
            pieces.push(Piece { bytes, way: step >> 6 });
        }
        pieces
    }
}

/// Bytes that arrive together.
#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    bytes: &'a [u8],
    /// How they get into the receive buffer.
    way: u8,
}

impl Piece<'_> {
    /// Puts the piece into the buffer in one of the ways there are, which must all be the same.
    fn feed(self, rx: &mut RecvBuffer) {
        let mut left = self.bytes;
        match self.way {
            2 => {
                while !left.is_empty() {
                    let space = rx.space();
                    let n = space.len().min(left.len());
                    space[..n].copy_from_slice(&left[..n]);
                    rx.commit(n);
                    left = &left[n..];
                }
            }
            3 => {
                while !left.is_empty() {
                    let mut space = rx.take_space();
                    let n = space.len().min(left.len());
                    space[..n].copy_from_slice(&left[..n]);
                    rx.put_space(space, n);
                    left = &left[n..];
                }
            }
            _ => rx.extend_from_slice(left),
        }
    }
}

/// What a peer sends decides how much memory is taken, byte by byte: never what it announces.
fn check_memory(rx: &RecvBuffer, received: usize, read_ahead: usize) {
    let bound = 2 * received + 2 * read_ahead.max(RecvBuffer::DEFAULT_READ_AHEAD);
    assert!(rx.capacity() <= bound, "{} bytes held for {received} received", rx.capacity());
}
