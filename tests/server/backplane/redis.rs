use std::process::Command;

use sansws::server::backplane::{ConnectError, Redis};

use super::broker::{Broker, Kind, ask};
#[cfg(unix)]
use super::cluster;
#[cfg(feature = "rustls")]
use super::tls;
use super::{outages, remembering, scenarios};

impl Kind for Redis {
    type Engine = Self;

    const NAME: &'static str = "redis";
    const TITLE: &'static str = "Redis";

    fn program() -> Command {
        Command::new("redis-server")
    }

    fn set_up(broker: &Broker<Self>, command: &mut Command) {
        let port = broker.addr.port().to_string();
        command.args(["--bind", "127.0.0.1", "--save", ""]);
        if let Some(tls) = &broker.tls {
            command.args(["--port", "0", "--tls-port", &port]);
            command.arg("--tls-cert-file").arg(&tls.certificate.certificate);
            command.arg("--tls-key-file").arg(&tls.certificate.key);
            // it wants one of these even where it asks for nothing
            command.arg("--tls-ca-cert-file");
            command.arg(tls.clients.as_ref().unwrap_or(&tls.certificate.certificate));
            let asks = if tls.clients.is_some() { "yes" } else { "no" };
            command.args(["--tls-auth-clients", asks]);
        } else {
            command.args(["--port", &port]);
        }
        match &broker.data {
            None => command.args(["--appendonly", "no"]),
            Some(data) => command.args(["--appendonly", "yes", "--dir"]).arg(data),
        };
        if let Some(password) = broker.password {
            command.args(["--user", "default", "off"]);
            command.args([
                "--user",
                "somebody",
                "on",
                &format!(">{password}"),
                "~*",
                "&*",
                "+@all",
            ]);
        }
    }

    async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::connect(url).await
    }

    fn max_queued(engine: Self, bytes: usize) -> Self {
        engine.max_queued(bytes)
    }

    fn rooms(broker: &Broker<Self>) -> Vec<String> {
        let answer = ask(broker.addr, "PUBSUB CHANNELS *.room.*\r\nQUIT\r\n");
        answer.lines().filter(|it| it.starts_with("sansws.")).map(str::to_owned).collect()
    }

    fn connections(broker: &Broker<Self>) -> usize {
        // one is that of whoever asks
        ask(broker.addr, "CLIENT LIST\r\nQUIT\r\n").matches(" addr=").count() - 1
    }

    fn publishers(broker: &Broker<Self>, subject: &str, text: &str) -> Vec<Command> {
        let mut client = Command::new("redis-cli");
        client.args(["-p", &broker.addr.port().to_string(), "PUBLISH", subject, text]);
        vec![client, broker.python("publish_redis.py", &[subject, text])]
    }
}

scenarios::all!(Redis);
outages::all!(Redis);
#[cfg(unix)]
cluster::tests!(Redis);
#[cfg(feature = "rustls")]
tls::tests!(Redis);

#[cfg(feature = "rustls")]
impl tls::TlsKind for Redis {
    const SCHEME: &'static str = "rediss";

    async fn connect_tls(
        url: &str,
        tls: &sansws::server::backplane::BrokerTls,
    ) -> Result<Self, ConnectError> {
        Self::connect_tls(url, tls).await
    }
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let error = |result: Result<Redis, ConnectError>| result.unwrap_err().to_string();
    let text = error(Redis::connect("nats://127.0.0.1").await);
    assert!(text.starts_with("this is no URL of Redis: "), "{text}");
    assert!(text.ends_with("; one is redis://user:password@127.0.0.1:6379"), "{text}");
    let Some(mut broker) = Broker::<Redis>::start(Some("secret")) else { return };
    let addr = broker.addr;
    let engine = broker.engine().await;
    assert!(!format!("{engine:?}").contains("secret"));
    drop(engine);
    let refused = format!("Redis at {addr} refuses the user or the password: ");
    for login in ["somebody:wrong@", "nobody:secret@", ""] {
        let text = error(Redis::connect(&format!("redis://{login}{addr}")).await);
        assert!(text.starts_with(&refused), "{text}");
        assert!(
            text.ends_with("both belong into the URL, redis://user:password@127.0.0.1:6379"),
            "{text}"
        );
        assert!(!text.contains("secret") && !text.contains("wrong"), "{text}");
    }
    broker.kill();
    let text = error(Redis::connect(&broker.url()).await);
    assert!(text.starts_with(&format!("Redis cannot be reached at {addr}: ")), "{text}");
    assert!(text.ends_with("; is it running, and does it listen there?"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

/// What is documented for other programs, and a Redis that has lost its last messages.
#[tokio::test]
async fn a_history_is_a_stream() {
    use super::remembering::{send, server, since, texts, topic};
    let Some(broker) = Broker::<Redis>::start(None) else { return };
    let server = server(broker.engine().await).await;
    let begin = topic(&server).position().await.unwrap().unwrap();
    let (mut ws, _) = since(&server, begin).await;
    for text in ["one", "two", "three"] {
        send(&server, text).await;
    }
    texts(&mut ws, &["one", "two", "three"]).await;
    let range = ask(broker.addr, "XRANGE sansws.topic.t - +\r\nQUIT\r\n");
    let ids: Vec<&str> = range.lines().filter(|it| it.contains('-')).collect();
    assert_eq!(ids, [1, 2, 3].map(|offset| format!("{}-{offset}", begin.epoch)));
    for field in ["\r\nt\r\n", "\r\nm\r\n", "\r\none\r\n", "\r\nthree\r\n"] {
        assert!(range.contains(field), "{field:?}: {range}");
    }
    assert!(!ask(broker.addr, "PTTL sansws.topic.t\r\nQUIT\r\n").starts_with(":-1"));
    let lose = format!(
        "XTRIM sansws.topic.t MAXLEN 0\r\nXSETID sansws.topic.t {}-1\r\nQUIT\r\n",
        begin.epoch
    );
    assert_eq!(ask(broker.addr, &lose), ":3\r\n+OK\r\n+OK\r\n");
    let next = send(&server, "four").await;
    assert_ne!(next.epoch, begin.epoch, "no position stands for two messages");
    assert_eq!(next.offset, 1);
    texts(&mut ws, &["four"]).await;
    server.stop().await;
}

/// A server that knew more begins another epoch, also while it sends nothing: those who knew less
/// would send at positions that its members have had.
#[tokio::test]
async fn what_redis_has_lost_is_found_by_who_looks() {
    use super::remembering::{send, server, since, texts, topic};
    let Some(broker) = Broker::<Redis>::start(None) else { return };
    let (one, two) = (server(broker.engine().await).await, server(broker.engine().await).await);
    let begin = topic(&one).position().await.unwrap().unwrap();
    let (mut ws, _) = since(&one, begin).await;
    for text in ["one", "two", "three"] {
        send(&one, text).await;
    }
    texts(&mut ws, &["one", "two", "three"]).await;
    let lose = format!(
        "XTRIM sansws.topic.t MAXLEN 0\r\nXSETID sansws.topic.t {}-1\r\nQUIT\r\n",
        begin.epoch
    );
    assert_eq!(ask(broker.addr, &lose), ":3\r\n+OK\r\n+OK\r\n");
    // it looks when the connection is there again
    let killed = ask(broker.addr, "CLIENT KILL TYPE pubsub\r\nQUIT\r\n");
    assert_eq!(killed, ":2\r\n+OK\r\n");
    let is_another = async || match topic(&two).position().await {
        Ok(Some(position)) => position.epoch != begin.epoch,
        _ => false,
    };
    crate::support::within(async {
        while !is_another().await {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(send(&two, "four").await.offset, 1);
    texts(&mut ws, &["four"]).await;
    one.stop().await;
    two.stop().await;
}
