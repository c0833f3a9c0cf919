//! Brokers with certificates of an authority that exists for the test alone.

use sansws::server::backplane::{BrokerTls, ConnectError};
use sansws_test::certificates::{Authority, Leaf};

use super::broker::{Broker, Kind, Tls};
use super::common::{self, joined};
use crate::support::until;

/// What connects with certificates.
pub trait TlsKind: Kind {
    /// The scheme of URLs.
    const SCHEME: &'static str;

    async fn connect_tls(url: &str, tls: &BrokerTls) -> Result<Self::Engine, ConnectError>;
}

fn authority(test: &str) -> Option<Authority> {
    Authority::new(env!("CARGO_TARGET_TMPDIR"), test)
}

fn start<K: TlsKind>(certificate: Leaf, clients: Option<&Authority>) -> Option<Broker<K>> {
    let clients = clients.map(Authority::certificate);
    Broker::start_tls("secret", Tls { certificate, clients })
}

fn url<K: TlsKind>(broker: &Broker<K>, login: &str) -> String {
    format!("{}://{login}@{}", K::SCHEME, broker.addr)
}

const LOGIN: &str = "somebody:secret";

async fn error<K: TlsKind>(url: &str, tls: &BrokerTls) -> String {
    match K::connect_tls(url, tls).await {
        Ok(_) => panic!("it is connected"),
        Err(error) => error.to_string(),
    }
}

/// Rooms span servers, also after the broker was away; and nobody else is taken for the broker.
pub async fn tls_is_verified<K: TlsKind>() {
    let name = |part: &str| format!("broker-{}-{part}", K::NAME);
    let Some(authority) = authority(&name("one")) else { return };
    let other = self::authority(&name("other")).unwrap();
    let Some(mut broker) = start::<K>(authority.leaf("broker", "IP:127.0.0.1"), None) else {
        return;
    };
    let trusting = BrokerTls::new().authority_file(authority.certificate());
    let at = url(&broker, LOGIN);
    let engine = async || K::connect_tls(&at, &trusting).await.unwrap();
    let (one, two) = (joined(engine().await).await, joined(engine().await).await);
    common::rooms_span(&one, &two).await;
    let is_up = |up: bool| {
        let (one, two) = (&one, &two);
        move || [one, two].iter().all(|it| it.hub.stats().backplane.unwrap().up == up)
    };
    broker.kill();
    until(is_up(false)).await;
    broker.restart();
    until(is_up(true)).await;
    let (mut ws, _) = common::member(&two, "again").await;
    common::spans(&one, "again", &mut ws).await;
    one.stop().await;
    two.stop().await;

    // by an authority that is not trusted, that of the other or any of the system
    let fails = format!("TLS with {} at {} fails: ", K::TITLE, broker.addr);
    let stranger = BrokerTls::new().authority_file(other.certificate());
    let text = error::<K>(&at, &stranger).await;
    assert!(text.starts_with(&fails) && text.contains("UnknownIssuer"), "{text}");
    assert!(text.ends_with("give yours by `BrokerTls::authority_file`"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    let ConnectError::Tls { .. } = K::connect(&at).await.map(drop).unwrap_err() else {
        panic!("the system does not trust it")
    };
    let text = error::<K>(&url(&broker, "somebody:wrong"), &trusting).await;
    assert!(text.contains(" refuses the user or the password: "), "{text}");
    // files that are none
    let nothing = BrokerTls::new().authority_file(authority.path("nothing.pem"));
    let text = error::<K>(&at, &nothing).await;
    assert!(text.contains("nothing.pem cannot be read: "), "{text}");
    let text =
        error::<K>(&at, &BrokerTls::new().authority_file(authority.path("broker.conf"))).await;
    assert!(text.contains("there is no CERTIFICATE in PEM form in "), "{text}");

    // for another host
    let elsewhere = authority.leaf("elsewhere", "DNS:elsewhere.example");
    let broker = start::<K>(elsewhere, None).unwrap();
    let text = error::<K>(&url(&broker, LOGIN), &trusting).await;
    assert!(text.ends_with("other names than the host of the URL"), "{text}");
    // and one that does not speak TLS
    let broker = Broker::<K>::start(None).unwrap();
    let text = error::<K>(&format!("{}://{}", K::SCHEME, broker.addr), &trusting).await;
    assert!(text.contains(&broker.addr.to_string()), "{text}");
}

/// A broker that asks for certificates.
pub async fn a_broker_asks_for_a_certificate<K: TlsKind>() {
    let Some(authority) = authority(&format!("broker-{}-asks", K::NAME)) else { return };
    let leaf = authority.leaf("broker", "IP:127.0.0.1");
    let Some(broker) = start::<K>(leaf, Some(&authority)) else { return };
    let without = BrokerTls::new().authority_file(authority.certificate());
    let at = url(&broker, LOGIN);
    let text = error::<K>(&at, &without).await;
    assert!(text.ends_with("give one by `BrokerTls::client_certificate_files`"), "{text}");
    let own = authority.leaf("client", "DNS:client.example");
    let tls = without.client_certificate_files(own.certificate, own.key);
    drop(K::connect_tls(&at, &tls).await.unwrap());
}

/// The tests of an engine.
macro_rules! tests {
    ($kind:ty) => {
        #[tokio::test]
        async fn tls_is_verified() {
            tls::tls_is_verified::<$kind>().await;
        }

        #[tokio::test]
        async fn a_broker_asks_for_a_certificate() {
            tls::a_broker_asks_for_a_certificate::<$kind>().await;
        }
    };
}
pub(super) use tests;
