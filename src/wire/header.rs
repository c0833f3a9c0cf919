#![forbid(unsafe_code)]

use core::ops::Deref;

use super::{MAX_CONTROL_PAYLOAD, Opcode, ProtocolError};

/// The head of a frame: everything before its payload (RFC 6455 §5.2).
///
/// ```
/// use sansws::wire::{FrameHeader, Opcode};
///
/// let wire = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
/// let (header, len) = FrameHeader::parse(&wire)?.expect("the header is complete");
/// assert_eq!((header.opcode, header.payload_len, len), (Opcode::Text, 5, 6));
/// assert_eq!(*header.encode(), wire[..6]);
/// # Ok::<(), sansws::ProtocolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs)] // the fields of RFC 6455 §5.2, which are fixed
pub struct FrameHeader {
    /// The last (or only) fragment of a message.
    pub fin: bool,
    /// The first reserved bit: a compressed message where permessage-deflate is in use.
    pub rsv1: bool,
    /// The second reserved bit.
    pub rsv2: bool,
    /// The third reserved bit.
    pub rsv3: bool,
    /// Kind of the payload.
    pub opcode: Opcode,
    /// The masking key, in frames from a client.
    pub mask: Option<[u8; 4]>,
    /// The length of the payload in bytes, below 2^63.
    pub payload_len: u64,
}

impl FrameHeader {
    /// The longest header: 2 bytes, an 8-byte length and a masking key.
    pub const MAX_LEN: usize = 14;

    /// Makes a header with FIN set and no reserved bit.
    pub const fn new(opcode: Opcode, payload_len: u64, mask: Option<[u8; 4]>) -> Self {
        Self { fin: true, rsv1: false, rsv2: false, rsv3: false, opcode, mask, payload_len }
    }

    /// Reads a header from the front of `buf` and says how many bytes it took; `None` if there are
    /// too few bytes to tell.
    ///
    /// Reserved bits and the presence of the mask are reported, not judged: what they may be
    /// depends on the connection.
    ///
    /// # Errors
    ///
    /// The rules that hold for every frame: [`ReservedOpcode`](ProtocolError::ReservedOpcode),
    /// [`FragmentedControlFrame`](ProtocolError::FragmentedControlFrame),
    /// [`ControlFrameTooLong`](ProtocolError::ControlFrameTooLong),
    /// [`NonMinimalLength`](ProtocolError::NonMinimalLength) and
    /// [`LengthOverflow`](ProtocolError::LengthOverflow). Each is reported as soon as the byte
    /// that breaks it is there.
    #[inline]
    pub fn parse(buf: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some(&first) = buf.first() else { return Ok(None) };
        let opcode = check_first_byte(first)?;
        let Some(&second) = buf.get(1) else { return Ok(None) };
        check_second_byte(opcode, second)?;

        let (payload_len, len_end) = match second & 0x7F {
            126 => {
                let Some(bytes) = array_at::<2>(buf, 2) else { return Ok(None) };
                let len = u16::from_be_bytes(bytes);
                // RFC 6455 §5.2: "in all cases, the minimal number of bytes MUST be used to encode
                // the length".
                if len < 126 {
                    return Err(ProtocolError::NonMinimalLength);
                }
                (u64::from(len), 4)
            }
            127 => {
                // RFC 6455 §5.2: "the most significant bit MUST be 0".
                if buf.get(2).is_some_and(|byte| byte & 0x80 != 0) {
                    return Err(ProtocolError::LengthOverflow);
                }
                let Some(bytes) = array_at::<8>(buf, 2) else { return Ok(None) };
                let len = u64::from_be_bytes(bytes);
                if len <= 0xFFFF {
                    return Err(ProtocolError::NonMinimalLength);
                }
                (len, 10)
            }
            len => (u64::from(len), 2),
        };
        let (mask, header_len) = if second & 0x80 == 0 {
            (None, len_end)
        } else {
            let Some(key) = array_at::<4>(buf, len_end) else { return Ok(None) };
            (Some(key), len_end + 4)
        };
        let header = Self {
            fin: first & 0x80 != 0,
            rsv1: first & 0x40 != 0,
            rsv2: first & 0x20 != 0,
            rsv3: first & 0x10 != 0,
            opcode,
            mask,
            payload_len,
        };
        Ok(Some((header, header_len)))
    }

    /// Returns the bytes of this header, its length in the shortest form.
    ///
    /// It is written as it stands: keep control frames at 125 bytes and FIN set, and
    /// `payload_len` below 2^63, or the peer will fail the connection.
    #[inline]
    pub const fn encode(&self) -> EncodedHeader {
        let first = (self.fin as u8) << 7
            | (self.rsv1 as u8) << 6
            | (self.rsv2 as u8) << 5
            | (self.rsv3 as u8) << 4
            | self.opcode as u8;
        let masked = (self.mask.is_some() as u8) << 7;
        let [h, g, f, e, d, c, b, a] = self.payload_len.to_be_bytes();
        let (mut bytes, len) = if self.payload_len < 126 {
            ([first, masked | a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 2)
        } else if self.payload_len <= 0xFFFF {
            ([first, masked | 126, b, a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4)
        } else {
            ([first, masked | 127, h, g, f, e, d, c, b, a, 0, 0, 0, 0], 10)
        };
        let Some(key) = self.mask else { return EncodedHeader { bytes, len: len as u8 } };
        [bytes[len], bytes[len + 1], bytes[len + 2], bytes[len + 3]] = key;
        let len = len + 4;
        EncodedHeader { bytes, len: len as u8 }
    }
}

/// The 2 to 14 bytes of a header; a byte slice in all but name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)] // zeros follow the length

pub struct EncodedHeader {
    bytes: [u8; FrameHeader::MAX_LEN],
    len: u8,
}

impl EncodedHeader {
    /// Returns the bytes, and zeros behind them.
    #[inline]
    pub(crate) const fn padded(&self) -> &[u8; FrameHeader::MAX_LEN] {
        &self.bytes
    }
}

impl Deref for EncodedHeader {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl AsRef<[u8]> for EncodedHeader {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Returns the rules that the first byte of any frame can break by itself.
#[inline]
pub(crate) const fn check_first_byte(first: u8) -> Result<Opcode, ProtocolError> {
    let opcode = match Opcode::from_bits(first) {
        Ok(opcode) => opcode,
        Err(error) => return Err(error),
    };
    // RFC 6455 §5.5: control frames "MUST NOT be fragmented".
    if opcode.is_control() && first & 0x80 == 0 {
        return Err(ProtocolError::FragmentedControlFrame);
    }
    Ok(opcode)
}

/// Returns the rules that the second byte can break, given the opcode.
#[inline]
pub(crate) const fn check_second_byte(opcode: Opcode, second: u8) -> Result<(), ProtocolError> {
    if opcode.is_control() && (second & 0x7F) as usize > MAX_CONTROL_PAYLOAD {
        return Err(ProtocolError::ControlFrameTooLong);
    }
    Ok(())
}

#[inline]
fn array_at<const N: usize>(buf: &[u8], offset: usize) -> Option<[u8; N]> {
    buf.get(offset..)?.first_chunk::<N>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn round_trip(header: FrameHeader) {
        let encoded = header.encode();
        for end in 0..encoded.len() {
            assert_eq!(FrameHeader::parse(&encoded[..end]), Ok(None), "{header:?} cut at {end}");
        }
        assert_eq!(FrameHeader::parse(&encoded), Ok(Some((header, encoded.len()))));
    }

    /// F-11: every length class, both roles, every flag.
    #[test]
    fn encode_then_parse_is_identity() {
        let lens = [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 31, 1 << 32, (1 << 63) - 1];
        for opcode in [Opcode::Continuation, Opcode::Text, Opcode::Binary] {
            for payload_len in lens {
                for mask in [None, Some(KEY), Some([0; 4])] {
                    for bits in 0..16 {
                        round_trip(FrameHeader {
                            fin: bits & 1 != 0,
                            rsv1: bits & 2 != 0,
                            rsv2: bits & 4 != 0,
                            rsv3: bits & 8 != 0,
                            opcode,
                            mask,
                            payload_len,
                        });
                    }
                }
            }
        }
        for opcode in [Opcode::Close, Opcode::Ping, Opcode::Pong] {
            for payload_len in [0, 1, 125] {
                round_trip(FrameHeader::new(opcode, payload_len, Some(KEY)));
                round_trip(FrameHeader::new(opcode, payload_len, None));
            }
        }
    }

    /// F-11
    #[test]
    fn lengths_are_minimal() {
        let header = |len| FrameHeader::new(Opcode::Binary, len, None).encode();
        assert_eq!(*header(125), [0x82, 0x7d]);
        assert_eq!(*header(126), [0x82, 0x7e, 0x00, 0x7e]);
        assert_eq!(*header(65_535), [0x82, 0x7e, 0xff, 0xff]);
        assert_eq!(*header(65_536), [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    /// F-12, F-13, F-15, F-22, F-23: the error comes with the byte that makes it certain.
    #[test]
    fn violations_are_found_at_their_byte() {
        let cases: &[(&[u8], usize, ProtocolError)] = &[
            (&[0x82, 0x7e, 0x00, 0x7d], 4, ProtocolError::NonMinimalLength),
            (&[0x82, 0xfe, 0x00, 0x00], 4, ProtocolError::NonMinimalLength),
            (&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 10, ProtocolError::NonMinimalLength),
            (&[0x82, 0xff, 0x80], 3, ProtocolError::LengthOverflow),
            (&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff], 3, ProtocolError::LengthOverflow),
            (&[0x83], 1, ProtocolError::ReservedOpcode(3)),
            (&[0x8b], 1, ProtocolError::ReservedOpcode(11)),
            (&[0x09], 1, ProtocolError::FragmentedControlFrame),
            (&[0x08], 1, ProtocolError::FragmentedControlFrame),
            (&[0x89, 0xfe], 2, ProtocolError::ControlFrameTooLong),
            (&[0x88, 0x7f], 2, ProtocolError::ControlFrameTooLong),
        ];
        for (bytes, certain_at, error) in cases {
            for end in 0..=bytes.len() {
                let expected = if end < *certain_at { Ok(None) } else { Err(*error) };
                assert_eq!(FrameHeader::parse(&bytes[..end]), expected, "{bytes:x?} to {end}");
            }
        }
    }
}
