use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::fmt;
use std::io;
use std::path::PathBuf;

use super::failure::NO_PROVIDER;

/// The reason why a certificate cannot be used. A `path` is `None` where bytes were given.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// There is no certificate where the chain should be.
    NoCertificate {
        /// The file.
        path: Option<PathBuf>,
    },
    /// There is no certificate of an authority where one should be.
    NoAuthority {
        /// The file.
        path: Option<PathBuf>,
    },
    /// There is no private key where one should be.
    NoKey {
        /// The file.
        path: Option<PathBuf>,
    },
    /// The private key is protected by a passphrase.
    EncryptedKey {
        /// The file.
        path: Option<PathBuf>,
    },
    /// The private key is not that of the first certificate.
    KeyMismatch {
        /// The file of the certificate.
        path: Option<PathBuf>,
    },
    /// A certificate or key, or the text around it, is malformed, or of a kind that is not
    /// supported.
    Invalid {
        /// The file.
        path: Option<PathBuf>,
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// There is no provider of cryptography to read a key with.
    NoProvider,
    /// The certificates are those of a configuration of the crate `rustls` that was given.
    OwnConfig,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(
                f,
                "{} cannot be read: {error}; give the path of a file that this user may read",
                path.display()
            ),
            Self::NoCertificate { path } => write!(
                f,
                "there is no certificate in {}: give a file in PEM form (`-----BEGIN \
                 CERTIFICATE-----`), with the server's own certificate first and those that it was \
                 signed by behind it",
                place(path)
            ),
            Self::NoAuthority { path } => write!(
                f,
                "there is no certificate in {}: give those of the authorities to trust in PEM form \
                 (`-----BEGIN CERTIFICATE-----`)",
                place(path)
            ),
            Self::NoKey { path } => write!(
                f,
                "there is no private key in {}: give a file in PEM form (`-----BEGIN PRIVATE \
                 KEY-----`)",
                place(path)
            ),
            Self::EncryptedKey { path } => write!(
                f,
                "the private key in {} is protected by a passphrase: take that off with `openssl \
                 pkey -in KEY -out NEW_KEY`, and let only this user read it",
                place(path)
            ),
            Self::KeyMismatch { path } => write!(
                f,
                "the private key is not that of the first certificate in {}: give the two that \
                 were made together, and put the server's own certificate before those that it \
                 was signed by",
                place(path)
            ),
            Self::Invalid { path, reason } => write!(
                f,
                "what is in {} cannot be used: {reason}; a certificate is X.509 v3 and a key RSA, \
                 ECDSA (P-256, P-384) or Ed25519, both in PEM form",
                place(path)
            ),
            Self::NoProvider => f.write_str(NO_PROVIDER),
            Self::OwnConfig => f.write_str(
                "the certificates are those of the configuration that `Tls::from_config` was \
                 given: its `ResolvesServerCert` adds and renews them",
            ),
        }
    }
}

/// Returns where something is, for a message.
fn place(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(|| "the bytes that were given".into(), |it| it.display().to_string())
}

impl core::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        // the text has that of the wrapped error in it
        match self {
            Self::Read { error, .. } => error.source(),
            _ => None,
        }
    }
}
