//! Two chats on one broker, by the two commands that the example names.

use std::process::Command;
use std::time::Duration;

use sansws_test::process::{Process, example};

/// What is missing is said before anything else happens.
#[test]
fn a_chat_says_what_it_needs() {
    let refused = |url: &str| {
        let mut command = Command::new(example("chat"));
        let mut chat = Process::spawn(command.args(["127.0.0.1:0", "--backplane", url]));
        let finished = chat.finish(Duration::from_secs(30));
        (finished.status.code(), finished.stderr.first().cloned().unwrap_or_default())
    };
    let (code, line) = refused("http://127.0.0.1");
    let text = "chat: --backplane needs a URL of redis:// or nats://, not http://127.0.0.1";
    assert_eq!((code, &*line), (Some(2), text));
    for (feature, is_there) in
        [("redis", cfg!(feature = "redis")), ("nats", cfg!(feature = "nats"))]
    {
        // nobody listens on the port that is for nobody
        let url = format!("{feature}://127.0.0.1:1");
        let (code, line) = refused(&url);
        if is_there {
            assert_eq!(code, Some(1));
            assert!(line.contains(" cannot be reached at 127.0.0.1:1: "), "{line}");
        } else {
            let command = format!("cargo run --features {feature} --example chat");
            let text = format!("chat: --backplane {url} needs the feature `{feature}`: {command}");
            assert_eq!(code, Some(2));
            assert!(line.starts_with(&text), "{line}");
        }
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn two_chats_are_one() {
    use sansws_test::process::{START, Server, skip};
    use sansws_test::within;

    if Command::new("redis-server").arg("--version").output().is_err() {
        return skip(
            "two_chats_are_one",
            "install redis-server (Debian: the package of that name)",
        );
    }
    // the port of a listener that is gone is not given away again soon
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let arguments = ["--port", &port, "--bind", "127.0.0.1", "--save", ""];
    let mut redis = Process::spawn(Command::new("redis-server").args(arguments));
    while !redis.stdout_line(START).contains("Ready to accept connections") {}
    let url = format!("redis://127.0.0.1:{port}");
    let [one, two] = [(); 2].map(|()| Server::start("chat", &["--backplane", &url]));
    let open = async |server: &Server| {
        let mut ws = within(sansws::tokio::connect(&server.url("/chat/lobby"))).await.unwrap();
        loop {
            let line = within(ws.recv()).await.unwrap().unwrap();
            if line.as_text().unwrap().starts_with("here: ") {
                return ws;
            }
        }
    };
    let (mut here, mut there) = (open(&one).await, open(&two).await);
    // until the subscription is there, lines of the other server pass it by
    let heard = within(async {
        loop {
            within(here.send("hello")).await.unwrap();
            let next = tokio::time::timeout(Duration::from_millis(100), there.recv());
            if let Ok(line) = next.await {
                return line.unwrap().unwrap().as_text().unwrap().to_owned();
            }
        }
    })
    .await;
    assert!(heard.starts_with("- ") && heard.ends_with(" says: hello"), "{heard}");
}
