use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// A path with places for parameters: `/chat/{room}`, `/files/{*rest}`.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: Box<str>,
    segments: Vec<Segment>,
    names: Vec<Box<str>>,
}

/// A segment of a pattern. The order is that in which they are preferred.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(Box<str>),
    /// `{name}`: any segment that is not empty.
    Param,
    /// `{*name}`: all that follows, at least one segment.
    Rest,
}

/// The values of a path's parameters, decoded.
pub(crate) type Params = Box<[Box<str>]>;

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, PathError> {
        let invalid = |problem| PathError { path: text.into(), problem };
        let path = text.strip_prefix('/').ok_or_else(|| invalid(Problem::Relative))?;
        let mut this = Self { text: text.into(), segments: Vec::new(), names: Vec::new() };
        for segment in path.split('/') {
            if this.segments.last() == Some(&Segment::Rest) {
                return Err(invalid(Problem::RestInside));
            }
            let Some(param) = segment.strip_prefix('{').and_then(|it| it.strip_suffix('}')) else {
                if segment.contains(['{', '}']) {
                    return Err(invalid(Problem::PartOfSegment));
                }
                if segment.contains(['?', '#']) || !segment.bytes().all(|it| it.is_ascii_graphic())
                {
                    return Err(invalid(Problem::Character));
                }
                this.segments.push(Segment::Literal(segment.into()));
                continue;
            };
            let (kind, name) = match param.strip_prefix('*') {
                Some(name) => (Segment::Rest, name),
                None => (Segment::Param, param),
            };
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            if name.is_empty() || !name.bytes().all(is_name) || this.position(name).is_some() {
                return Err(invalid(Problem::Name));
            }
            this.segments.push(kind);
            this.names.push(name.into());
        }
        Ok(this)
    }

    /// Returns the parameters of a path that is not decoded yet, if this is a pattern for it.
    fn matches(&self, path: &str) -> Option<Params> {
        let mut values: Vec<Box<str>> = Vec::with_capacity(self.names.len());
        let mut rest = Some(path.strip_prefix('/')?);
        for segment in &self.segments {
            let all = rest?;
            let (first, behind) = match all.split_once('/') {
                Some((first, behind)) => (first, Some(behind)),
                None => (all, None),
            };
            match segment {
                Segment::Literal(literal) if **literal == *first => {}
                Segment::Literal(_) => return None,
                Segment::Param if first.is_empty() => return None,
                Segment::Param => values.push(decode(first)?.into()),
                Segment::Rest if all.is_empty() => return None,
                Segment::Rest => {
                    values.push(decode(all)?.into());
                    return Some(values.into());
                }
            }
            rest = behind;
        }
        rest.is_none().then(|| values.into())
    }

    /// Returns where the parameter of that name stands in [`Params`].
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| **other == *name)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_literal(&self) -> bool {
        self.names.is_empty()
    }
}

/// A table of paths and what is there.
#[derive(Debug)]
pub(crate) struct Table<T>(Vec<(Arc<Pattern>, T)>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Table<T> {
    pub(crate) fn insert(&mut self, path: &str, value: T) -> Result<(), PathError> {
        let pattern = Pattern::parse(path)?;
        let at = self.0.binary_search_by(|(other, _)| other.segments.cmp(&pattern.segments));
        match at {
            Ok(_) => Err(PathError { path: path.into(), problem: Problem::Taken }),
            Err(at) => {
                self.0.insert(at, (Arc::new(pattern), value));
                Ok(())
            }
        }
    }

    /// Makes the table of what becomes of each value, or returns the first failure with its path.
    pub(crate) fn try_map<U, E>(
        self,
        mut make: impl FnMut(T) -> Result<U, E>,
    ) -> Result<Table<U>, (Arc<Pattern>, E)> {
        let made = self.0.into_iter().map(|(pattern, value)| match make(value) {
            Ok(made) => Ok((pattern, made)),
            Err(error) => Err((pattern, error)),
        });
        made.collect::<Result<_, _>>().map(Table)
    }

    /// Returns all values, in the order in which their paths are looked at.
    #[cfg(feature = "deflate")]
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Returns what is at a path. A literal segment is preferred to a parameter, from left to
    /// right, in whatever order they were added.
    pub(crate) fn find(&self, path: &str) -> Option<(&Arc<Pattern>, &T, Params)> {
        self.0.iter().find_map(|(pattern, value)| {
            pattern.matches(path).map(|params| (pattern, value, params))
        })
    }
}

/// Decodes percent-encoding; `None` if it is malformed, or the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let hex = |digit: Option<u8>| char::from(digit?).to_digit(16);
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (hex(bytes.next())? * 16 + hex(bytes.next())?) as u8,
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

/// A path that cannot be a route or that of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    path: Box<str>,
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Relative,
    PartOfSegment,
    RestInside,
    Name,
    Character,
    Taken,
    Parameters,
}

impl PathError {
    /// Makes the error for a path that can have no parameters.
    pub(crate) fn with_parameters(path: &str) -> Self {
        Self { path: path.into(), problem: Problem::Parameters }
    }

    /// Returns the path.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.problem {
            Problem::Relative => "begin it with `/`",
            Problem::PartOfSegment => "a parameter is a whole segment: write `/{name}/`",
            Problem::RestInside => "`{*name}` takes all that follows: put it last",
            Problem::Name => {
                "each parameter needs a name of its own of letters, digits, `_` and `-`"
            }
            Problem::Character => "write it as it stands in a request: percent-encoded, no query",
            Problem::Parameters => "this one can have no parameters: write it out",
            Problem::Taken => "another one has the same form: change one of them",
        };
        write!(f, "the path {:?}: {what}", self.path)
    }
}

impl core::error::Error for PathError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn params(pattern: &str, path: &str) -> Option<Vec<String>> {
        let params = Pattern::parse(pattern).unwrap().matches(path)?;
        Some(params.iter().map(|value| value.to_string()).collect())
    }

    #[test]
    fn parameters() {
        assert_eq!(params("/", "/"), Some(vec![]));
        assert_eq!(params("/", "/a"), None);
        assert_eq!(params("/chat", "/chat"), Some(vec![]));
        assert_eq!(params("/chat", "/chat/"), None);
        assert_eq!(params("/chat", "/Chat"), None);
        assert_eq!(params("/chat/{room}", "/chat/a"), Some(vec!["a".into()]));
        assert_eq!(params("/chat/{room}", "/chat/caf%C3%A9%2F"), Some(vec!["caf\u{e9}/".into()]));
        for path in
            ["/chat/", "/chat", "/chat/a/", "/chat/a/b", "/chat/%", "/chat/%zz", "/chat/%ff", "*"]
        {
            assert_eq!(params("/chat/{room}", path), None, "{path}");
        }
        assert_eq!(params("/{a}/x/{b}", "/1/x/2"), Some(vec!["1".into(), "2".into()]));
        assert_eq!(params("/f/{*rest}", "/f/a/b%20c/"), Some(vec!["a/b c/".into()]));
        assert_eq!(params("/f/{*rest}", "/f/"), None);
    }

    #[test]
    fn the_more_literal_path_wins() {
        let mut table = Table::default();
        for path in ["/{*all}", "/{a}", "/chat/{room}", "/chat/lobby", "/{a}/lobby"] {
            table.insert(path, path).unwrap();
        }
        for (path, expected) in [
            ("/chat/lobby", "/chat/lobby"),
            ("/chat/other", "/chat/{room}"),
            ("/x/lobby", "/{a}/lobby"),
            ("/x", "/{a}"),
            ("/x/y", "/{*all}"),
        ] {
            assert_eq!(table.find(path).unwrap().1, &expected, "{path}");
        }
        assert!(table.find("/").is_none());
        let text = table.insert("/chat/{other}", "").unwrap_err().to_string();
        assert_eq!(
            text,
            "the path \"/chat/{other}\": another one has the same form: change one of them"
        );
    }

    #[test]
    fn paths_that_cannot_be() {
        for path in
            ["", "chat", "/a{b}", "/{}", "/{a}/{a}", "/{*a}/b", "/a b", "/a?b", "/{a b}", "/\u{e9}"]
        {
            let error = Pattern::parse(path).unwrap_err();
            assert_eq!(error.path(), path);
        }
        let text = Pattern::parse("/{a b}").unwrap_err().to_string();
        assert!(text.ends_with("a name of its own of letters, digits, `_` and `-`"), "{text}");
    }
}
