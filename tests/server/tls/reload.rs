//! Certificates that are replaced while the server runs.

use std::fs;
use std::time::Duration;

use sansws::Message;
use sansws::server::{Server, Tls, TlsError, handler_fn};
use sansws_test::certificates::{Authority, Leaf};

use super::{Client, authority, logging, read, tls};
use crate::support::{Log, start, until, within};

/// An authority and three certificates for 127.0.0.1: the first is used, the others are for later.
fn three(test: &str) -> Option<(Authority, [Leaf; 3])> {
    let authority = authority(test)?;
    let names = "IP:127.0.0.1";
    let leaves = ["used", "next", "last"].map(|file| authority.leaf(file, names));
    Some((authority, leaves))
}

#[tokio::test]
async fn a_call_reads_the_files_again() {
    let Some((authority, [used, next, last])) = three("a_call_reads_the_files_again") else {
        return;
    };
    let first = read(&used.certificate);
    let handle = tls(&used).reload_every(None);
    let server = Server::bind("wss://127.0.0.1:0").await.unwrap().tls(handle.clone());
    let echo = handler_fn().on_message(|client, message| client.send(message));
    let server = start(server.route("/", echo));
    let client = Client::new(&authority, server.addr);
    let mut ws = client.connect("/").await;
    assert_eq!(client.certificate("127.0.0.1").await, first);
    used.replace_by(&next);
    assert_eq!(client.certificate("127.0.0.1").await, first, "nobody has asked for it");
    handle.reload().unwrap();
    assert_eq!(client.certificate("127.0.0.1").await, read(&next.certificate));
    // half of it
    fs::copy(&last.certificate, &used.certificate).unwrap();
    let error = handle.reload().unwrap_err();
    assert!(matches!(error, TlsError::KeyMismatch { .. }), "{error:?}");
    assert_eq!(client.certificate("127.0.0.1").await, read(&next.certificate));
    fs::remove_file(&used.key).unwrap();
    let error = handle.reload().unwrap_err();
    assert!(matches!(error, TlsError::Read { .. }), "{error:?}");
    used.replace_by(&last);
    handle.reload().unwrap();
    assert_eq!(client.certificate("127.0.0.1").await, read(&last.certificate));
    // who was there before
    within(ws.send("still here")).await.unwrap();
    assert_eq!(within(ws.recv()).await.unwrap(), Some(Message::from("still here")));
    server.stop().await;
}

/// One that cannot be used does not keep the others from being renewed.
#[tokio::test]
async fn each_certificate_is_reloaded_by_itself() {
    let test = "each_certificate_is_reloaded_by_itself";
    let Some(authority) = authority(test) else { return };
    let bad = authority.leaf("bad", "DNS:bad.example");
    let [used, next] = ["used", "next"].map(|file| authority.leaf(file, "DNS:good.example"));
    let handle = tls(&bad).and_pem_files(&used.certificate, &used.key).unwrap();
    used.replace_by(&next);
    fs::write(&bad.certificate, "").unwrap();
    let error = handle.reload().unwrap_err();
    assert!(matches!(error, TlsError::NoCertificate { .. }), "{error:?}");
    let server = Server::bind("wss://127.0.0.1:0").await.unwrap().tls(handle);
    let server = start(server);
    let client = Client::new(&authority, server.addr);
    assert_eq!(client.certificate("good.example").await, read(&next.certificate));
    assert!(client.tls("bad.example").await.is_ok(), "it has the old one");
    server.stop().await;
}

#[tokio::test]
async fn files_that_change_are_noticed() {
    let Some((authority, [used, next, last])) = three("files_that_change_are_noticed") else {
        return;
    };
    let log = Log::default();
    let tls = tls(&used).reload_every(Duration::from_millis(20));
    let server = Server::bind("wss://127.0.0.1:0").await.unwrap().tls(tls);
    let server = start(logging(server, &log));
    let client = Client::new(&authority, server.addr);
    let becomes = async |leaf: &Leaf| {
        within(async { while client.certificate("127.0.0.1").await != read(&leaf.certificate) {} })
            .await;
    };
    used.replace_by(&next);
    becomes(&next).await;
    // one after the other, as programs do that renew them: the first alone is of no use
    let told = |log: &Log| {
        let lines = log.lines();
        lines.iter().filter(|line| line.starts_with("Warn a certificate stays as it was: ")).count()
    };
    let before = told(&log);
    fs::copy(&last.certificate, &used.certificate).unwrap();
    until(|| told(&log) > before).await;
    for _ in 0..10 {
        assert_eq!(client.certificate("127.0.0.1").await, read(&next.certificate));
    }
    assert_eq!(told(&log), before + 1, "it is told once: {:?}", log.lines());
    fs::copy(&last.key, &used.key).unwrap();
    becomes(&last).await;
    server.stop().await;
}

#[test]
fn what_has_no_files_has_nothing_to_reload() {
    let Some(authority) = authority("what_has_no_files_has_nothing_to_reload") else { return };
    let leaf = authority.leaf("leaf", "IP:127.0.0.1");
    let (certificate, key) = (fs::read(&leaf.certificate).unwrap(), fs::read(&leaf.key).unwrap());
    Tls::from_pem(&certificate, &key).unwrap().reload().unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(std::sync::Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
    let tls = Tls::from_config(std::sync::Arc::new(config));
    assert!(matches!(tls.reload(), Err(TlsError::OwnConfig)));
    assert!(matches!(tls.and_pem(&certificate, &key), Err(TlsError::OwnConfig)));
}
