use std::cmp::Ordering;

use sansws::server::fuzzing::route;

/// Routes in whatever order, and a path: the route that is found, and its parameters, are those
/// that a look at all routes finds.
///
/// An input is lines: the path, and then the routes.
pub fn server_routes(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let path = lines.next().unwrap_or_default();
    let routes: Vec<&str> = lines.take(16).collect();
    let (taken, found) = route(&routes, path);

    let mut before: Vec<Vec<Segment<'_>>> = Vec::new();
    let mut best: Option<(usize, Vec<Segment<'_>>, Vec<String>)> = None;
    for (at, route) in routes.iter().enumerate() {
        let segments = segments(route).filter(|new| {
            !before.iter().any(|old| compare(old, new) == Ordering::Equal && old.len() == new.len())
        });
        assert_eq!(segments.is_some(), taken[at], "{route:?}");
        let Some(segments) = segments else { continue };
        before.push(segments.clone());
        if let Some(params) = matched(&segments, path)
            && best.as_ref().is_none_or(|(_, best, _)| compare(&segments, best) == Ordering::Less)
        {
            best = Some((at, segments, params));
        }
    }
    assert_eq!(found, best.map(|(at, _, params)| (at, params)), "{path:?} {routes:?}");
}

#[derive(Clone, Copy, Debug)]
enum Segment<'a> {
    Literal(&'a str),
    Param(&'a str),
    Rest(&'a str),
}

/// The segments of a route; `None` if it can be none.
fn segments(route: &str) -> Option<Vec<Segment<'_>>> {
    let mut segments = Vec::new();
    let mut names = Vec::new();
    let texts: Vec<&str> = route.strip_prefix('/')?.split('/').collect();
    for (i, text) in texts.iter().enumerate() {
        let inside = text.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
        let segment = match inside {
            None => Segment::Literal(text),
            Some(inside) => match inside.strip_prefix('*') {
                Some(name) => Segment::Rest(name),
                None => Segment::Param(inside),
            },
        };
        match segment {
            Segment::Literal(text) => {
                let forbidden = |c: char| !c.is_ascii_graphic() || "{}?#".contains(c);
                if text.contains(forbidden) {
                    return None;
                }
            }
            Segment::Param(name) | Segment::Rest(name) => {
                let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
                if name.is_empty() || !name.chars().all(allowed) || names.contains(&name) {
                    return None;
                }
                names.push(name);
            }
        }
        if matches!(segment, Segment::Rest(_)) && i + 1 < texts.len() {
            return None;
        }
        segments.push(segment);
    }
    Some(segments)
}

/// The order of preference: from left to right a text, then a parameter, then all of the rest.
fn compare(left: &[Segment<'_>], right: &[Segment<'_>]) -> Ordering {
    let rank = |segment: &Segment<'_>| match segment {
        Segment::Literal(_) => 0,
        Segment::Param(_) => 1,
        Segment::Rest(_) => 2,
    };
    for (left, right) in left.iter().zip(right) {
        let order = match (left, right) {
            (Segment::Literal(left), Segment::Literal(right)) => left.cmp(right),
            _ => rank(left).cmp(&rank(right)),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    left.len().cmp(&right.len())
}

fn matched(route: &[Segment<'_>], path: &str) -> Option<Vec<String>> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let mut params = Vec::new();
    for (i, segment) in route.iter().enumerate() {
        let text = segments.get(i)?;
        match segment {
            Segment::Literal(literal) if literal == text => {}
            Segment::Literal(_) => return None,
            Segment::Param(_) if text.is_empty() => return None,
            Segment::Param(_) => params.push(decoded(text)?),
            Segment::Rest(_) => {
                let rest = segments[i..].join("/");
                if rest.is_empty() {
                    return None;
                }
                params.push(decoded(&rest)?);
                return Some(params);
            }
        }
    }
    (route.len() == segments.len()).then_some(params)
}

/// RFC 3986 §2.1.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.as_bytes().split(|byte| *byte == b'%');
    let mut bytes = parts.next()?.to_vec();
    for part in parts {
        let digits = str::from_utf8(part.get(..2)?).ok()?;
        if !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part[2..]);
    }
    String::from_utf8(bytes).ok()
}
