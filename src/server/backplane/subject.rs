use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Whom a subject stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// All clients of all servers.
    All,
    /// The members of a room.
    Room(String),
    /// One client of the server whose part in ids this is.
    Node(u32),
    /// All servers that keep account of who is where.
    Presence,
}

impl Place {
    /// Returns the place of a server.
    pub(super) const fn of(node: u64) -> Self {
        Self::Node((node >> 32) as u32)
    }

    /// Returns whether servers tell each other here who is where.
    pub(super) const fn is_for_servers(&self) -> bool {
        matches!(self, Self::Node(_) | Self::Presence)
    }

    /// Returns the subject, behind a prefix that may be any text.
    pub(super) fn subject(&self, prefix: &str) -> String {
        match self {
            Self::All => format!("{prefix}.all"),
            Self::Room(name) => room(prefix, name),
            Self::Node(part) => format!("{prefix}.node.{part:08x}"),
            Self::Presence => format!("{prefix}.presence"),
        }
    }

    pub(super) fn parse(prefix: &str, subject: &str) -> Option<Self> {
        let place = subject.strip_prefix(prefix)?.strip_prefix('.')?;
        match place.split_once('.') {
            None if place == "all" => Some(Self::All),
            None if place == "presence" => Some(Self::Presence),
            Some(("room", name)) => decode(name).map(Self::Room),
            Some(("node", part)) => u32::from_str_radix(part, 16).ok().map(Self::Node),
            _ => None,
        }
    }
}

/// Returns the subject of a room.
pub(super) fn room(prefix: &str, name: &str) -> String {
    let mut subject = String::with_capacity(prefix.len() + 6 + name.len());
    subject.push_str(prefix);
    subject.push_str(".room.");
    encode(name, &mut subject);
    subject
}

/// Returns where the history of a topic is kept, to which nothing is published.
pub(super) fn topic(prefix: &str, name: &str) -> String {
    let mut subject = format!("{prefix}.topic.");
    encode(name, &mut subject);
    subject
}

/// Appends a name, percent-encoded: what is left has no meaning in the subjects of any broker.
pub(super) fn encode(name: &str, subject: &mut String) {
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            subject.push(char::from(byte));
        } else {
            let _ = write!(subject, "%{byte:02X}"); // to write into a string does not fail
        }
    }
}

/// Returns what a percent-encoded text stands for.
pub(super) fn decode(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, others) = rest.split_first_chunk::<2>()?;
        let digits = core::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = others;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_there_and_back() {
        for (place, subject) in [
            (Place::All, "sansws.all"),
            (Place::Node(0xAB), "sansws.node.000000ab"),
            (Place::Presence, "sansws.presence"),
            (Place::Room("lobby".into()), "sansws.room.lobby"),
            (Place::Room("a/b.c *>é%".into()), "sansws.room.a%2Fb%2Ec%20%2A%3E%C3%A9%25"),
            (Place::Room(String::new()), "sansws.room."),
        ] {
            assert_eq!(place.subject("sansws"), subject);
            assert_eq!(Place::parse("sansws", subject), Some(place));
        }
        for subject in ["sansws", "other.all", "sansws.al", "sansws.room.%G0", "sansws.room.%4"] {
            assert_eq!(Place::parse("sansws", subject), None, "{subject}");
        }
    }
}
