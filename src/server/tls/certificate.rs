use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::tls::TlsError;
use crate::tls::pem::{parse, read};

/// A certificate with its key, which may be replaced at any time.
pub(super) struct Certificate {
    files: Option<Files>,
    current: RwLock<Arc<CertifiedKey>>,
}

/// The files of a certificate.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    seen: Mutex<Seen>,
}

/// The state of the files when they were last read.
struct Seen {
    stamps: [Stamp; 2],
    /// They could not be used.
    failed: bool,
}

/// What changes when a file is written or replaced; `None` where there is none.
type Stamp = Option<(SystemTime, u64)>;

impl Certificate {
    pub(super) fn from_files(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        // before the files are read, so that no change is missed
        let stamps = [stamp(&certificate), stamp(&key)];
        let current = read(&certificate, &key)?;
        let seen = Mutex::new(Seen { stamps, failed: false });
        let files = Some(Files { certificate, key, seen });
        Ok(Self { files, current: RwLock::new(Arc::new(current)) })
    }

    pub(super) fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let current = parse(certificate, key, None)?;
        Ok(Self { files: None, current: RwLock::new(Arc::new(current)) })
    }

    /// Returns the one that is in use.
    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again. What cannot be used changes nothing.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        let Some(files) = &self.files else { return Ok(()) };
        // one at a time, so that what was read last is what is kept
        let mut seen = files.seen();
        self.replace(files, &mut seen, files.stamps())
    }

    /// Reads the files again if they have changed. An error is told once: files that cannot be used
    /// are tried again, since a program may be writing them, but not talked about.
    pub(super) fn reload_changed(&self) -> Result<(), TlsError> {
        let Some(files) = &self.files else { return Ok(()) };
        let mut seen = files.seen();
        let stamps = files.stamps();
        let is_changed = stamps != seen.stamps;
        if !is_changed && !seen.failed {
            return Ok(());
        }
        match self.replace(files, &mut seen, stamps) {
            Err(error) if is_changed => Err(error),
            _ => Ok(()),
        }
    }

    fn replace(&self, files: &Files, seen: &mut Seen, stamps: [Stamp; 2]) -> Result<(), TlsError> {
        let result = read(&files.certificate, &files.key);
        *seen = Seen { stamps, failed: result.is_err() };
        let new = Arc::new(result?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

impl Files {
    fn stamps(&self) -> [Stamp; 2] {
        [stamp(&self.certificate), stamp(&self.key)]
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.files.as_ref().map(|files| &files.certificate);
        f.debug_struct("Certificate").field("path", &path).finish_non_exhaustive()
    }
}

/// Chooses a certificate for each client.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) Vec<Arc<Certificate>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let [only] = &*self.0 {
            return Some(only.current());
        }
        let schemes = hello.signature_schemes();
        // beside an RSA certificate there may be one of ECDSA for the same name
        let usable = || {
            let all = self.0.iter().map(|it| it.current());
            all.filter(|it| it.key.choose_scheme(schemes).is_some())
        };
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| usable().find(|it| is_for(it, &name)));
        named.or_else(|| usable().next())
    }
}

/// Returns whether a certificate is one of this name.
fn is_for(certificate: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = certificate.end_entity_cert().and_then(ParsedCertificate::try_from);
    parsed.is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

/// Returns what changes with a file; links are followed.
fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
