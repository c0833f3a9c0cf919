//! Common parts of the opening handshakes of both adapters.
#![forbid(unsafe_code)]

use crate::endpoint::EndpointError;
use crate::error::Error;
use crate::handshake::HandshakeError;
use crate::handshake::client::Accepted;
use crate::handshake::server::Request;

/// A step of an endpoint that is not the stream's.
pub(crate) enum Stop {
    Request(Request),
    Response(Accepted),
    Over(Result<(), Error>),
}

/// Returns the result of an endpoint, with the reason why its stream failed in place of the bare
/// end that this shows as. What came before the failure counts.
pub(crate) fn with_reason(
    result: Result<(), EndpointError>,
    reason: &mut Option<Error>,
) -> Result<(), Error> {
    let Err(failure) = result else { return Ok(()) };
    let is_end = matches!(
        failure,
        EndpointError::Disconnected | EndpointError::Handshake(HandshakeError::Incomplete)
    );
    Err(reason.take_if(|_| is_end).unwrap_or_else(|| failure.into()))
}
