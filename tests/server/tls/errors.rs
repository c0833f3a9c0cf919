//! What cannot be set up, and what its error says to do.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use sansws::server::{Server, ServerError, Tls, TlsError};
use sansws_test::certificates::{Authority, Leaf};

use super::{make, read, tls};
use crate::support::{bind, within};

#[tokio::test]
async fn certificates_and_listeners_belong_together() {
    let test = "certificates_and_listeners_belong_together";
    let Some((_authority, leaf)) = make(test) else { return };
    let run = async |server: Server| within(server.run()).await.unwrap_err();
    let error = run(Server::bind("wss://127.0.0.1:0").await.unwrap()).await;
    assert!(matches!(error, ServerError::Tls), "{error:?}");
    assert!(error.to_string().contains("call `Server::tls`"), "{error}");
    let both = bind().await.and_bind("wss://127.0.0.1:0").await.unwrap();
    assert!(matches!(run(both).await, ServerError::Tls));
    let error = run(bind().await.tls(tls(&leaf))).await;
    assert!(matches!(error, ServerError::UnusedTls), "{error:?}");
    assert!(error.to_string().contains("`wss://HOST:PORT`"), "{error}");
    let error = bind().await.and_bind("https://127.0.0.1:0").await.unwrap_err();
    assert!(matches!(error, ServerError::Address(_)), "{error:?}");
}

/// What is wrong, and a word of what helps.
#[track_caller]
fn fails(result: Result<Tls, TlsError>, words: &[&str]) {
    let error = result.unwrap_err();
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text:?}");
    }
    assert!(error.source().is_none(), "said twice");
    assert_eq!(io::Error::from(ServerError::from(error)).to_string(), text);
}

#[test]
fn errors_say_what_to_do() {
    let Some((authority, leaf)) = make("errors_say_what_to_do") else { return };
    let (certificate, key) = (&leaf.certificate, &leaf.key);
    let files = |certificate: &Path, key: &Path| Tls::from_pem_files(certificate, key);
    fails(files(&authority.path("none.pem"), key), &["none.pem", "cannot be read", "path"]);
    fails(files(certificate, &authority.path("none.key")), &["none.key", "cannot be read"]);
    fails(files(key, key), &["leaf.key", "no certificate", "BEGIN CERTIFICATE"]);
    fails(files(certificate, certificate), &["leaf.pem", "no private key", "BEGIN PRIVATE KEY"]);
    let other = authority.leaf("other", "DNS:other.example");
    fails(files(certificate, &other.key), &["leaf.pem", "is not that of the first certificate"]);
    // the authority in front
    let chain = authority.path("chain.pem");
    let both = [authority.certificate(), certificate.clone()].map(|it| fs::read(it).unwrap());
    fs::write(&chain, both.concat()).unwrap();
    fails(files(&chain, key), &["chain.pem", "before those that it was signed by"]);
    // in the other form, of ASN.1
    let binary = authority.path("leaf.der");
    fs::write(&binary, read(&leaf.certificate)).unwrap();
    fails(files(&binary, key), &["leaf.der", "PEM form"]);
    // cut off while it was written
    let cut = authority.path("cut.pem");
    fs::write(&cut, &fs::read(certificate).unwrap()[..200]).unwrap();
    fails(files(&cut, key), &["cut.pem", "cannot be used"]);
    let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fails(Tls::from_pem(text, fs::read(key).unwrap()), &["the bytes that were given", "X.509"]);
    for (name, options) in [("new", &["pkcs8", "-topk8"][..]), ("old", &["ec", "-aes128"])] {
        let encrypted = encrypt(&authority, &leaf, name, options);
        fails(files(certificate, &encrypted), &[name, "passphrase", "openssl pkey"]);
    }
    // one file for both, and what stands around them
    let all = authority.path("all.pem");
    let both = [fs::read(key).unwrap(), b"a comment\n".to_vec(), fs::read(certificate).unwrap()];
    fs::write(&all, both.concat()).unwrap();
    files(&all, &all).unwrap();
}

fn encrypt(authority: &Authority, leaf: &Leaf, name: &str, options: &[&str]) -> PathBuf {
    let path = authority.path(&format!("{name}.key"));
    let mut command = Command::new("openssl");
    command.args(options).args(["-passout", "pass:secret"]);
    let output = command.arg("-in").arg(&leaf.key).arg("-out").arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}
