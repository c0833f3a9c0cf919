use crate::error::Error;
use crate::handshake::client::{Refused, Request};
use crate::way::RedirectError;

/// Returns the request that an answer leads to: `None` if it is no redirection.
fn target(
    request: &Request,
    refused: &Refused,
    followed: usize,
    limit: usize,
) -> Result<Option<Request>, RedirectError> {
    // RFC 9110 §15.4: the others offer a choice, or are about caches and proxies
    if !matches!(refused.status(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = refused.header("Location") else { return Ok(None) };
    if followed >= limit {
        return Err(RedirectError::TooMany { limit, location: location.into() });
    }
    let next = request
        .redirected(location)
        .map_err(|error| RedirectError::Location { location: location.into(), error })?;
    if request.is_secure() && !next.is_secure() {
        return Err(RedirectError::Insecure { location: location.into() });
    }
    Ok(Some(next))
}

/// Returns the request to go on with after an error, and counts it; or the error, if there is none.
pub(super) fn next(
    request: &Request,
    error: Error,
    followed: &mut usize,
    limit: usize,
) -> Result<Request, Error> {
    let Error::Refused(refused) = &error else { return Err(error) };
    if limit == 0 {
        return Err(error);
    }
    let next = target(request, refused, *followed, limit)?.ok_or(error)?;
    *followed += 1;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;
    use crate::buf::{RecvBuffer, SendBuffer};
    use crate::config::Config;
    use crate::handshake::client::{Handshake, Response};

    fn refused(head: &str) -> Error {
        let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
        let request = Request::new("ws://h").unwrap();
        let mut it = Handshake::start(&request, [1; 16], &Config::new(), &mut tx).unwrap();
        rx.extend_from_slice(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        match it.read_response(&mut rx) {
            Ok(Some(Response::Refused(refused))) => refused.into(),
            other => panic!("{other:?}"),
        }
    }

    fn follow(from: &str, head: &str, followed: usize, limit: usize) -> Result<Request, Error> {
        let mut followed = followed;
        next(&Request::new(from).unwrap(), refused(head), &mut followed, limit)
    }

    #[test]
    fn followed_on_request() {
        let head = "302 Found\r\nLocation: /b";
        assert!(matches!(follow("ws://h/a", head, 0, 0), Err(Error::Refused(_))));
        assert_eq!(follow("ws://h/a", head, 0, 1).unwrap().target(), "/b");
        for status in ["301", "302", "303", "307", "308"] {
            let head = format!("{status} x\r\nLocation: https://o/b");
            let next = follow("ws://h/a", &head, 2, 3).unwrap();
            assert_eq!((next.authority(), next.is_secure()), ("o", true), "{status}");
        }
        for head in [
            "300 x\r\nLocation: /b",
            "304 x\r\nLocation: /b",
            "305 x\r\nLocation: /b",
            "201 x\r\nLocation: /b",
            "401 x\r\nLocation: /b",
            "302 x",
        ] {
            assert!(matches!(follow("ws://h", head, 0, 5), Err(Error::Refused(_))), "{head}");
        }
        let error = follow("ws://h", "302 x\r\nLocation: /b", 0, 5);
        assert!(error.is_ok());
        let other = next(&Request::new("ws://h").unwrap(), Error::HandshakeTimeout, &mut 0, 5);
        assert!(matches!(other, Err(Error::HandshakeTimeout)));
    }

    #[test]
    fn texts() {
        let text = |result: Result<Request, Error>| result.unwrap_err().to_string();
        assert_eq!(
            text(follow("ws://h", "302 Found\r\nLocation: /b", 3, 3)),
            "the server redirects to /b, which is one more than the 3 that `follow_redirects` \
             allows"
        );
        for location in ["ws://h/b", "http://h/b"] {
            assert_eq!(
                text(follow("wss://h", &format!("302 Found\r\nLocation: {location}"), 0, 3)),
                format!(
                    "the server redirects from `wss://` to {location}, which has no TLS: that is \
                     not followed, since everybody on the way could read it and write to it"
                )
            );
        }
        assert_eq!(
            text(follow("ws://h", "302 Found\r\nLocation: mailto:me", 0, 3)),
            "the server redirects to mailto:me, which cannot be followed: URL must begin with \
             ws:// or wss:// (RFC 6455 §3)"
        );
    }
}
