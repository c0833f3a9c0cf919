#![forbid(unsafe_code)]

use core::{fmt, str};

use super::{MAX_CONTROL_PAYLOAD, ProtocolError};

/// A status code that may stand in a Close frame (RFC 6455 §7.4 and the IANA registry).
///
/// 1000–1003, 1007–1014 and 3000–4999. 1005, 1006 and 1015 exist only in reports about a closed
/// connection ([`CloseInfo`](crate::proto::CloseInfo)) and are not values of this type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection has been fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server goes down, or a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: a protocol error.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a type of data that the endpoint cannot accept.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1007: data not consistent with the type of the message, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a message that violates the endpoint's policy.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message that is too big to process.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: the server did not negotiate an extension that the client needs.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: an unexpected condition prevented the request from being fulfilled.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service is restarting.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the service is overloaded; try again later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got an invalid answer from upstream.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Returns the code with this number, or `None` if it must not be sent.
    pub const fn new(code: u16) -> Option<Self> {
        // RFC 6455 §7.4.1: 1004 is reserved; 1005, 1006 and 1015 "MUST NOT be set as a status code
        // in a Close control frame by an endpoint". §7.4.2: 0–999 "are not used", 1000–2999 are
        // for the protocol and its registry, 3000–3999 for libraries, 4000–4999 for private use.
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// Returns the number that stands in the frame.
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// Returns the registry's words for a code of the protocol, or what the range is for.
    pub const fn description(self) -> &'static str {
        match self.0 {
            1000 => "normal closure",
            1001 => "going away",
            1002 => "protocol error",
            1003 => "unsupported data",
            1007 => "invalid payload data",
            1008 => "policy violation",
            1009 => "message too big",
            1010 => "mandatory extension",
            1011 => "internal error",
            1012 => "service restart",
            1013 => "try again later",
            1014 => "bad gateway",
            3000..=3999 => "registered by a library or application",
            _ => "private use",
        }
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = ProtocolError;

    fn try_from(code: u16) -> Result<Self, ProtocolError> {
        Self::new(code).ok_or(ProtocolError::InvalidCloseCode(code))
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.description())
    }
}

/// The payload of a Close frame that has one: a code and a reason (RFC 6455 §5.5.1).
///
/// A Close frame without payload is `None` wherever this type appears. The reason comes from the
/// peer: escape it before showing it to a person (`{:?}` does).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs)] // a Close payload has these two parts and no others
pub struct CloseFrame<'a> {
    /// Why the connection closes.
    pub code: CloseCode,
    /// For logs, at most [`MAX_REASON_LEN`](Self::MAX_REASON_LEN) bytes; may be empty.
    pub reason: &'a str,
}

impl<'a> CloseFrame<'a> {
    /// The longest reason in bytes: 125 for a control frame less two for the code (§5.5).
    pub const MAX_REASON_LEN: usize = MAX_CONTROL_PAYLOAD - 2;

    /// Reads the payload of a Close frame; `None` if it is empty.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::TruncatedCloseCode`], [`InvalidCloseCode`](ProtocolError::InvalidCloseCode)
    /// or [`InvalidCloseReason`](ProtocolError::InvalidCloseReason).
    pub fn parse(payload: &'a [u8]) -> Result<Option<Self>, ProtocolError> {
        // RFC 6455 §5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte
        // unsigned integer (in network byte order) representing a status code".
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(ProtocolError::TruncatedCloseCode),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        let code = CloseCode::try_from(code)?;
        let reason = str::from_utf8(reason).map_err(|_| ProtocolError::InvalidCloseReason)?;
        Ok(Some(Self { code, reason }))
    }
}

impl From<CloseCode> for CloseFrame<'static> {
    fn from(code: CloseCode) -> Self {
        Self { code, reason: "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// every one of the 65 536 codes.
    #[test]
    fn codes_that_may_stand_in_a_frame() {
        for code in 0..=u16::MAX {
            let allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            assert_eq!(CloseCode::new(code).is_some(), allowed, "{code}");
            let parsed = CloseFrame::parse(&code.to_be_bytes()).map(|frame| frame.unwrap().code);
            if allowed {
                assert_eq!(parsed.unwrap().as_u16(), code);
            } else {
                assert_eq!(parsed, Err(ProtocolError::InvalidCloseCode(code)));
            }
        }
    }

    /// U-8
    #[test]
    fn payloads() {
        assert_eq!(CloseFrame::parse(b""), Ok(None));
        assert_eq!(CloseFrame::parse(b"\x03"), Err(ProtocolError::TruncatedCloseCode));
        assert_eq!(
            CloseFrame::parse(b"\x03\xe8bye"),
            Ok(Some(CloseFrame { code: CloseCode::NORMAL, reason: "bye" }))
        );
        assert_eq!(
            CloseFrame::parse(b"\x03\xe8\xce\xba\xe1\xbd"),
            Err(ProtocolError::InvalidCloseReason)
        );
    }
}
