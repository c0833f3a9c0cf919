//! TLS that the server ends itself.

mod crowds;
mod errors;
mod peers;
mod reload;
mod serving;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sansws::Config;
use sansws::handshake::client::Request;
use sansws::server::{Server, Tls};
use sansws::tokio::{WebSocket, client};
use sansws_test::certificates::{Authority, Leaf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Log, within};

/// What a client sees that knows the authority.
struct Client {
    addr: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Client {
    fn new(authority: &Authority, addr: SocketAddr) -> Self {
        Self { addr, config: Arc::new(client_config(authority)) }
    }

    /// TLS alone, with a name or an address.
    async fn tls(&self, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.addr).await?;
        self.tls_over(stream, name).await
    }

    async fn tls_over(&self, stream: TcpStream, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::clone(&self.config));
        within(connector.connect(name, stream)).await
    }

    /// The certificate that the server shows.
    async fn certificate(&self, name: &str) -> CertificateDer<'static> {
        let stream = self.tls(name).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }

    async fn connect(&self, path: &str) -> WebSocket<TlsStream<TcpStream>> {
        self.try_connect(path).await.unwrap()
    }

    async fn try_connect(
        &self,
        path: &str,
    ) -> Result<WebSocket<TlsStream<TcpStream>>, sansws::Error> {
        let stream = self.tls("127.0.0.1").await?;
        let request = Request::new(&format!("wss://{}{path}", self.addr)).unwrap();
        within(client(stream, &request, &Config::new())).await
    }

    /// What comes back for these bytes, and whether it ended as TLS has it.
    async fn http(&self, request: &str) -> (String, bool) {
        let mut stream = self.tls("127.0.0.1").await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let clean = within(stream.read_to_end(&mut answer)).await.is_ok();
        (String::from_utf8(answer).unwrap(), clean)
    }
}

/// The settings of a client that knows the authority.
fn client_config(authority: &Authority) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(authority))
        .with_no_client_auth()
}

fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(read(&authority.certificate())).unwrap();
    roots
}

/// The first certificate in a file.
fn read(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(&fs::read(path).unwrap()).unwrap()
}

fn authority(test: &str) -> Option<Authority> {
    Authority::new(env!("CARGO_TARGET_TMPDIR"), test)
}

/// An authority and a certificate of it for 127.0.0.1.
fn make(test: &str) -> Option<(Authority, Leaf)> {
    let authority = authority(test)?;
    let leaf = authority.leaf("leaf", "IP:127.0.0.1,DNS:localhost");
    Some((authority, leaf))
}

fn tls(leaf: &Leaf) -> Tls {
    Tls::from_pem_files(&leaf.certificate, &leaf.key).unwrap()
}

async fn bind_tls(leaf: &Leaf) -> Server {
    Server::bind("wss://127.0.0.1:0").await.unwrap().tls(tls(leaf))
}

/// A server that logs every event as text.
fn logging(server: Server, log: &Log) -> Server {
    let log = log.clone();
    server.on_log(move |event| log.add(format!("{:?} {event}", event.level())))
}
