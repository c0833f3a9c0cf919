//! The wire format of RFC 6455 section 5: frame headers, masking, UTF-8 and close frames.
//!
//! Everything here is a plain function or value over bytes: no allocation, no state shared with
//! the rest of the crate. Use it alone to put WebSocket frames into a stack of your own.

pub(crate) mod close;
pub(crate) mod error;
mod errors;
mod header;
mod mask;
mod opcode;
mod utf8;

pub(crate) use close::{CloseCode, CloseFrame};
pub(crate) use error::ProtocolError;
pub(crate) use errors::errors;
pub use header::{EncodedHeader, FrameHeader};
pub use mask::{apply_mask, apply_mask_to};
pub use opcode::Opcode;
pub use utf8::{Utf8Error, Utf8Validator};

pub(crate) use header::{check_first_byte, check_second_byte};
pub(crate) use utf8::is_utf8;

/// The longest payload of a control frame, in bytes.
///
/// RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT
/// be fragmented."
pub const MAX_CONTROL_PAYLOAD: usize = 125;
