//! Certificates for the programs that need them.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::Failure;

/// Settings of a server: a certificate and its key, two files in PEM form.
pub fn server(files: &[String]) -> Result<ServerConfig, Failure> {
    let [certificate, key, ..] = files else { return Err("give ADDR CERTIFICATE KEY".into()) };
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    Ok(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?)
}

/// Settings of a client: the certificate of an authority to trust, a file in PEM form.
pub fn client(files: &[String]) -> Result<ClientConfig, Failure> {
    let [authority, ..] = files else { return Err("give --client ADDR AUTHORITY".into()) };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// The name that a server must prove to have.
pub fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("it is a name")
}
