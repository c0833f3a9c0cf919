//! What a probe finds, and the list that probes are in.

use super::target::Target;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Right(String),
    Wrong(String),
    /// Allowed, and worth knowing.
    Noted(String),
    /// The server gives no way to find out.
    Unknown(String),
}

/// Why a probe has found nothing out.
#[derive(Debug)]
pub struct Trouble(pub String);

impl<E: Into<sansws::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self(error.into().to_string())
    }
}

/// How much a rule asks for (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Must,
    Should,
    /// No rule; a server has a choice here.
    Note,
}

/// One question to a server.
pub struct Probe {
    pub name: &'static str,
    /// Where the rule stands.
    pub section: &'static str,
    pub level: Level,
    /// What a server does that is right.
    pub what: &'static str,
    pub run: fn(&Target) -> Result<Verdict, Trouble>,
}

impl Probe {
    /// Asks. A rule that is no MUST can be left, so that this is no more than noted.
    pub fn verdict(&self, target: &Target) -> Verdict {
        match (self.run)(target) {
            Ok(Verdict::Wrong(seen)) if self.level == Level::Note => Verdict::Noted(seen),
            Ok(verdict) => verdict,
            Err(Trouble(why)) => Verdict::Unknown(why),
        }
    }
}

impl Verdict {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Right(_) => "right",
            Self::Wrong(_) => "wrong",
            Self::Noted(_) => "noted",
            Self::Unknown(_) => "unknown",
        }
    }

    pub fn seen(&self) -> &str {
        match self {
            Self::Right(seen) | Self::Wrong(seen) | Self::Noted(seen) | Self::Unknown(seen) => seen,
        }
    }
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::Note => "note",
        }
    }
}
