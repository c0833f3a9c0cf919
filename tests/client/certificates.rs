//! Certificates, good and bad.

use std::fs;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sansws::Error;
use sansws::client::{Connector, Tls, TlsError, TlsFailure};
use sansws::server::{self, Server, handler_fn};
use sansws_test::certificates::{Authority, Leaf, P256};
use tokio::task::JoinHandle;

use super::support::{BOTH, serve};

pub fn authority(test: &str) -> Option<Authority> {
    Authority::new(env!("CARGO_TARGET_TMPDIR"), test)
}

pub fn trusting(authority: &Authority) -> Tls {
    Tls::without_roots().and_authority_file(authority.certificate()).unwrap()
}

/// An echo server with this certificate, and its port.
pub async fn start(tls: server::Tls) -> (JoinHandle<()>, u16) {
    let server = Server::bind("wss://127.0.0.1:0").await.unwrap().tls(tls);
    let port = server.local_addr().unwrap().port();
    let echo = handler_fn().on_message(|client, message| client.send(message));
    let running = tokio::spawn(async { server.route("/", echo).run().await.unwrap() });
    (running, port)
}

fn files(leaf: &Leaf) -> server::Tls {
    server::Tls::from_pem_files(&leaf.certificate, &leaf.key).unwrap()
}

fn connector(host: &str, port: u16, tls: &Tls) -> Connector {
    Connector::new(&format!("wss://{host}:{port}/")).unwrap().tls(tls.clone())
}

#[tokio::test]
async fn names_and_addresses() {
    let Some(authority) = authority("names_and_addresses") else { return };
    let leaf = authority.leaf("leaf", "DNS:localhost,IP:127.0.0.1");
    let (handle, port) = start(files(&leaf)).await;
    for tls in [
        trusting(&authority),
        // beside the well-known ones, and from bytes
        Tls::new().and_authority(fs::read(authority.certificate()).unwrap()).unwrap(),
    ] {
        for host in ["localhost", "127.0.0.1"] {
            for adapter in BOTH {
                let answer = adapter.ask(&connector(host, port, &tls)).await;
                assert_eq!(answer.unwrap(), "hello", "{host} {adapter:?}");
            }
        }
    }
    handle.abort();
}

/// Each is an error of its own, and says what to do.
#[tokio::test]
async fn bad_certificates() {
    let Some(authority) = authority("bad_certificates") else { return };
    let Some(other) = self::authority("bad_certificates_other") else { return };
    let tls = trusting(&authority);
    let names = "DNS:localhost";
    for (leaf, expected, text) in [
        (
            authority.leaf_of_year(2020, "expired", names),
            TlsFailure::CertificateExpired,
            "the certificate of the server has expired",
        ),
        (
            authority.leaf_of_year(2049, "too_early", names),
            TlsFailure::CertificateNotYetValid,
            "the certificate of the server is not valid yet: is the clock of this machine right?",
        ),
        (
            authority.leaf("of_another_host", "DNS:example.com"),
            TlsFailure::WrongHost("localhost".into()),
            "the certificate of the server is for other names than \"localhost\"",
        ),
        (
            other.leaf("of_another_authority", names),
            TlsFailure::UnknownAuthority,
            "the certificate of the server is of an authority that is not trusted here: add your \
             own with `Tls::and_authority_file`, and have the server send the certificates between \
             its own and that of the authority",
        ),
        (
            authority.self_signed("self_signed", names),
            TlsFailure::UnknownAuthority,
            "the certificate of the server is of an authority that is not trusted here: add your \
             own with `Tls::and_authority_file`, and have the server send the certificates between \
             its own and that of the authority",
        ),
    ] {
        let (handle, port) = start(files(&leaf)).await;
        for adapter in BOTH {
            let error = adapter.fails(&connector("localhost", port, &tls)).await;
            let Error::Tls(failure) = &error else { panic!("{error:?}") };
            assert_eq!(*failure, expected, "{adapter:?}");
            assert_eq!(error.to_string(), text);
            assert!(!error.is_disconnect() && !error.is_timeout());
        }
        handle.abort();
    }
}

/// Without a setting nobody but the well-known authorities is trusted.
#[tokio::test]
async fn the_default_does_not_trust_an_authority_of_ones_own() {
    let Some(authority) = authority("the_default") else { return };
    let (handle, port) = start(files(&authority.leaf("leaf", "DNS:localhost"))).await;
    for adapter in BOTH {
        let url = format!("wss://localhost:{port}/");
        let error = adapter.fails(&Connector::new(&url).unwrap()).await;
        assert!(matches!(error, Error::Tls(TlsFailure::UnknownAuthority)), "{error:?}");
    }
    handle.abort();
}

#[tokio::test]
async fn certificates_of_clients() {
    let Some(authority) = authority("certificates_of_clients") else { return };
    let leaf = authority.leaf("leaf", "DNS:localhost");
    let mine = authority.leaf_with("mine", "DNS:me", P256);
    let (handle, port) = start(demanding(&authority, &leaf)).await;
    let anonymous = trusting(&authority);
    let known = anonymous.clone().client_certificate_files(&mine.certificate, &mine.key).unwrap();
    for adapter in BOTH {
        let answer = adapter.ask(&connector("localhost", port, &known)).await;
        assert_eq!(answer.unwrap(), "hello", "{adapter:?}");
        let error = adapter.fails(&connector("localhost", port, &anonymous)).await;
        assert!(matches!(error, Error::Tls(TlsFailure::Handshake(_))), "{error:?}");
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
    }
    handle.abort();
}

/// The certificates of a server that wants to see those of its clients.
fn demanding(authority: &Authority, leaf: &Leaf) -> server::Tls {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.certificate()).unwrap()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let chain = vec![CertificateDer::from_pem_file(&leaf.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&leaf.key).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    server::Tls::from_config(Arc::new(config))
}

#[tokio::test]
async fn a_configuration_of_ones_own() {
    let Some(authority) = authority("a_configuration_of_ones_own") else { return };
    let leaf = authority.leaf("leaf", "DNS:localhost");
    let (handle, port) = start(files(&leaf)).await;
    let mut roots = RootCertStore::empty();
    use rustls::pki_types::pem::PemObject;
    let certificate = rustls::pki_types::CertificateDer::from_pem_file(authority.certificate());
    roots.add(certificate.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = Tls::from_config(Arc::new(config));
    for adapter in BOTH {
        assert_eq!(adapter.ask(&connector("localhost", port, &tls)).await.unwrap(), "hello");
    }
    assert!(matches!(tls.and_authority_file(authority.certificate()), Err(TlsError::OwnConfig)));
    handle.abort();
}

/// Revocation is looked up where a configuration says so.
#[tokio::test]
async fn a_certificate_that_was_taken_back() {
    use rustls::client::WebPkiServerVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

    let Some(authority) = authority("taken_back") else { return };
    let leaf = authority.leaf("leaf", "DNS:localhost");
    let revoked = authority.revoke(&leaf);
    let (handle, port) = start(files(&leaf)).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.certificate()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .with_crls([CertificateRevocationListDer::from_pem_file(revoked).unwrap()])
            .build()
            .unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    let tls = Tls::from_config(Arc::new(config));
    for adapter in BOTH {
        let error = adapter.fails(&connector("localhost", port, &tls)).await;
        assert!(matches!(error, Error::Tls(TlsFailure::CertificateRevoked)), "{error:?}");
        assert_eq!(error.to_string(), "the certificate of the server has been revoked");
    }
    handle.abort();
}

#[test]
fn what_is_no_certificate_is_an_error() {
    let error = Tls::new().and_authority("nothing").unwrap_err();
    assert!(matches!(error, TlsError::NoAuthority { path: None }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "there is no certificate in the bytes that were given: give those of the authorities to \
         trust in PEM form (`-----BEGIN CERTIFICATE-----`)"
    );
    let error = Tls::new().and_authority_file("/nowhere/ca.pem").unwrap_err();
    assert!(matches!(error, TlsError::Read { .. }), "{error:?}");
    let broken = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n";
    let error = Tls::new().and_authority(broken).unwrap_err();
    assert!(matches!(error, TlsError::Invalid { .. }), "{error:?}");
    let error = Tls::new().client_certificate(broken, "").unwrap_err();
    assert!(matches!(error, TlsError::NoKey { .. }), "{error:?}");
}

/// A port that speaks something else.
#[tokio::test]
async fn a_server_without_tls() {
    let addr = serve(|mut stream| {
        use std::io::{Read, Write};
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    for adapter in BOTH {
        let error = adapter.fails(&Connector::new(&format!("wss://{addr}/")).unwrap()).await;
        assert!(matches!(error, Error::Tls(TlsFailure::NotTls)), "{error:?}");
        assert_eq!(
            error.to_string(),
            "the server does not speak TLS on this port: is it one for `ws://`?"
        );
    }
}
