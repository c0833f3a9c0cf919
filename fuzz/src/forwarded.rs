use std::net::{IpAddr, SocketAddr};

use sansws::Config;
use sansws::handshake::server::Request;
use sansws::server::ProxyHeaders;
use sansws::server::fuzzing::forwarded;

/// Whatever a client writes in front: what the last proxy appends to a header is what counts.
///
/// The input is header lines of a client. A proxy that is trusted then appends what it has seen, to
/// the last line of each header or in a line of its own, in either of the two customs.
pub fn forwarded_headers(data: &[u8]) {
    let (&switches, rest) = data.split_first().unwrap_or((&0, &[]));
    let mut lines: Vec<(String, Vec<u8>)> = Vec::new();
    for line in rest.split(|byte| *byte == b'\n').take(20) {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        let Ok(name) = str::from_utf8(&line[..at]) else { continue };
        lines.push((name.to_owned(), line[at + 1..].to_vec()));
    }
    let hops = usize::from(switches >> 4);
    let config = Config::new();
    let read = |lines: &[(String, Vec<u8>)]| {
        let headers = lines.iter().map(|(name, value)| (name, value));
        Request::from_parts("GET", "/", headers, &config).ok()
    };
    lines.push(("Host".into(), b"example.com".to_vec()));

    // nobody is trusted, and nobody is believed
    let Some(request) = read(&lines) else { return };
    for headers in [ProxyHeaders::XForwarded, ProxyHeaders::Forwarded] {
        assert_eq!(forwarded(&request, headers, 0), Ok((None, None, None)));
        // whatever is said: an answer
        if let Err(status) = forwarded(&request, headers, hops) {
            assert_eq!(status, 400);
        }
    }
    check_element_by_element(&request, &lines, hops);

    let own_line = switches & 1 != 0;
    let mut append = |name: &str, element: &str| {
        let of_name = |line: &&mut (String, Vec<u8>)| line.0.eq_ignore_ascii_case(name);
        match lines.iter_mut().rev().find(of_name) {
            Some((_, value)) if !own_line => {
                value.extend_from_slice(b", ");
                value.extend_from_slice(element.as_bytes());
            }
            _ => lines.push((name.into(), element.into())),
        }
    };
    append("X-Forwarded-For", "192.0.2.7");
    append("X-Forwarded-Host", "proxy.example:8443");
    append("X-Forwarded-Proto", "https");
    append("Forwarded", "for=192.0.2.7;host=\"proxy.example:8443\";proto=https");
    let Some(request) = read(&lines) else { return };
    let said = (Some([192, 0, 2, 7].into()), Some(true), Some("proxy.example:8443".to_owned()));
    for headers in [ProxyHeaders::XForwarded, ProxyHeaders::Forwarded] {
        assert_eq!(forwarded(&request, headers, 1), Ok(said.clone()), "{headers:?}");
    }
}

/// The address is that of the element that another count finds.
fn check_element_by_element(request: &Request, lines: &[(String, Vec<u8>)], hops: usize) {
    let is_it = |name: &String| name.eq_ignore_ascii_case("X-Forwarded-For");
    let elements: Vec<&[u8]> = lines
        .iter()
        .filter(|(name, _)| is_it(name))
        .flat_map(|(_, value)| value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
        .collect();
    let trusted = &elements[elements.len() - hops.min(elements.len())..];
    let expected = trusted.first().map(|element| {
        let text = str::from_utf8(element).ok()?;
        let text = text.split('%').next()?;
        let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
        let ip: Option<IpAddr> = bare.parse().ok();
        ip.or_else(|| text.parse::<SocketAddr>().ok().map(|it| it.ip()))
    });
    if let Ok((ip, ..)) = forwarded(request, ProxyHeaders::XForwarded, hops) {
        let expected = expected.map(|ip| ip.map(|ip| ip.to_canonical()));
        assert_eq!(ip.map(Some), expected);
    }
}
