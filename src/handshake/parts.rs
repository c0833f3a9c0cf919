use alloc::vec::Vec;

use super::reader::{HeadReader, Kind};
use super::{HandshakeError, list};
use crate::buf::RecvBuffer;
use crate::config::Config;

/// Head that is put together of what another HTTP stack has taken apart, to be read as any other:
/// so the rules and the limits are the same.
pub(super) struct Parts(Vec<u8>);

impl Parts {
    /// Begins with the first line, in pieces that have no line end in them.
    pub(super) fn new(first_line: &[&[u8]]) -> Self {
        let mut parts = Self(Vec::new());
        parts.put(first_line);
        parts.put(&[b"\r\n"]);
        parts
    }

    fn put(&mut self, pieces: &[&[u8]]) {
        pieces.iter().for_each(|piece| self.0.extend_from_slice(piece));
    }

    /// Adds a header line. Nothing in a part may end it: it would become a header that nobody sent.
    pub(super) fn header(&mut self, name: &[u8], value: &[u8]) -> Result<(), HandshakeError> {
        if !list::is_token(name) || value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            return Err(HandshakeError::MalformedHeader);
        }
        self.put(&[name, b": ", value, b"\r\n"]);
        Ok(())
    }

    /// Adds header lines.
    pub(super) fn headers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), HandshakeError> {
        headers.into_iter().try_for_each(|(name, value)| self.header(name.as_ref(), value.as_ref()))
    }

    /// Reads the head.
    pub(super) fn read(
        mut self,
        kind: Kind,
        config: &Config,
    ) -> Result<HeadReader, HandshakeError> {
        self.put(&[b"\r\n"]);
        let mut rx = RecvBuffer::new();
        rx.extend_from_slice(&self.0);
        let mut reader = HeadReader::new(kind, config);
        if reader.read(&mut rx)? { Ok(reader) } else { Err(HandshakeError::MalformedHeader) }
    }
}
