use alloc::boxed::Box;
use core::fmt;

/// What to drop where more waits for an engine than may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The new message, and its sender is told: [`PublishError::Full`](super::PublishError::Full).
    /// The default: what is on its way keeps its order without a hole.
    #[default]
    DropNewest,
    /// The messages that have waited longest; they are counted in
    /// [`BackplaneStats::lost`](super::BackplaneStats::lost). For states where the newest counts.
    DropOldest,
}

/// The reason why an engine could not be connected to. No text has the password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not one of the engine.
    Url {
        /// The name of the engine.
        engine: &'static str,
        /// What a URL of it looks like.
        example: &'static str,
        /// What is wrong.
        reason: Box<str>,
    },
    /// Nothing answers, or not as the engine does.
    Unreachable {
        /// The name of the engine.
        engine: &'static str,
        /// Where it was looked for.
        address: Box<str>,
        /// What has happened.
        reason: Box<str>,
    },
    /// There is no TLS with the engine: its certificate is not trusted, or it does not trust ours.
    Tls {
        /// The name of the engine.
        engine: &'static str,
        /// Where it is.
        address: Box<str>,
        /// What is wrong.
        reason: Box<str>,
    },
    /// The engine refuses the user or the password, or wants some.
    Unauthorized {
        /// The name of the engine.
        engine: &'static str,
        /// What a URL of it looks like.
        example: &'static str,
        /// Where it is.
        address: Box<str>,
        /// What it has said.
        reason: Box<str>,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { engine, example, reason } => {
                write!(f, "this is no URL of {engine}: {reason}; one is {example}")
            }
            Self::Unreachable { engine, address, reason } => write!(
                f,
                "{engine} cannot be reached at {address}: {reason}; is it running, and does it \
                 listen there?"
            ),
            Self::Tls { engine, address, reason } => {
                let advice = advice(reason);
                write!(f, "TLS with {engine} at {address} fails: {reason}; {advice}")
            }
            Self::Unauthorized { engine, example, address, reason } => write!(
                f,
                "{engine} at {address} refuses the user or the password: {reason}; both belong \
                 into the URL, {example}"
            ),
        }
    }
}

impl ConnectError {
    /// Makes one of what a crate says of a connection that it could not make.
    pub(super) fn of_connection(engine: &'static str, address: &str, reason: &str) -> Self {
        let (address, reason): (Box<str>, Box<str>) = (address.into(), reason.into());
        if is_of_tls(&reason) {
            Self::Tls { engine, address, reason }
        } else {
            Self::Unreachable { engine, address, reason }
        }
    }
}

impl core::error::Error for ConnectError {}

/// Returns whether an error of a connection, by what it says, is one of TLS.
fn is_of_tls(reason: &str) -> bool {
    ADVICE.iter().any(|(mark, _)| reason.contains(mark))
}

/// Returns what to do about an error of TLS.
fn advice(reason: &str) -> &'static str {
    ADVICE.iter().find(|(mark, _)| reason.contains(mark)).map_or(GENERAL, |it| it.1)
}

/// What the crate `rustls` says, the most special first.
const ADVICE: [(&str, &str); 6] = [
    (
        "UnknownIssuer",
        "no authority that is trusted here has signed its certificate: give yours by \
         `BrokerTls::authority_file`",
    ),
    ("NotValidForName", "its certificate is for other names than the host of the URL"),
    ("not valid for name", "its certificate is for other names than the host of the URL"),
    ("invalid peer certificate", GENERAL),
    (
        "received fatal alert",
        "if it asks for a certificate, give one by `BrokerTls::client_certificate_files`",
    ),
    ("received corrupt message", "does it speak TLS on this port?"),
];

const GENERAL: &str = "the files are those of `BrokerTls`, the certificate is that of the broker";
