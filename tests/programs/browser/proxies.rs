//! The page behind other programs: below a path that a proxy takes away, and through TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use super::chromium::Chromium;
use super::join_at;
use sansws_test::certificates::{Authority, Leaf};
#[cfg(feature = "rustls")]
use sansws_test::process::example;
use sansws_test::process::{Process, START, Server, skip};

#[test]
fn the_page_works_below_a_path() {
    let Some(mut browser) = Chromium::start("the_page_works_below_a_path") else { return };
    let chat = Server::start("chat", &[]);
    let proxy = proxy(&chat, |head| head.replacen(" /sub/path/", " /", 1));
    everything_works(&mut browser, &format!("http://{proxy}/sub/path/"));
}

// RFC 9110 §7.6.1: a proxy does not pass `Upgrade` on unless it knows what it is for.
#[test]
fn the_page_tells_of_a_proxy_without_websockets() {
    let test = "the_page_tells_of_a_proxy_without_websockets";
    let Some(mut browser) = Chromium::start(test) else { return };
    let chat = Server::start("chat", &[]);
    let proxy = proxy(&chat, |head| head.replacen("Upgrade: websocket\r\n", "", 1));
    let page = browser.open(&format!("http://{proxy}/"));
    browser.wait_for(&page, "#why", |text, _| {
        text.starts_with("The server answers, but lets no WebSocket through")
    });
    browser.wait_for(&page, "#state", |text, _| text == "closed 1006: no connection");
}

#[test]
fn the_page_works_through_tls() {
    let test = "the_page_works_through_tls";
    let arguments = ["--ignore-certificate-errors"];
    let Some(mut browser) = Chromium::start_with(test, &arguments) else { return };
    let Some(leaf) = certificate(test) else { return };
    let chat = Server::start("chat", &[]);
    let forwarder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/programs/browser/tls.py");
    let mut forwarder =
        Process::spawn(Command::new("python3").arg(forwarder).arg(&chat.addr).args(leaf.files()));
    let addr = forwarder.stdout_line(START);
    everything_works(&mut browser, &format!("https://{addr}/"));
}

/// TLS of the server itself.
#[cfg(feature = "rustls")]
#[test]
fn the_page_works_by_tls_of_the_chat() {
    let test = "the_page_works_by_tls_of_the_chat";
    let arguments = ["--ignore-certificate-errors"];
    let Some(mut browser) = Chromium::start_with(test, &arguments) else { return };
    let Some(leaf) = certificate(test) else { return };
    let mut command = Command::new(example("chat"));
    let mut chat = Process::spawn(command.arg("127.0.0.1:0").arg("--tls").args(leaf.files()));
    let line = chat.stdout_line(START);
    let addr = line.strip_prefix("listening on wss://").unwrap();
    everything_works(&mut browser, &format!("https://{addr}/"));
}

/// A room with its last lines, the echo, the feed and the figures, at the page's address.
fn everything_works(browser: &mut Chromium, url: &str) {
    let (alice, alice_id) = join_at(browser, &format!("{url}#tea"));
    let (bob, _) = join_at(browser, &format!("{url}#tea"));
    browser.say(&alice, "good afternoon");
    for page in [&alice, &bob] {
        browser.wait_for(page, "#log", |_, items| {
            items == [format!("{alice_id} says: good afternoon")]
        });
    }
    browser.reload(&bob);
    browser
        .wait_for(&bob, "#log", |_, items| items == [format!("{alice_id} says: good afternoon")]);
    browser.wait_for(&bob, "#state", |text, _| text == "open");
    let fetch = "Promise.all([...document.querySelectorAll('.links a')]
        .map((link) => fetch(link.href).then((it) => it.text()).then((it) => it.slice(0, 9))))";
    assert_eq!(browser.evaluate(&bob, fetch), serde_json::json!(["# TYPE sa", "id  addre"]));
    browser.set(&bob, "#bytes", "1048576");
    browser.click(&bob, "#send-binary");
    browser.wait_for(&bob, "#binary-result", |text, _| text.contains("identical"));
    browser.click(&bob, "#feed-tab");
    browser
        .wait_for(&bob, "#rate", |text, _| text.contains(" messages/s") && !text.starts_with("0 "));
    browser.click(&bob, "#rooms a[href='#lobby']");
    browser.wait_for(&alice, "#here", |_, items| items == [alice_id.clone()]);
    let scheme = if url.starts_with("https:") { "wss:" } else { "ws:" };
    let address = browser.evaluate(&alice, "address('chat/tea').href");
    assert_eq!(address, format!("{scheme}{}chat/tea", url.split_once(':').unwrap().1));
}

/// A reverse proxy, which edits the heads of requests. Runs as long as the tests.
fn proxy(chat: &Server, edit: fn(&str) -> String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let upstream = chat.addr.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let upstream = upstream.clone();
            thread::spawn(move || forward(stream, &upstream, edit));
        }
    });
    addr
}

/// One request, and whatever follows it: our server closes the connection when it has answered a
/// request of plain HTTP.
fn forward(mut client: TcpStream, upstream: &str, edit: fn(&str) -> String) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let mut server = TcpStream::connect(upstream)?;
    server.set_nodelay(true)?;
    server.write_all(edit(&String::from_utf8_lossy(&head)).as_bytes())?;
    let (mut to_server, mut from_client) = (server.try_clone()?, client.try_clone()?);
    let upwards = thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        to_server.shutdown(Shutdown::Write)
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Write)?;
    let _ = upwards.join();
    Ok(())
}

/// A certificate for 127.0.0.1; `None` after a word about it if none can be made.
fn certificate(test: &str) -> Option<Leaf> {
    let python = Command::new("python3").args(["-c", "import ssl"]).output();
    if !python.is_ok_and(|output| output.status.success()) {
        skip(test, "there is no python3 with the module ssl");
        return None;
    }
    let authority = Authority::new(env!("CARGO_TARGET_TMPDIR"), test)?;
    Some(authority.leaf("leaf", "IP:127.0.0.1"))
}
