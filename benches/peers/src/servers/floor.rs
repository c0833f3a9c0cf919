//! What the two floors have in common: headers parsed, payloads unmasked and sent back, and nothing
//! that makes a WebSocket: no rule is checked, no limit kept, no close answered in form.
//!
//! All connections share the buffers. One keeps a buffer only while it holds half a frame, or bytes
//! that the socket did not take.

use std::io;
use std::ops::Range;
use std::task::Poll;

use base64::Engine;
use sha1::{Digest, Sha1};

use crate::scenario::{parse_header, push_header};

const BUFFER: usize = 1024 * 1024 + 64;

/// A socket; `Pending` when it has or takes nothing.
pub trait Socket {
    /// Whether a read that did not fill its buffer need not be followed by another one.
    const SHORT_READ_IS_ALL: bool;

    fn read(&mut self, space: &mut [u8]) -> Poll<io::Result<usize>>;

    fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>>;
}

/// What all connections share.
#[derive(Default)]
pub struct Shared {
    buffers: Vec<Vec<u8>>,
    out: Vec<u8>,
}

/// One connection.
#[derive(Default)]
pub struct Connection {
    open: bool,
    partial: Option<Box<Filled>>,
    unsent: Option<Box<Filled>>,
}

/// A buffer that is filled, or written, up to a point.
struct Filled {
    buffer: Vec<u8>,
    at: usize,
}

impl Connection {
    /// Echoes what there is; an error when the connection is over.
    pub fn drive<S: Socket>(&mut self, socket: &mut S, shared: &mut Shared) -> io::Result<()> {
        loop {
            if !self.write_unsent(socket)? {
                return Ok(());
            }
            let (mut buffer, filled) = match self.partial.take() {
                Some(partial) => (partial.buffer, partial.at),
                None => (shared.buffers.pop().unwrap_or_else(|| vec![0; BUFFER]), 0),
            };
            if filled == buffer.len() {
                buffer.resize(2 * filled, 0);
            }
            let room = buffer.len() - filled;
            let n = match socket.read(&mut buffer[filled..]) {
                Poll::Pending => {
                    self.keep(buffer, filled, shared);
                    return Ok(());
                }
                Poll::Ready(Ok(n)) if n > 0 => n,
                Poll::Ready(result) => {
                    shared.buffers.push(buffer);
                    return Err(result.err().unwrap_or(io::ErrorKind::UnexpectedEof.into()));
                }
            };
            let end = filled + n;
            let used = self.take(socket, &mut buffer[..end], &mut shared.out)?;
            if used < end {
                buffer.copy_within(used..end, 0);
            }
            self.keep(buffer, end - used, shared);
            if S::SHORT_READ_IS_ALL && n < room && self.unsent.is_none() {
                return Ok(());
            }
        }
    }

    fn keep(&mut self, buffer: Vec<u8>, filled: usize, shared: &mut Shared) {
        if filled > 0 {
            self.partial = Some(Box::new(Filled { buffer, at: filled }));
        } else {
            shared.buffers.push(buffer);
        }
    }

    /// Answers what is whole in `bytes`; how much that is.
    fn take<S: Socket>(
        &mut self,
        socket: &mut S,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
    ) -> io::Result<usize> {
        out.clear();
        if !self.open {
            if !bytes.ends_with(b"\r\n\r\n") {
                return Ok(0);
            }
            respond(bytes, out);
            self.open = true;
            self.write(socket, out)?;
            return Ok(bytes.len());
        }
        if let Some(reply) = reply_in_place(bytes) {
            let end = reply.end;
            self.write(socket, &bytes[reply])?;
            return Ok(end);
        }
        let used = push_replies(bytes, out);
        self.write(socket, out)?;
        Ok(used)
    }

    fn write<S: Socket>(&mut self, socket: &mut S, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match socket.write(bytes) {
                Poll::Ready(result) => bytes = &bytes[result?..],
                Poll::Pending => {
                    self.unsent = Some(Box::new(Filled { buffer: bytes.to_vec(), at: 0 }));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// `false` when something is left.
    fn write_unsent<S: Socket>(&mut self, socket: &mut S) -> io::Result<bool> {
        while let Some(unsent) = &mut self.unsent {
            match socket.write(&unsent.buffer[unsent.at..]) {
                Poll::Ready(result) => unsent.at += result?,
                Poll::Pending => return Ok(false),
            }
            if unsent.at == unsent.buffer.len() {
                self.unsent = None;
            }
        }
        Ok(true)
    }
}

/// The common case: one frame and nothing else. The header of the reply is shorter by the key, so
/// the reply fits where the frame is.
fn reply_in_place(bytes: &mut [u8]) -> Option<Range<usize>> {
    let header = parse_header(bytes)?;
    if header.header_len + header.len != bytes.len() {
        return None;
    }
    let key = header.key?;
    let start = 4;
    bytes.copy_within(0..header.header_len - 4, start);
    bytes[start + 1] &= 0x7f;
    apply_mask(&mut bytes[header.header_len..], key);
    Some(start..bytes.len())
}

/// Appends the frames that are whole in `bytes`, unmasked; how much of it that is.
pub fn push_replies(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while let Some(header) = parse_header(&bytes[at..]) {
        let payload = at + header.header_len;
        let Some(bytes) = bytes.get(payload..payload + header.len) else { break };
        push_header(out, header.first & 0x0f, header.len, false);
        let start = out.len();
        out.extend_from_slice(bytes);
        apply_mask(&mut out[start..], header.key.unwrap_or_default());
        at = payload + header.len;
    }
    at
}

/// The answer to a request whose key is where the load generator puts it.
pub fn respond(request: &[u8], out: &mut Vec<u8>) {
    const NAME: &[u8] = b"Sec-WebSocket-Key: ";
    let at = request.windows(NAME.len()).position(|window| window == NAME).unwrap_or(0);
    let key = &request[at + NAME.len()..];
    let mut hash = Sha1::new();
    hash.update(&key[..key.len().min(24)]);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    let mut accept = [0; 28];
    let encoded =
        base64::engine::general_purpose::STANDARD.encode_slice(hash.finalize(), &mut accept);
    debug_assert_eq!(encoded.ok(), Some(28));
    out.extend_from_slice(&accept);
    out.extend_from_slice(b"\r\n\r\n");
}

/// Masks or unmasks, with the widest registers that pay.
#[inline]
pub fn apply_mask(bytes: &mut [u8], key: [u8; 4]) {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= 64 && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has it.
        unsafe { apply_mask_avx2(bytes, key) };
        return;
    }
    apply_mask_body(bytes, key);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn apply_mask_avx2(bytes: &mut [u8], key: [u8; 4]) {
    apply_mask_body(bytes, key);
}

#[inline(always)]
fn apply_mask_body(bytes: &mut [u8], key: [u8; 4]) {
    let wide = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let (chunks, rest) = bytes.as_chunks_mut();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}
