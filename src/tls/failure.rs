use alloc::boxed::Box;
use core::fmt;

/// The reason why there is no TLS connection with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFailure {
    /// The URL is one of `wss://`, and the feature `rustls` is off.
    FeatureOff,
    /// There is no provider of cryptography: the feature `rustls-no-provider` brings none.
    NoProvider,
    /// A setting of TLS cannot be used.
    Settings(Box<str>),
    /// The host of the URL is nothing that a certificate can be for.
    InvalidName(Box<str>),
    /// The server answered something that is not TLS.
    NotTls,
    /// The time of the certificate is over.
    CertificateExpired,
    /// The time of the certificate has not begun, or the clock of this machine is wrong.
    CertificateNotYetValid,
    /// The certificate is for other names than this host.
    WrongHost(Box<str>),
    /// No authority that is trusted has signed the certificate.
    UnknownAuthority,
    /// The authority has taken the certificate back.
    CertificateRevoked,
    /// The certificate cannot be used for another reason.
    InvalidCertificate(Box<str>),
    /// The handshake failed for another reason, such as a certificate that the server asks for.
    Handshake(Box<str>),
}

impl TlsFailure {
    /// Returns whether it is a fault of what was asked for, and not of the server.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::FeatureOff | Self::NoProvider | Self::Settings(_) | Self::InvalidName(_)
        )
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FeatureOff => f.write_str(
                "`wss://` needs TLS: enable feature `rustls` of sansws (cargo add sansws -F \
                 rustls)",
            ),
            Self::NoProvider => f.write_str(NO_PROVIDER),
            Self::Settings(reason) => write!(f, "the settings of TLS cannot be used: {reason}"),
            Self::InvalidName(host) => write!(
                f,
                "no certificate can be for the host {host:?}: TLS needs a host name or an address"
            ),
            Self::NotTls => {
                f.write_str("the server does not speak TLS on this port: is it one for `ws://`?")
            }
            Self::CertificateExpired => f.write_str("the certificate of the server has expired"),
            Self::CertificateNotYetValid => f.write_str(
                "the certificate of the server is not valid yet: is the clock of this machine \
                 right?",
            ),
            Self::WrongHost(host) => {
                write!(f, "the certificate of the server is for other names than {host:?}")
            }
            Self::UnknownAuthority => f.write_str(
                "the certificate of the server is of an authority that is not trusted here: add \
                 your own with `Tls::and_authority_file`, and have the server send the \
                 certificates between its own and that of the authority",
            ),
            Self::CertificateRevoked => {
                f.write_str("the certificate of the server has been revoked")
            }
            Self::InvalidCertificate(reason) => {
                write!(f, "the certificate of the server cannot be used: {reason}")
            }
            Self::Handshake(reason) => write!(f, "the TLS handshake failed: {reason}"),
        }
    }
}

pub(super) const NO_PROVIDER: &str = "TLS needs a provider of cryptography: give one by \
    `Tls::provider` of the client, or enable feature `rustls` of sansws, which brings `ring`";

impl core::error::Error for TlsFailure {}
