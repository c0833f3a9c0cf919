use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::future::pending;
use core::time::Duration;
use std::path::PathBuf;

use rustls::ServerConfig;
use rustls::crypto::ring;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::certificate::{Certificate, Resolver};
use crate::server::context::Context;
use crate::server::observe::event::LogEvent;
use crate::tls::TlsError;

/// The certificates of a server that speaks TLS by itself: see
/// [`Server::tls`](crate::server::Server::tls).
///
/// ```no_run
/// use sansws::server::{Server, ServerError, Tls};
///
/// # async fn run() -> Result<(), ServerError> {
/// let tls = Tls::from_pem_files("example.com.pem", "example.com.key")?
///     .and_pem_files("example.org.pem", "example.org.key")?;
/// Server::bind("wss://0.0.0.0:8443").await?.tls(tls).run().await
/// # }
/// ```
///
/// A certificate comes with those that it was signed by behind it, as certificate authorities hand
/// them out (`fullchain.pem`). Of several the first is taken whose names have the one that the
/// client asks for (SNI) and whose key the client can check; where there is none, or the client
/// names none because it has connected to an address, the first of all.
///
/// TLS 1.2 and 1.3 are spoken, with `http/1.1` for ALPN, which is what WebSockets of this crate
/// are. Clients that come back resume their session, for which the server keeps nothing.
///
/// A clone is a handle on the same certificates: keep one to [`reload`](Self::reload) them.
#[derive(Clone)]
pub struct Tls {
    source: Source,
    reload_every: Option<Duration>,
}

#[derive(Clone)]
enum Source {
    Certificates(Vec<Arc<Certificate>>),
    Config(Arc<ServerConfig>),
}

impl Tls {
    /// Takes a certificate and its private key from two files in PEM form, which may be one and the
    /// same. They are read again when they change: see [`reload_every`](Self::reload_every).
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn from_pem_files(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsError> {
        Self::new().and_pem_files(certificate, key)
    }

    /// Takes a certificate and its private key in PEM form.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn from_pem(
        certificate: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, TlsError> {
        Self::new().and_pem(certificate, key)
    }

    /// Takes a configuration of the crate `rustls`, for whatever has no setting here: certificates
    /// of clients, other versions or ciphers, another provider of cryptography. This is the only
    /// place of this crate where that crate is seen, and its version 0.23 part of the interface.
    ///
    /// Everything in it is as you have it: put `http/1.1` into `alpn_protocols`, or nothing, and
    /// name the provider, because [`ServerConfig::builder`] panics where none is installed for the
    /// process. It cannot be reloaded from here.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use rustls::server::{ResolvesServerCert, danger::ClientCertVerifier};
    /// # use sansws::server::Tls;
    /// # fn make(
    /// #     verifier: Arc<dyn ClientCertVerifier>,
    /// #     resolver: Arc<dyn ResolvesServerCert>,
    /// # ) -> Result<Tls, rustls::Error> {
    /// let provider = Arc::new(rustls::crypto::ring::default_provider());
    /// let mut config = rustls::ServerConfig::builder_with_provider(provider)
    ///     .with_safe_default_protocol_versions()?
    ///     .with_client_cert_verifier(verifier)
    ///     .with_cert_resolver(resolver);
    /// config.alpn_protocols = vec![b"http/1.1".to_vec()];
    /// # Ok(
    /// Tls::from_config(Arc::new(config))
    /// # )
    /// # }
    /// ```
    pub const fn from_config(config: Arc<ServerConfig>) -> Self {
        Self { source: Source::Config(config), reload_every: None }
    }

    const fn new() -> Self {
        Self { source: Source::Certificates(Vec::new()), reload_every: Some(RELOAD_EVERY) }
    }

    /// Adds another certificate, for other names or with a key of another kind, as
    /// [`from_pem_files`](Self::from_pem_files) takes it.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn and_pem_files(
        self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsError> {
        self.and(Certificate::from_files(certificate.into(), key.into())?)
    }

    /// Adds another certificate, as [`from_pem`](Self::from_pem) takes it.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn and_pem(
        self,
        certificate: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, TlsError> {
        self.and(Certificate::from_pem(certificate.as_ref(), key.as_ref())?)
    }

    fn and(mut self, certificate: Certificate) -> Result<Self, TlsError> {
        match &mut self.source {
            Source::Certificates(list) => list.push(Arc::new(certificate)),
            Source::Config(_) => return Err(TlsError::OwnConfig),
        }
        Ok(self)
    }

    /// Sets how often a server that runs looks whether the files have changed, by their times of
    /// modification and lengths; `None` for never, and 10 ms at the least. Default 60 s. Files that
    /// were replaced by others or reached by a link are noticed in the same way.
    ///
    /// Files that cannot be used leave the certificate as it is, are told to
    /// [`Server::on_log`](crate::server::Server::on_log)
    /// ([`LogEvent::CertificateNotReloaded`]), and are tried again: the certificate and its key may
    /// be written one after the other.
    pub fn reload_every(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.reload_every = interval.into().map(|interval| interval.max(LEAST_INTERVAL));
        self
    }

    /// Reads all files again, of every clone: handshakes from now on use what is in them, and open
    /// connections go on. What was given as bytes stays. It reads on the thread that calls.
    ///
    /// # Errors
    ///
    /// The first certificate that cannot be used; it stays as it was, and the others were read
    /// all the same. [`TlsError::OwnConfig`] after [`from_config`](Self::from_config).
    pub fn reload(&self) -> Result<(), TlsError> {
        match &self.source {
            Source::Certificates(list) => {
                let mut all = Ok(());
                for certificate in list {
                    let reloaded = certificate.reload();
                    all = all.and(reloaded);
                }
                all
            }
            Source::Config(_) => Err(TlsError::OwnConfig),
        }
    }

    /// Returns the configuration for the connections of a server.
    pub(crate) fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let list = match &self.source {
            Source::Certificates(list) => list.clone(),
            Source::Config(config) => return Ok(Arc::clone(config)),
        };
        let unusable = |error: rustls::Error| TlsError::Invalid {
            path: None,
            reason: error.to_string().into(),
        };
        // named here, so that it does not matter what is installed for the process
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver(list)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // When all clients come back at once, they resume without a signature for each: what is
        // needed for that lies with them, where a cache would have room for 256.
        config.ticketer = ring::Ticketer::new().map_err(unusable)?;
        Ok(Arc::new(config))
    }

    /// Reads files again when they have changed, for ever.
    pub(crate) async fn reload_changed(self, context: &Context) {
        let (Some(interval), Source::Certificates(list)) = (self.reload_every, self.source) else {
            return pending().await;
        };
        loop {
            sleep(interval).await;
            let list = list.clone();
            // a file system may be slow
            let reloaded = spawn_blocking(move || {
                let results = list.iter().map(|it| it.reload_changed());
                results.filter_map(Result::err).collect::<Vec<_>>()
            });
            for error in reloaded.await.unwrap_or_default() {
                context.log(&LogEvent::CertificateNotReloaded(&error));
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Tls");
        if let Source::Certificates(list) = &self.source {
            debug.field("certificates", list);
        }
        debug.field("reload_every", &self.reload_every).finish_non_exhaustive()
    }
}

/// Certificates are renewed days before they end; a minute is soon for whoever waits for it, and
/// two looks at a file a minute cost nothing.
const RELOAD_EVERY: Duration = Duration::from_secs(60);

/// Often enough to seem at once, and not a loop that spins.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);
