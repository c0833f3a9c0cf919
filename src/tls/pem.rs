use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rustls::crypto::CryptoProvider;
#[cfg(all(feature = "rustls", feature = "server"))]
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use super::TlsError;

/// Reads a certificate and its key from their files, for `ring`.
#[cfg(all(feature = "rustls", feature = "server"))]
pub(crate) fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    read_for(certificate, key, &ring::default_provider())
}

/// Parses a certificate and its key, for `ring`; where they are from is for errors.
#[cfg(all(feature = "rustls", feature = "server"))]
pub(crate) fn parse(
    certificate: &[u8],
    key: &[u8],
    files: Option<(&Path, &Path)>,
) -> Result<CertifiedKey, TlsError> {
    parse_for(certificate, key, files, &ring::default_provider())
}

/// Reads a certificate and its key from their files.
pub(crate) fn read_for(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let files = Some((certificate, key));
    parse_for(&read_file(certificate)?, &read_file(key)?, files, provider)
}

pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Read { path: path.into(), error })
}

/// Parses a certificate and its key; where they are from is for errors.
pub(crate) fn parse_for(
    certificate: &[u8],
    key: &[u8],
    files: Option<(&Path, &Path)>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let certificate_path = || files.map(|(certificate, _)| PathBuf::from(certificate));
    let key_path = || files.map(|(_, key)| PathBuf::from(key));
    let invalid = |path, reason: &dyn fmt::Display| TlsError::Invalid {
        path,
        reason: reason.to_string().into(),
    };
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| invalid(certificate_path(), &error))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: certificate_path() });
    }
    if is_encrypted(key) {
        return Err(TlsError::EncryptedKey { path: key_path() });
    }
    let private_key = PrivateKeyDer::pem_slice_iter(key).next();
    let private_key = private_key.ok_or_else(|| TlsError::NoKey { path: key_path() })?;
    let private_key = private_key.map_err(|error| invalid(key_path(), &error))?;
    ParsedCertificate::try_from(&chain[0]).map_err(|error| invalid(certificate_path(), &error))?;
    CertifiedKey::from_der(chain, private_key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::KeyMismatch { path: certificate_path() },
        error => invalid(key_path(), &error),
    })
}

/// Returns whether a private key is protected by a passphrase: as PKCS #8 (RFC 7468 §11), or by a
/// header of the older form (RFC 1421 §4.6.1.1).
fn is_encrypted(key: &[u8]) -> bool {
    let mut lines = key.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines.any(|line| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || line.starts_with(b"Proc-Type: 4,ENCRYPTED")
    })
}

/// Parses certificates of authorities, one at least.
pub(crate) fn authorities(
    pem: &[u8],
    path: Option<&Path>,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let path = || path.map(PathBuf::from);
    let list = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let list =
        list.map_err(|error| TlsError::Invalid { path: path(), reason: error.to_string().into() })?;
    if list.is_empty() {
        return Err(TlsError::NoAuthority { path: path() });
    }
    Ok(list)
}
