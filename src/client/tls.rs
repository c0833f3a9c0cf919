use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use rustls::crypto::CryptoProvider;
#[cfg(feature = "rustls")]
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, RootCertStore};

use crate::error::Error;
use crate::tls::{TlsError, TlsFailure, pem};

/// What a client trusts when it speaks TLS, and how it shows who it is.
///
/// ```no_run
/// use sansws::client::{Tls, TlsError};
///
/// # fn make() -> Result<Tls, TlsError> {
/// let tls = Tls::new()
///     .and_authority_file("company-ca.pem")?
///     .client_certificate_files("me.pem", "me.key")?;
/// # Ok(tls)
/// # }
/// ```
///
/// By default the authorities are those that Mozilla trusts, compiled in by the crate
/// `webpki-roots`: that works in a container without a file, and is the same on every system, so
/// that what connects here connects there. The price is that they age with the program, and that
/// those a company has installed on its machines are not among them: add these, or take the
/// system's store by `rustls-platform-verifier` and [`from_config`](Self::from_config). Revocation
/// is not looked up, for which `from_config` has a place too.
///
/// TLS 1.2 and 1.3 are spoken, with `http/1.1` for ALPN. The provider of cryptography is `ring`, or
/// one that [`provider`](Self::provider) was given; what is installed for the process does not
/// matter. With the feature `rustls-no-provider` alone there has to be one. Connections of one
/// `Tls`, and of its clones, resume each other's sessions.
#[derive(Clone)]
pub struct Tls {
    source: Source,
    /// Made of the source when it is first needed.
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

#[derive(Clone)]
enum Source {
    Settings(Settings),
    Config(Arc<ClientConfig>),
}

#[derive(Clone)]
struct Settings {
    well_known: bool,
    authorities: Vec<CertificateDer<'static>>,
    own: Option<Arc<CertifiedKey>>,
    provider: Option<Arc<CryptoProvider>>,
}

impl Tls {
    /// Trusts the authorities that Mozilla does.
    pub fn new() -> Self {
        Self::with_roots(true)
    }

    /// Trusts nobody, until authorities are added: for servers of your own, whose authority is the
    /// only one that should be able to speak for them.
    pub fn without_roots() -> Self {
        Self::with_roots(false)
    }

    /// Takes a configuration of the crate `rustls`, for whatever has no setting here: another
    /// verifier, other versions. This and [`provider`](Self::provider) are the only places of the
    /// client where that crate is seen, and its version 0.23 part of the interface.
    ///
    /// Everything in it is as you have it: put `http/1.1` into `alpn_protocols`, or nothing.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use rustls::client::danger::ServerCertVerifier;
    /// # use sansws::client::Tls;
    /// # fn make(verifier: Arc<dyn ServerCertVerifier>) -> Result<Tls, rustls::Error> {
    /// let provider = Arc::new(rustls::crypto::ring::default_provider());
    /// let mut config = rustls::ClientConfig::builder_with_provider(provider)
    ///     .with_safe_default_protocol_versions()?
    ///     .dangerous()
    ///     .with_custom_certificate_verifier(verifier)
    ///     .with_no_client_auth();
    /// config.alpn_protocols = vec![b"http/1.1".to_vec()];
    /// # Ok(
    /// Tls::from_config(Arc::new(config))
    /// # )
    /// # }
    /// ```
    pub fn from_config(config: Arc<ClientConfig>) -> Self {
        Self::of(Source::Config(config))
    }

    fn with_roots(well_known: bool) -> Self {
        let settings = Settings { well_known, authorities: Vec::new(), own: None, provider: None };
        Self::of(Source::Settings(settings))
    }

    fn of(source: Source) -> Self {
        Self { source, config: Arc::default() }
    }

    /// Takes a provider of cryptography in place of `ring`: `aws-lc-rs`, or one that is certified.
    /// Give it before a certificate of the client, whose key is made for it.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use rustls::crypto::CryptoProvider;
    /// # use sansws::client::{Connector, Tls};
    /// # fn make(provider: CryptoProvider) -> Result<Connector, sansws::Error> {
    /// // such as `rustls::crypto::aws_lc_rs::default_provider()`
    /// let tls = Tls::new().provider(Arc::new(provider)).expect("there is no configuration yet");
    /// # Ok(
    /// Connector::new("wss://example.com")?.tls(tls)
    /// # )
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TlsError::OwnConfig`] after [`from_config`](Self::from_config), which has its own.
    pub fn provider(self, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        self.set(|settings| settings.provider = Some(provider))
    }

    /// Trusts these authorities too, certificates in PEM form.
    ///
    /// # Errors
    ///
    /// [`TlsError::NoAuthority`], [`TlsError::Invalid`]; [`TlsError::OwnConfig`] after
    /// [`from_config`](Self::from_config).
    pub fn and_authority(self, certificates: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        self.and(certificates.as_ref(), None)
    }

    /// Trusts the authorities in a file too, certificates in PEM form.
    ///
    /// # Errors
    ///
    /// As [`and_authority`](Self::and_authority), and [`TlsError::Read`].
    pub fn and_authority_file(self, certificates: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = certificates.as_ref();
        self.and(&pem::read_file(path)?, Some(path))
    }

    fn and(self, pem: &[u8], path: Option<&Path>) -> Result<Self, TlsError> {
        let new = pem::authorities(pem, path)?;
        let mut store = RootCertStore::empty(); // which looks at what is put into it
        for certificate in &new {
            store.add(certificate.clone()).map_err(|error| TlsError::Invalid {
                path: path.map(Into::into),
                reason: error.to_string().into(),
            })?;
        }
        self.set(|settings| settings.authorities.extend(new))
    }

    /// Shows this certificate to servers that ask for one, with those that it was signed by behind
    /// it, and with its private key. Both in PEM form.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn client_certificate(
        self,
        certificate: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, TlsError> {
        let provider = self.key_provider()?;
        let own = pem::parse_for(certificate.as_ref(), key.as_ref(), None, &provider)?;
        self.set(|settings| settings.own = Some(Arc::new(own)))
    }

    /// Does the same with two files, which may be one and the same. They are read now.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn client_certificate_files(
        self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let provider = self.key_provider()?;
        let own = pem::read_for(certificate.as_ref(), key.as_ref(), &provider)?;
        self.set(|settings| settings.own = Some(Arc::new(own)))
    }

    fn key_provider(&self) -> Result<Arc<CryptoProvider>, TlsError> {
        match &self.source {
            Source::Settings(settings) => settings.provider().ok_or(TlsError::NoProvider),
            Source::Config(_) => Err(TlsError::OwnConfig),
        }
    }

    fn set(self, act: impl FnOnce(&mut Settings)) -> Result<Self, TlsError> {
        match self.source {
            Source::Settings(mut settings) => {
                act(&mut settings);
                Ok(Self::of(Source::Settings(settings)))
            }
            Source::Config(_) => Err(TlsError::OwnConfig),
        }
    }

    /// Returns the configuration for connections.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, TlsFailure> {
        match (&self.source, self.config.get()) {
            (Source::Config(config), _) | (_, Some(config)) => Ok(Arc::clone(config)),
            (Source::Settings(settings), None) => {
                let provider = settings.provider().ok_or(TlsFailure::NoProvider)?;
                let config = settings.config(provider);
                let config = config.map_err(|error| TlsFailure::Settings(error.to_string().into()));
                let config = Arc::new(config?);
                Ok(Arc::clone(self.config.get_or_init(|| config)))
            }
        }
    }
}

impl Settings {
    /// Returns the provider that was given, or else the one that is compiled in.
    fn provider(&self) -> Option<Arc<CryptoProvider>> {
        #[cfg(feature = "rustls")]
        let compiled_in = || Some(Arc::new(ring::default_provider()));
        #[cfg(not(feature = "rustls"))]
        let compiled_in = || None;
        self.provider.clone().or_else(compiled_in)
    }

    fn config(&self, provider: Arc<CryptoProvider>) -> Result<ClientConfig, rustls::Error> {
        let mut roots = RootCertStore::empty();
        if self.well_known {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for certificate in &self.authorities {
            roots.add(certificate.clone())?;
        }
        // handed over, so that it does not matter what is installed for the process
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match &self.own {
            None => config.with_no_client_auth(),
            Some(own) => {
                let resolver = SingleCertAndKey::from((**own).clone());
                config.with_client_cert_resolver(Arc::new(resolver))
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Tls");
        if let Source::Settings(settings) = &self.source {
            debug
                .field("well_known_roots", &settings.well_known)
                .field("authorities", &settings.authorities.len())
                .field("has_client_certificate", &settings.own.is_some());
        }
        debug.finish_non_exhaustive()
    }
}

/// Returns the configuration of `tls`, or else the one for the process: one, so that connections
/// resume each other's sessions.
pub(crate) fn config(tls: Option<&Tls>) -> Result<Arc<ClientConfig>, TlsFailure> {
    static DEFAULT: OnceLock<Tls> = OnceLock::new();
    tls.unwrap_or_else(|| DEFAULT.get_or_init(Tls::new)).config()
}

/// Returns the host of a URL as TLS has it.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, TlsFailure> {
    // RFC 6066 §3: "The hostname is represented as a byte string using ASCII encoding without a
    // trailing dot."
    let name = host.strip_suffix('.').unwrap_or(host);
    ServerName::try_from(String::from(name)).map_err(|_| TlsFailure::InvalidName(host.into()))
}

/// Says what an error of the transport means, when it is one of TLS.
pub(crate) fn explain(error: Error, host: &str) -> Error {
    match &error {
        Error::Io(inner) | Error::Disconnected(Some(inner)) => match tls_error(inner) {
            Some(inner) => failure(inner, host).into(),
            None => error,
        },
        _ => error,
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn failure(error: &rustls::Error, host: &str) -> TlsFailure {
    use CertificateError as Bad;

    let reason = || -> Box<str> { error.to_string().into() };
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => TlsFailure::CertificateExpired,
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => TlsFailure::CertificateNotYetValid,
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                TlsFailure::WrongHost(host.into())
            }
            Bad::UnknownIssuer => TlsFailure::UnknownAuthority,
            Bad::Revoked => TlsFailure::CertificateRevoked,
            _ => TlsFailure::InvalidCertificate(reason()),
        },
        // RFC 8446 §5.1: a record begins with its type, which no text does
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            TlsFailure::NotTls
        }
        _ => TlsFailure::Handshake(reason()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for host in ["example.com", "127.0.0.1", "::1", "localhost", "a_b.example"] {
            assert_eq!(server_name(host).unwrap().to_str(), host);
        }
        assert_eq!(server_name("example.com.").unwrap().to_str(), "example.com");
        for host in ["", "a..b", "%31"] {
            assert_eq!(server_name(host), Err(TlsFailure::InvalidName(host.into())));
        }
    }

    /// It is told before anything is connected.
    #[cfg(not(feature = "rustls"))]
    #[test]
    fn no_provider() {
        assert_eq!(Tls::new().config().unwrap_err(), TlsFailure::NoProvider);
        let error = Tls::new().client_certificate("", "").unwrap_err();
        assert!(matches!(error, TlsError::NoProvider), "{error:?}");
        let connector = crate::client::Connector::new("wss://127.0.0.1:1").unwrap();
        assert_eq!(
            connector.check().unwrap_err().to_string(),
            "TLS needs a provider of cryptography: give one by `Tls::provider` of the client, or \
             enable feature `rustls` of sansws, which brings `ring`"
        );
    }

    /// One configuration serves all connections, or nothing would be resumed.
    #[cfg(feature = "rustls")]
    #[test]
    fn sessions_are_shared() {
        let tls = Tls::new();
        let first = tls.config().unwrap();
        assert!(Arc::ptr_eq(&first, &tls.clone().config().unwrap()));
        assert!(Arc::ptr_eq(&config(None).unwrap(), &config(None).unwrap()));
        assert!(!Arc::ptr_eq(&first, &Tls::without_roots().config().unwrap()));
    }
}
