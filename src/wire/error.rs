use core::fmt;

use super::CloseCode;

/// The peer broke a rule of RFC 6455, or of RFC 7692 where messages may be compressed.
///
/// A connection that returns one of these has failed: a Close frame with [`close_code`] is already
/// in the send buffer, nothing more is read from the peer, and every later call returns the same
/// error.
///
/// [`close_code`]: Self::close_code
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set although no extension gave it a meaning (§5.2).
    ReservedBits,
    /// The opcode, 3–7 or 11–15, is not defined (§5.2).
    ReservedOpcode(u8),
    /// A client sent a frame without a masking key (§5.1).
    UnmaskedFrame,
    /// A server sent a frame with a masking key (§5.1).
    MaskedFrame,
    /// A control frame has FIN clear (§5.5).
    FragmentedControlFrame,
    /// A control frame announces more than 125 bytes (§5.5).
    ControlFrameTooLong,
    /// The payload length is not in its shortest form (§5.2).
    NonMinimalLength,
    /// The 64-bit payload length has its most significant bit set (§5.2).
    LengthOverflow,
    /// A continuation frame, and no message to continue (§5.4).
    UnexpectedContinuation,
    /// A new text or binary frame before the last fragment of the message under way (§5.4).
    UnfinishedMessage,
    /// A text message is not UTF-8 (§8.1). Reported at the first impossible byte.
    InvalidUtf8,
    /// A Close frame with a payload of one byte (§5.5.1).
    TruncatedCloseCode,
    /// A Close frame with a code that must not be sent (§7.4).
    InvalidCloseCode(u16),
    /// The reason in a Close frame is not UTF-8 (§5.5.1).
    InvalidCloseReason,
    /// The message, all its fragments together, is longer than `limit` bytes (§10.4).
    MessageTooBig {
        /// The length of the message so far, including what the last header announced, in bytes.
        announced: u64,
        /// [`Config::max_message_len`](crate::proto::Config::max_message_len), in bytes.
        limit: u64,
    },
    /// The message has more than `limit` fragments (§10.4).
    TooManyFragments {
        /// [`Config::max_fragments`](crate::proto::Config::max_fragments).
        limit: u32,
    },
    /// More than `limit` fragments without payload in a row (§10.4).
    TooManyEmptyFragments {
        /// [`Config::max_empty_fragments`](crate::proto::Config::max_empty_fragments).
        limit: u32,
    },
    /// A compressed message is no deflate stream, or ends inside one (RFC 7692 §7.2.2).
    InvalidDeflate,
    /// A compressed message has more than `limit` blocks with BFINAL set. RFC 7692 §7.2.1 allows
    /// any number, but no compressor makes many, and each costs the receiver more than the sender.
    TooManyFinalBlocks {
        /// 16, and one for every 64 compressed bytes.
        limit: u64,
    },
    /// Messages that are not complete, those of all connections of a server together, hold more
    /// than `limit` bytes, and this one more than its share (§10.4). Only the event server looks at
    /// that.
    Overload {
        /// `Server::max_receiving_bytes`.
        limit: u64,
    },
}

impl ProtocolError {
    /// The code of the Close frame that answers this violation (§7.4.1).
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::InvalidCloseReason => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooBig { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::TooManyFragments { .. }
            | Self::TooManyEmptyFragments { .. }
            | Self::TooManyFinalBlocks { .. } => CloseCode::POLICY_VIOLATION,
            Self::Overload { .. } => CloseCode::TRY_AGAIN_LATER,
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::UnmaskedFrame
            | Self::MaskedFrame
            | Self::FragmentedControlFrame
            | Self::ControlFrameTooLong
            | Self::NonMinimalLength
            | Self::LengthOverflow
            | Self::UnexpectedContinuation
            | Self::UnfinishedMessage
            | Self::TruncatedCloseCode
            | Self::InvalidCloseCode(_)
            | Self::InvalidDeflate => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// The section that holds the broken rule, such as `"RFC 6455 §5.1"`.
    pub const fn section(self) -> &'static str {
        match self {
            Self::UnmaskedFrame | Self::MaskedFrame => "RFC 6455 §5.1",
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::NonMinimalLength
            | Self::LengthOverflow => "RFC 6455 §5.2",
            Self::UnexpectedContinuation | Self::UnfinishedMessage => "RFC 6455 §5.4",
            Self::FragmentedControlFrame | Self::ControlFrameTooLong => "RFC 6455 §5.5",
            Self::TruncatedCloseCode | Self::InvalidCloseReason => "RFC 6455 §5.5.1",
            Self::InvalidCloseCode(_) => "RFC 6455 §7.4",
            Self::InvalidUtf8 => "RFC 6455 §8.1",
            Self::MessageTooBig { .. }
            | Self::TooManyFragments { .. }
            | Self::TooManyEmptyFragments { .. }
            | Self::Overload { .. } => "RFC 6455 §10.4",
            Self::TooManyFinalBlocks { .. } => "RFC 7692 §7.2.1",
            Self::InvalidDeflate => "RFC 7692 §7.2.2",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ReservedBits => f.write_str("a reserved bit is set but no extension uses it")?,
            Self::ReservedOpcode(opcode) => write!(f, "opcode {opcode:#x} is reserved")?,
            Self::UnmaskedFrame => f.write_str("frame from client is not masked")?,
            Self::MaskedFrame => f.write_str("frame from server is masked")?,
            Self::FragmentedControlFrame => f.write_str("control frame is fragmented")?,
            Self::ControlFrameTooLong => {
                f.write_str("control frame has a payload of more than 125 bytes")?;
            }
            Self::NonMinimalLength => f.write_str("payload length is not in its shortest form")?,
            Self::LengthOverflow => f.write_str("payload length is 2^63 bytes or more")?,
            Self::UnexpectedContinuation => {
                f.write_str("continuation frame without a message to continue")?;
            }
            Self::UnfinishedMessage => {
                f.write_str("new message before the last fragment of the message under way")?;
            }
            Self::InvalidUtf8 => f.write_str("text message is not valid UTF-8")?,
            Self::TruncatedCloseCode => f.write_str("close frame with a payload of one byte")?,
            Self::InvalidCloseCode(code) => write!(f, "close code {code} must not be sent")?,
            Self::InvalidCloseReason => f.write_str("close reason is not valid UTF-8")?,
            Self::MessageTooBig { announced, limit } => write!(
                f,
                "message of {announced} bytes is over max_message_len {limit}; \
                 raise Config::max_message_len"
            )?,
            Self::TooManyFragments { limit } => {
                write!(f, "message of more than {limit} fragments; raise Config::max_fragments")?;
            }
            Self::TooManyEmptyFragments { limit } => write!(
                f,
                "more than {limit} empty fragments in a row; raise Config::max_empty_fragments"
            )?,
            Self::InvalidDeflate => f.write_str("compressed message is corrupt or cut off")?,
            Self::TooManyFinalBlocks { limit } => {
                write!(f, "compressed message with more than {limit} final blocks")?;
            }
            Self::Overload { limit } => write!(
                f,
                "unfinished messages of all connections are over max_receiving_bytes {limit}; \
                 raise Server::max_receiving_bytes"
            )?,
        }
        write!(f, " ({})", self.section())
    }
}

impl core::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn texts_name_the_rule_and_the_section() {
        assert_eq!(
            ProtocolError::UnmaskedFrame.to_string(),
            "frame from client is not masked (RFC 6455 §5.1)"
        );
        assert_eq!(
            ProtocolError::MessageTooBig { announced: 17_825_792, limit: 16_777_216 }.to_string(),
            "message of 17825792 bytes is over max_message_len 16777216; \
             raise Config::max_message_len (RFC 6455 §10.4)"
        );
        assert_eq!(
            ProtocolError::ReservedOpcode(0xb).to_string(),
            "opcode 0xb is reserved (RFC 6455 §5.2)"
        );
        assert_eq!(
            ProtocolError::InvalidDeflate.to_string(),
            "compressed message is corrupt or cut off (RFC 7692 §7.2.2)"
        );
        assert_eq!(
            ProtocolError::TooManyFinalBlocks { limit: 16 }.to_string(),
            "compressed message with more than 16 final blocks (RFC 7692 §7.2.1)"
        );
    }
}
