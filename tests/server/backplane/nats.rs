use std::process::Command;

use bytes::Bytes;
use sansws::server::backplane::{Backplane, BrokerTls, ConnectError, Nats, PublishError};

use super::broker::{Broker, Kind, ask};
#[cfg(unix)]
use super::cluster;
use super::{outages, remembering, scenarios, tls};

impl Kind for Nats {
    type Engine = Self;

    const NAME: &'static str = "nats";
    const TITLE: &'static str = "NATS";

    fn program() -> Command {
        // Debian puts it where only root's path leads
        let installed = std::path::Path::new("/usr/sbin/nats-server");
        let name = if installed.exists() { installed } else { "nats-server".as_ref() };
        Command::new(name)
    }

    fn set_up(broker: &Broker<Self>, command: &mut Command) {
        let [port, admin] = [broker.addr, broker.admin].map(|it| it.port().to_string());
        command.args(["-a", "127.0.0.1", "-p", &port, "-m", &admin]);
        if let Some(data) = &broker.data {
            command.args(["-js", "-sd"]).arg(data);
        }
        if let Some(password) = broker.password {
            command.args(["--user", "somebody", "--pass", password]);
        }
        if let Some(tls) = &broker.tls {
            command.arg("--tlscert").arg(&tls.certificate.certificate);
            command.arg("--tlskey").arg(&tls.certificate.key);
            match &tls.clients {
                Some(authority) => command.arg("--tlsverify").arg("--tlscacert").arg(authority),
                None => command.arg("--tls"),
            };
        }
    }

    async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::connect(url).await
    }

    fn max_queued(engine: Self, bytes: usize) -> Self {
        engine.max_queued(bytes)
    }

    fn rooms(broker: &Broker<Self>) -> Vec<String> {
        let answer = ask(broker.admin, "GET /subsz?subs=1 HTTP/1.0\r\n\r\n");
        let words = answer.split('"').filter(|it| it.starts_with("sansws.room."));
        words.map(str::to_owned).collect()
    }

    fn connections(broker: &Broker<Self>) -> usize {
        let answer = ask(broker.admin, "GET /connz HTTP/1.0\r\n\r\n");
        let (_, rest) = answer.split_once("\"num_connections\": ").expect("their number");
        rest.split(',').next().unwrap().trim().parse().unwrap()
    }

    fn publishers(broker: &Broker<Self>, subject: &str, text: &str) -> Vec<Command> {
        vec![broker.python("publish_nats.py", &[subject, text])]
    }
}

scenarios::all!(Nats);
outages::all!(Nats);
#[cfg(unix)]
cluster::tests!(Nats);
tls::tests!(Nats);

impl tls::TlsKind for Nats {
    const SCHEME: &'static str = "tls";

    async fn connect_tls(url: &str, tls: &BrokerTls) -> Result<Self, ConnectError> {
        Self::connect_tls(url, tls).await
    }
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let error = |result: Result<Nats, ConnectError>| result.unwrap_err().to_string();
    let text = error(Nats::connect("redis://127.0.0.1").await);
    assert!(text.starts_with("this is no URL of NATS: "), "{text}");
    assert!(text.ends_with("; one is nats://user:password@127.0.0.1:4222"), "{text}");
    let Some(mut broker) = Broker::<Nats>::start(Some("se cret")) else { return };
    let addr = broker.addr;
    let url = format!("nats://somebody:se%20cret@{addr}");
    let engine = Nats::connect(&url).await.unwrap();
    assert!(!format!("{engine:?}").contains("cret"));
    drop(engine);
    // several servers of one cluster, of which one answers
    let nobody = crate::support::free_addr();
    drop(
        Nats::connect(&format!("nats://somebody:se%20cret@{nobody},nats://{addr}")).await.unwrap(),
    );
    let refused = format!("NATS at {addr} refuses the user or the password: ");
    for login in ["somebody:wrong@", "nobody:se%20cret@", "token@", ""] {
        let text = error(Nats::connect(&format!("nats://{login}{addr}")).await);
        assert!(text.starts_with(&refused), "{text}");
        assert!(
            text.ends_with("both belong into the URL, nats://user:password@127.0.0.1:4222"),
            "{text}"
        );
        assert!(!text.contains("cret") && !text.contains("wrong"), "{text}");
    }
    broker.kill();
    let text = error(Nats::connect(&url).await);
    assert!(text.starts_with(&format!("NATS cannot be reached at {addr}: ")), "{text}");
    assert!(text.ends_with("; is it running, and does it listen there?"), "{text}");
    assert!(!text.contains("cret"), "{text}");
}

/// What would make NATS close the connection is refused.
#[tokio::test]
async fn what_nats_does_not_take_is_refused() {
    let Some(broker) = Broker::<Nats>::start(None) else { return };
    let engine = broker.engine().await;
    let long = Bytes::from(vec![0; 1024 * 1024 + 1]);
    let error = PublishError::Length { len: long.len(), limit: 1024 * 1024 };
    assert_eq!(engine.publish("sansws.all", long.clone()), Err(error));
    assert_eq!(engine.publish("sansws.all", long.slice(1..)), Ok(()));
    for subject in ["sansws.room.", &format!("sansws.room.{}", "x".repeat(4000))] {
        assert_eq!(engine.publish(subject, Bytes::new()), Err(PublishError::Subject));
        engine.subscribe(subject);
        engine.unsubscribe(subject);
    }
    // the longest name that is documented, and what NATS may say of it
    let longest = format!("sansws.room.{}", "%20".repeat(1000));
    engine.subscribe(&longest);
    crate::support::until(|| Nats::rooms(&broker).contains(&longest)).await;
    assert_eq!(engine.publish(&longest, Bytes::new()), Ok(()));
    match crate::support::within(std::future::poll_fn(|cx| engine.poll_event(cx))).await {
        sansws::server::backplane::EngineEvent::Message { subject, .. } => {
            assert_eq!(subject, longest);
        }
        other => panic!("{other:?}"),
    }
}
