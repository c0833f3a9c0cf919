//! Certificates of an authority that exists for one test, made by openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use sansws_test::process::skip;

/// A certificate authority, and the directory of its files.
pub struct Authority {
    directory: PathBuf,
}

/// A certificate and its key, each in a file.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// Makes one; `None` after a word about it where openssl is missing.
    pub fn new(test: &str) -> Option<Self> {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tls").join(test);
        let _ = fs::remove_dir_all(&directory); // there may be none
        fs::create_dir_all(&directory).unwrap();
        let is_there = Command::new("openssl").arg("version").output();
        if !is_there.is_ok_and(|output| output.status.success()) {
            skip(test, "there is no openssl to make certificates");
            return None;
        }
        let authority = Self { directory };
        let extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign";
        authority.make("authority", P256, extensions, false);
        Some(authority)
    }

    /// Where its own certificate is.
    pub fn certificate(&self) -> PathBuf {
        self.path("authority.pem")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Signs a certificate for these names: `DNS:example.com,IP:127.0.0.1`.
    pub fn leaf(&self, file: &str, names: &str) -> Leaf {
        self.leaf_with(file, names, P256)
    }

    pub fn leaf_with(&self, file: &str, names: &str, kind: &[&str]) -> Leaf {
        let extensions = format!("basicConstraints=critical,CA:FALSE\nsubjectAltName={names}");
        self.make(file, kind, &extensions, true)
    }

    fn make(&self, file: &str, kind: &[&str], extensions: &str, signed: bool) -> Leaf {
        let path = |end: &str| self.path(&format!("{file}.{end}"));
        let leaf = Leaf { certificate: path("pem"), key: path("key") };
        let config = path("conf");
        let text = format!(
            "[req]\nprompt=no\ndistinguished_name=name\nx509_extensions=extensions\n\
             [name]\nCN={file}\n[extensions]\n{extensions}\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-nodes", "-days", "2", "-newkey"]).args(kind);
        command.arg("-config").arg(config);
        command.arg("-keyout").arg(&leaf.key).arg("-out").arg(&leaf.certificate);
        if signed {
            command
                .arg("-CA")
                .arg(self.certificate())
                .arg("-CAkey")
                .arg(self.path("authority.key"));
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        leaf
    }

    /// The settings of a client that knows this authority.
    pub fn client(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.certificate())).unwrap();
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

impl Leaf {
    pub fn der(&self) -> CertificateDer<'static> {
        der(&self.certificate)
    }

    /// Puts another certificate in its place.
    pub fn replace_by(&self, other: &Self) {
        fs::copy(&other.key, &self.key).unwrap();
        fs::copy(&other.certificate, &self.certificate).unwrap();
    }
}

fn der(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(&fs::read(path).unwrap()).unwrap()
}

pub const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
pub const RSA: &[&str] = &["rsa:2048"];
