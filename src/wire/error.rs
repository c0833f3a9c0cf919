#![forbid(unsafe_code)]

use super::CloseCode;
use super::errors::errors;

errors! {
    /// The peer broke a rule of RFC 6455, or of RFC 7692 where messages may be compressed.
    ///
    /// A connection that returns one of these has failed: a Close frame with [`close_code`] is
    /// already in the send buffer, nothing more is read from the peer, and every later call returns
    /// the same error.
    ///
    /// [`close_code`]: Self::close_code
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum ProtocolError;

    /// The code of the Close frame that answers this violation (§7.4.1).
    answer: close_code -> CloseCode;

    /// A reserved bit is set although no extension gave it a meaning (§5.2).
    ReservedBits => CloseCode::PROTOCOL_ERROR, "RFC 6455 §5.2",
        "a reserved bit is set but no extension uses it";
    /// The opcode, 3–7 or 11–15, is not defined (§5.2).
    ReservedOpcode(opcode: u8) => CloseCode::PROTOCOL_ERROR, "RFC 6455 §5.2",
        "opcode {opcode:#x} is reserved";
    /// A client sent a frame without a masking key (§5.1).
    UnmaskedFrame => CloseCode::PROTOCOL_ERROR, "RFC 6455 §5.1",
        "frame from client is not masked";
    /// A server sent a frame with a masking key (§5.1).
    MaskedFrame => CloseCode::PROTOCOL_ERROR, "RFC 6455 §5.1",
        "frame from server is masked";
    /// A control frame has FIN clear (§5.5).
    FragmentedControlFrame => CloseCode::PROTOCOL_ERROR, "RFC 6455 §5.5",
        "control frame is fragmented";
    /// A control frame announces more than 125 bytes (§5.5).
    ControlFrameTooLong => CloseCode::PROTOCOL_ERROR, "RFC 6455 §5.5",
        "control frame has a payload of more than 125 bytes";
    /// The payload length is not in its shortest form (§5.2).
    NonMinimalLength => CloseCode::PROTOCOL_ERROR, "RFC 6455 §5.2",
        "payload length is not in its shortest form";
    /// The 64-bit payload length has its most significant bit set (§5.2).
    LengthOverflow => CloseCode::PROTOCOL_ERROR, "RFC 6455 §5.2",
        "payload length is 2^63 bytes or more";
    /// A continuation frame, and no message to continue (§5.4).
    UnexpectedContinuation => CloseCode::PROTOCOL_ERROR, "RFC 6455 §5.4",
        "continuation frame without a message to continue";
    /// A new text or binary frame before the last fragment of the message under way (§5.4).
    UnfinishedMessage => CloseCode::PROTOCOL_ERROR, "RFC 6455 §5.4",
        "new message before the last fragment of the message under way";
    /// A text message is not UTF-8 (§8.1). Reported at the first impossible byte.
    InvalidUtf8 => CloseCode::INVALID_PAYLOAD, "RFC 6455 §8.1",
        "text message is not valid UTF-8";
    /// A Close frame with a payload of one byte (§5.5.1).
    TruncatedCloseCode => CloseCode::PROTOCOL_ERROR, "RFC 6455 §5.5.1",
        "close frame with a payload of one byte";
    /// A Close frame with a code that must not be sent (§7.4).
    InvalidCloseCode(code: u16) => CloseCode::PROTOCOL_ERROR, "RFC 6455 §7.4",
        "close code {code} must not be sent";
    /// The reason in a Close frame is not UTF-8 (§5.5.1).
    InvalidCloseReason => CloseCode::INVALID_PAYLOAD, "RFC 6455 §5.5.1",
        "close reason is not valid UTF-8";
    /// The message, all its fragments together, is longer than `limit` bytes (§10.4).
    MessageTooBig {
        /// The length of the message so far, including what the last header announced, in bytes.
        announced: u64,
        /// [`Config::max_message_len`](crate::Config::max_message_len), in bytes.
        limit: u64,
    } => CloseCode::MESSAGE_TOO_BIG, "RFC 6455 §10.4",
        "message of {announced} bytes is over max_message_len {limit}; \
         raise Config::max_message_len";
    /// The message has more than `limit` fragments (§10.4).
    TooManyFragments {
        /// [`Config::max_fragments`](crate::Config::max_fragments).
        limit: u32,
    } => CloseCode::POLICY_VIOLATION, "RFC 6455 §10.4",
        "message of more than {limit} fragments; raise Config::max_fragments";
    /// More than `limit` fragments without payload in a row (§10.4).
    TooManyEmptyFragments {
        /// [`Config::max_empty_fragments`](crate::Config::max_empty_fragments).
        limit: u32,
    } => CloseCode::POLICY_VIOLATION, "RFC 6455 §10.4",
        "more than {limit} empty fragments in a row; raise Config::max_empty_fragments";
    /// A compressed message is no deflate stream, or ends inside one (RFC 7692 §7.2.2).
    InvalidDeflate => CloseCode::PROTOCOL_ERROR, "RFC 7692 §7.2.2",
        "compressed message is corrupt or cut off";
    /// A compressed message has more than `limit` blocks with BFINAL set. RFC 7692 §7.2.1 allows
    /// any number, but no compressor makes many, and each costs the receiver more than the sender.
    TooManyFinalBlocks {
        /// 16, and one for every 64 compressed bytes.
        limit: u64,
    } => CloseCode::POLICY_VIOLATION, "RFC 7692 §7.2.1",
        "compressed message with more than {limit} final blocks";
    /// Messages that are not complete, those of all connections of a server together, hold more
    /// than `limit` bytes, and this one more than its share (§10.4). Only the event server looks at
    /// that.
    Overload {
        /// `Server::max_receiving_bytes`.
        limit: u64,
    } => CloseCode::TRY_AGAIN_LATER, "RFC 6455 §10.4",
        "unfinished messages of all connections are over max_receiving_bytes {limit}; \
         raise Server::max_receiving_bytes";
}

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
