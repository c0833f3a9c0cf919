#![forbid(unsafe_code)]

use core::fmt;

use super::ProtocolError;

/// Kind of a frame: its opcode (RFC 6455 §5.2).
///
/// The eleven-to-fifteen and three-to-seven ranges are reserved; no value of this type stands for
/// them, so a frame with a reserved opcode can neither be parsed nor sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
// The registry is closed: new opcodes need a new version of the protocol.
#[allow(clippy::exhaustive_enums)]
pub enum Opcode {
    /// A further fragment of the message under way.
    Continuation = 0x0,
    /// The first (or only) fragment of a text message.
    Text = 0x1,
    /// The first (or only) fragment of a binary message.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// A request for a pong.
    Ping = 0x9,
    /// The answer to a ping, or an unsolicited heartbeat.
    Pong = 0xA,
}

impl Opcode {
    /// Returns the opcode in the low four bits of a frame's first byte; the high bits are ignored.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::ReservedOpcode`] for 3–7 and 11–15.
    pub const fn from_bits(bits: u8) -> Result<Self, ProtocolError> {
        // RFC 6455 §5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the
        // WebSocket Connection_."
        match bits & 0x0F {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xA => Ok(Self::Pong),
            reserved => Err(ProtocolError::ReservedOpcode(reserved)),
        }
    }

    /// Returns whether this is a close, ping or pong.
    ///
    /// RFC 6455 §5.5: "Control frames are identified by opcodes where the most significant bit of
    /// the opcode is 1."
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// The name that RFC 6455 §11.8 gives it, in lower case.
impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Continuation => "continuation",
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Close => "close",
            Self::Ping => "ping",
            Self::Pong => "pong",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_four_bit_value_is_known_or_reserved() {
        for bits in 0..=u8::MAX {
            let low = bits & 0x0F;
            match Opcode::from_bits(bits) {
                Ok(opcode) => {
                    assert_eq!(opcode as u8, low);
                    assert_eq!(opcode.is_control(), low >= 8);
                }
                Err(error) => {
                    assert_eq!(error, ProtocolError::ReservedOpcode(low));
                    assert!((3..8).contains(&low) || low > 10);
                }
            }
        }
    }
}
