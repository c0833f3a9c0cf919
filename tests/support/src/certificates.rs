//! Certificates of an authority that exists for one test, made by openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::skip;

/// A certificate authority, and the directory of its files.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
}

/// A certificate and its key, each in a file.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// In PEM form.
    pub certificate: PathBuf,
    /// In PEM form.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one for a test, with files below `directory`, which is cargo's for such; `None` after
    /// a word about it where openssl is missing.
    pub fn new(directory: &str, test: &str) -> Option<Self> {
        let directory = Path::new(directory).join("certificates").join(test);
        let _ = fs::remove_dir_all(&directory); // there may be none
        fs::create_dir_all(&directory).unwrap();
        let is_there = Command::new("openssl").arg("version").output();
        if !is_there.is_ok_and(|output| output.status.success()) {
            skip(test, "there is no openssl to make certificates");
            return None;
        }
        let authority = Self { directory };
        let extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign";
        authority.make("authority", P256, extensions, false);
        Some(authority)
    }

    /// Where its own certificate is.
    pub fn certificate(&self) -> PathBuf {
        self.path("authority.pem")
    }

    /// Where a file of this name is, or would be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Signs a certificate for these names: `DNS:example.com,IP:127.0.0.1`.
    pub fn leaf(&self, file: &str, names: &str) -> Leaf {
        self.leaf_with(file, names, P256)
    }

    /// The same with a key of another kind.
    pub fn leaf_with(&self, file: &str, names: &str, kind: &[&str]) -> Leaf {
        let extensions = format!("basicConstraints=critical,CA:FALSE\nsubjectAltName={names}");
        self.make(file, kind, &extensions, true)
    }

    /// Makes one that nobody has signed but itself.
    pub fn self_signed(&self, file: &str, names: &str) -> Leaf {
        let extensions = format!("basicConstraints=critical,CA:FALSE\nsubjectAltName={names}");
        self.make(file, P256, &extensions, false)
    }

    /// Signs a certificate whose time was the first day of this year.
    pub fn leaf_of_year(&self, year: u16, file: &str, names: &str) -> Leaf {
        let leaf = self.leaf(file, names); // for its key
        let request = self.path(&format!("{file}.csr"));
        let config = self.register(&format!(
            "[extensions]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName={names}\n"
        ));
        let subject = format!("/CN={file}");
        let mut command = Command::new("openssl");
        command.args(["req", "-new", "-subj", &subject, "-key"]).arg(&leaf.key);
        run(command.arg("-out").arg(&request));
        let mut command = Command::new("openssl");
        command.args(["ca", "-batch", "-notext", "-config"]).arg(config);
        command.args(["-startdate", &format!("{year}0101000000Z")]);
        command.args(["-enddate", &format!("{year}0102000000Z")]);
        run(command.arg("-in").arg(&request).arg("-out").arg(&leaf.certificate));
        leaf
    }

    /// Takes certificates back. Returns where the list of those is, in PEM form.
    pub fn revoke(&self, leaf: &Leaf) -> PathBuf {
        let config = self.register("[extensions]\n");
        let list = self.path("revoked.pem");
        let mut command = Command::new("openssl");
        command.args(["ca", "-config"]).arg(&config);
        run(command.arg("-revoke").arg(&leaf.certificate));
        let mut command = Command::new("openssl");
        command.args(["ca", "-gencrl", "-crldays", "2", "-config"]).arg(&config);
        run(command.arg("-out").arg(&list));
        list
    }

    /// Writes what openssl needs to keep a register of certificates.
    fn register(&self, more: &str) -> PathBuf {
        let (config, index) = (self.path("register.conf"), self.path("index.txt"));
        let number = self.path("number.txt");
        if !index.exists() {
            fs::write(&index, "").unwrap();
        }
        let text = format!(
            "[ca]\ndefault_ca=register\n[register]\ndatabase={}\nnew_certs_dir={}\n\
             certificate={}\nprivate_key={}\nrand_serial=yes\nunique_subject=no\n\
             crlnumber={}\ndefault_crl_days=2\n\
             default_md=sha256\npolicy=policy\nx509_extensions=extensions\n\
             [policy]\ncommonName=supplied\n{more}",
            index.display(),
            self.directory.display(),
            self.certificate().display(),
            self.path("authority.key").display(),
            number.display(),
        );
        fs::write(&number, "01\n").unwrap();
        fs::write(&config, text).unwrap();
        config
    }

    fn make(&self, file: &str, kind: &[&str], extensions: &str, signed: bool) -> Leaf {
        let path = |end: &str| self.path(&format!("{file}.{end}"));
        let leaf = Leaf { certificate: path("pem"), key: path("key") };
        let config = path("conf");
        // two authorities of one name would be taken for each other
        let place = self.directory.display().to_string();
        let name = if file == "authority" { place } else { file.into() };
        let name = &name[name.len().saturating_sub(40)..];
        let text = format!(
            "[req]\nprompt=no\ndistinguished_name=name\nx509_extensions=extensions\n\
             [name]\nCN={name}\n[extensions]\n{extensions}\n"
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
        run(&mut command);
        leaf
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl Leaf {
    /// Both, for a command line.
    pub fn files(&self) -> [&Path; 2] {
        [&self.certificate, &self.key]
    }

    /// Puts another certificate in its place.
    pub fn replace_by(&self, other: &Self) {
        fs::copy(&other.key, &self.key).unwrap();
        fs::copy(&other.certificate, &self.certificate).unwrap();
    }
}

/// A key of ECDSA, as openssl has it.
pub const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
/// A key of RSA, as openssl has it.
pub const RSA: &[&str] = &["rsa:2048"];
