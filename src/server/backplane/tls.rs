use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::fs;
use std::path::{Path, PathBuf};

use super::connect::ConnectError;

/// Certificates for TLS to a broker: [`Redis::connect_tls`](super::Redis::connect_tls) and
/// [`Nats::connect_tls`](super::Nats::connect_tls).
///
/// TLS needs no such settings where the broker has a certificate of a public authority, or of one
/// that this machine trusts: a URL of `rediss://` or `tls://` will do. The broker is always
/// verified, its name included.
///
/// ```no_run
/// # #[cfg(all(feature = "redis", feature = "rustls"))]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use sansws::server::backplane::{BrokerTls, Redis};
///
/// let tls = BrokerTls::new().authority_file("/etc/broker/authority.pem");
/// let engine = Redis::connect_tls("rediss://user:password@10.0.0.5:6380", &tls).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct BrokerTls {
    authorities: Option<PathBuf>,
    own: Option<(PathBuf, PathBuf)>,
}

impl BrokerTls {
    /// Makes settings that trust the authorities of the system, and show no certificate.
    #[must_use]
    pub const fn new() -> Self {
        Self { authorities: None, own: None }
    }

    /// Sets a file with the certificates of authorities, in PEM form, which are trusted in place of
    /// those of the system.
    #[must_use]
    pub fn authority_file(mut self, certificates: impl AsRef<Path>) -> Self {
        self.authorities = Some(certificates.as_ref().into());
        self
    }

    /// Sets the files of a certificate and its key, both in PEM form, to show to a broker that asks
    /// for one.
    #[must_use]
    pub fn client_certificate_files(
        mut self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Self {
        self.own = Some((certificate.as_ref().into(), key.as_ref().into()));
        self
    }

    /// Returns what is in the files.
    pub(super) fn read(&self, engine: &'static str, at: &str) -> Result<Contents, ConnectError> {
        let read = |path: &Path, kind: &str| {
            let failed = |reason: String| ConnectError::Tls {
                engine,
                address: at.into(),
                reason: reason.into(),
            };
            let pem = fs::read(path)
                .map_err(|error| failed(format!("{} cannot be read: {error}", path.display())))?;
            let is_there = pem.windows(kind.len()).any(|it| it == kind.as_bytes());
            is_there.then_some(pem).ok_or_else(|| {
                failed(format!("there is no {kind} in PEM form in {}", path.display()))
            })
        };
        let authorities = self.authorities.as_ref();
        let authorities = authorities.map(|it| read(it, "CERTIFICATE")).transpose()?;
        let own = self.own.as_ref();
        let own = own.map(|(it, key)| Ok((read(it, "CERTIFICATE")?, read(key, "PRIVATE KEY")?)));
        Ok(Contents { authorities, own: own.transpose()? })
    }

    #[cfg(feature = "nats")]
    pub(super) fn authorities(&self) -> Option<&Path> {
        self.authorities.as_deref()
    }

    #[cfg(feature = "nats")]
    pub(super) fn own(&self) -> Option<(&Path, &Path)> {
        self.own.as_ref().map(|(certificate, key)| (&**certificate, &**key))
    }
}

/// The files of [`BrokerTls`].
#[cfg_attr(not(all(feature = "redis", feature = "rustls")), allow(dead_code))]
pub(super) struct Contents {
    pub(super) authorities: Option<Vec<u8>>,
    pub(super) own: Option<(Vec<u8>, Vec<u8>)>,
}
