//! The chat example in a real browser: Debian's Chromium without a window, driven through its
//! DevTools protocol. That protocol is spoken over a WebSocket, by this crate's blocking client,
//! so each of these tests is a browser against our server and our client against a browser.
//! The files beside this one have what belongs together; what is here is for one room.
//!
//! Without Chromium (`chromium` on the path, or what `CHROMIUM` names) the tests say that they have
//! not run, and fail where `CI=true` is set.

mod chromium;
mod feed;
mod http;
mod insight;
mod proxies;
mod reconnecting;
mod rooms;

use core::time::Duration;

use self::chromium::{Chromium, Page};
use sansws_test::process::Server;

#[test]
fn two_pages_chat() {
    let Some(mut browser) = Chromium::start("two_pages_chat") else { return };
    let chat = Server::start("chat", &[]);
    let (alice, alice_id) = join(&mut browser, &chat);
    let (bob, bob_id) = join(&mut browser, &chat);
    assert_ne!(alice_id, bob_id);

    for page in [&alice, &bob] {
        browser.wait_for(page, "#here", |_, items| {
            items.len() == 2 && items.contains(&alice_id) && items.contains(&bob_id)
        });
    }

    let said = [
        (&alice, &alice_id, "hello, is anybody there?"),
        (&bob, &bob_id, "κόσμε · 日本語 · 🎈"),
        (&alice, &alice_id, "<b>not bold</b> & here: nobody says: \"this\""),
    ];
    let mut log = Vec::new();
    for (page, id, text) in said {
        browser.say(page, text);
        log.push(format!("{id} says: {text}"));
        for page in [&alice, &bob] {
            browser.wait_for(page, "#log", |_, items| items == log);
        }
    }
    assert_eq!(browser.evaluate(&alice, "document.querySelector('#log b').children.length"), 0);

    browser.picture(&alice, "chat");
    browser.prefer(&alice, "dark");
    browser.picture(&alice, "chat-dark");
    browser.shrink(&alice);
    browser.picture(&alice, "chat-narrow");

    // Someone who goes is gone from the list of those who stay.
    browser.close_page(bob);
    browser.wait_for(&alice, "#here", |_, items| items == [alice_id.clone()]);
}

#[test]
fn bytes_come_back_unchanged() {
    let Some(mut browser) = Chromium::start("bytes_come_back_unchanged") else { return };
    let chat = Server::start("chat", &[]);
    let (page, _) = join(&mut browser, &chat);
    for length in [0, 1, 125, 126, 65_535, 65_536, 1024 * 1024] {
        browser.set(&page, "#bytes", &length.to_string());
        browser.click(&page, "#send-binary");
        let result = browser.wait_for(&page, "#binary-result", |text, _| {
            text.contains("identical") || text.contains("different") || text.contains("closed")
        });
        let digits = result.split(' ').next().unwrap().replace(',', "");
        assert_eq!(digits, length.to_string(), "{result}");
        assert!(result.contains("identical"), "{result}");
        // The next length must not find this answer.
        browser.evaluate(&page, "void (document.querySelector('#binary-result').textContent = '')");
    }
}

// A Blob, a text and a binary message from a script that is not the page's own.
#[test]
fn kinds_of_messages_come_back_as_they_were() {
    let Some(mut browser) = Chromium::start("kinds_of_messages_come_back_as_they_were") else {
        return;
    };
    let chat = Server::start("chat", &[]);
    let (page, _) = join(&mut browser, &chat);
    let script = r"new Promise((resolve, reject) => {
        const socket = new WebSocket(address('echo'));
        const kinds = [];
        socket.binaryType = 'arraybuffer';
        socket.onerror = () => reject(new Error('no connection'));
        socket.onopen = () => {
            for (const message of ['', 'κόσμε', new Blob(['blob']), new Uint8Array(3)]) {
                socket.send(message);
            }
        };
        socket.onmessage = ({ data }) => {
            kinds.push(typeof data === 'string' ? `text ${data}` : `binary ${data.byteLength}`);
            if (kinds.length === 4) socket.close(1000);
        };
        socket.onclose = ({ code, wasClean }) => resolve([...kinds, `${code} ${wasClean}`]);
    })";
    let kinds = browser.evaluate(&page, script);
    let expected = ["text ", "text κόσμε", "binary 4", "binary 3", "1000 true"];
    assert_eq!(kinds, serde_json::json!(expected));
}

// Every server that echoes, from a page of another origin.
#[test]
fn every_echo_server_answers() {
    let Some(mut browser) = Chromium::start("every_echo_server_answers") else { return };
    let chat = Server::start("chat", &[]);
    let (page, _) = join(&mut browser, &chat);
    for name in ["echo", "echo_blocking", "echo_mio"] {
        let server = Server::start(name, &[]);
        let script = format!(
            r"new Promise((resolve, reject) => {{
                const socket = new WebSocket('{}');
                const sizes = [];
                socket.binaryType = 'arraybuffer';
                socket.onerror = () => reject(new Error('no connection'));
                socket.onopen = () => {{
                    for (const size of [0, 1, 125, 126, 65535, 65536, 1048576]) {{
                        socket.send(new Uint8Array(size));
                    }}
                    socket.send('κόσμε');
                }};
                socket.onmessage = ({{ data }}) => {{
                    sizes.push(typeof data === 'string' ? data : data.byteLength);
                    if (typeof data === 'string') socket.close(4001, 'done');
                }};
                socket.onclose = ({{ code, wasClean }}) => resolve([...sizes, code, wasClean]);
            }})",
            server.url("/")
        );
        let expected =
            serde_json::json!([0, 1, 125, 126, 65535, 65536, 1_048_576, "κόσμε", 4001, true]);
        assert_eq!(browser.evaluate(&page, &script), expected, "{name}");
    }
}

// With the browser's offer, whatever the server makes of it: its compressor and ours, with and
// without context takeover, with large and small windows, for texts and for bytes that cannot be
// compressed.
#[cfg(feature = "deflate")]
#[test]
fn messages_are_compressed() {
    let Some(mut browser) = Chromium::start("messages_are_compressed") else { return };
    let chat = Server::start("chat", &[]);
    let (page, _) = join(&mut browser, &chat);
    let script = |url: &str| {
        format!(
            r"new Promise((resolve, reject) => {{
                const socket = new WebSocket('{url}');
                const noise = crypto.getRandomValues(new Uint8Array(60000));
                const long = ['κόσμε '.repeat(20000), 'x'.repeat(70000), noise];
                const sent = ['', 'again', 'again', ...long];
                const got = [];
                socket.binaryType = 'arraybuffer';
                socket.onerror = () => reject(new Error('no connection'));
                socket.onopen = () => sent.concat(sent).forEach((message) => socket.send(message));
                socket.onmessage = ({{ data }}) => {{
                    const expected = sent[got.length % sent.length];
                    const same = typeof data === 'string' ? data === expected
                        : new Uint8Array(data).every((byte, at) => byte === noise[at]);
                    got.push(same);
                    if (got.length === 2 * sent.length) socket.close(1000);
                }};
                socket.onclose = ({{ code, wasClean }}) => {{
                    const all = got.every((same) => same);
                    resolve([socket.extensions, all, got.length, code, wasClean]);
                }};
            }})"
        )
    };
    let settings: [&[&str]; 4] = [
        &["--deflate"],
        &["--deflate", "--no-context-takeover"],
        &["--deflate", "--window-bits", "9"],
        &["--deflate", "--no-context-takeover", "--window-bits", "12"],
    ];
    let echo_of_chat = format!("ws://{}/echo", chat.addr);
    let mut urls = vec![(echo_of_chat, None)];
    for name in ["echo", "echo_blocking", "echo_mio"] {
        for arguments in settings {
            let server = Server::start(name, arguments);
            urls.push((server.url("/"), Some((name, server))));
        }
    }
    for (url, server) in &urls {
        let result = browser.evaluate(&page, &script(url));
        let extensions = result[0].as_str().unwrap();
        assert!(extensions.starts_with("permessage-deflate"), "{extensions}");
        let name = server.as_ref().map_or("chat", |(name, _)| name);
        assert_eq!(result, serde_json::json!([extensions, true, 12, 1000, true]), "{name}");
    }
}

#[test]
fn page_closes_and_comes_back() {
    let Some(mut browser) = Chromium::start("page_closes_and_comes_back") else { return };
    let chat = Server::start("chat", &[]);
    let (page, _) = join(&mut browser, &chat);

    browser.click(&page, "#close");
    let state = browser.wait_for(&page, "#state", |text, _| text.starts_with("closed"));
    assert_eq!(state, "closed 4001: closed by the page");

    browser.click(&page, "#reconnect");
    browser.wait_for(&page, "#state", |text, _| text == "open");
    let id = browser.wait_for(&page, "#me", |text, _| text != "–");
    browser.wait_for(&page, "#here", |_, items| items == [id.clone()]);
    browser.say(&page, "back again");
    browser.wait_for(&page, "#log", |_, items| items == [format!("{id} says: back again")]);
}

#[test]
fn pages_hear_of_the_shutdown() {
    let Some(mut browser) = Chromium::start("pages_hear_of_the_shutdown") else { return };
    let mut chat = Server::start("chat", &[]);
    let (alice, _) = join(&mut browser, &chat);
    let (bob, _) = join(&mut browser, &chat);

    chat.process.interrupt();
    for page in [&alice, &bob] {
        let state = browser.wait_for(page, "#state", |text, _| text.starts_with("closed"));
        assert!(state.starts_with("closed 1001"), "{state}");
        assert!(!state.contains("connection lost"), "{state}");
    }
    let finished = chat.process.finish(Duration::from_secs(20));
    assert!(finished.status.success(), "{finished:?}");
}

// What a service manager sends.
#[test]
fn pages_hear_of_the_end_of_a_service() {
    let mut chat = Server::start("chat", &[]);
    let mut ws = sansws::blocking::connect(&chat.url("/chat")).unwrap();
    chat.process.terminate();
    while ws.recv().unwrap().is_some() {}
    let info = ws.close_info().unwrap();
    let (code, reason) = (info.code, info.reason.to_string());
    assert_eq!((code, &*reason, info.clean), (1001, "the server is going down", true));
    let finished = chat.process.finish(Duration::from_secs(20));
    assert!(finished.status.success() && finished.stderr.is_empty(), "{finished:?}");
}

#[test]
fn page_is_served() {
    let chat = Server::start("chat", &[]);
    let response = http::get(&chat.addr, "/");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
    let page = include_bytes!("../../../examples/chat/chat.html");
    assert!(response.body == page, "{} bytes are not the page", response.body.len());
}

// It is one file, and the browser sees to it.
#[test]
fn page_loads_nothing_else() {
    let chat = Server::start("chat", &[]);
    let response = http::get(&chat.addr, "/");
    let policy = response.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'unsafe-inline';"), "{policy}");
    assert!(!policy.contains('*') && !policy.contains("http"), "{policy}");
}

#[test]
fn other_paths_are_answered() {
    let chat = Server::start("chat", &[]);
    // A browser asks for this one by itself; any answer will do, but not an error of the server.
    let icon = http::get(&chat.addr, "/favicon.ico");
    assert!(matches!(icon.status, 200 | 204 | 404), "{icon:?}");

    for path in ["/nowhere", "/chat/", "/CHAT", "/echo/x", "/..", "/chat.html"] {
        let response = http::get(&chat.addr, path);
        assert_eq!(response.status, 404, "{path}: {response:?}");
    }
}

// RFC 9110 §15.5.22: "The server MUST send an Upgrade header field in a 426 response".
#[test]
fn websocket_paths_ask_for_an_upgrade() {
    let chat = Server::start("chat", &[]);
    for path in ["/chat", "/echo"] {
        let response = http::get(&chat.addr, path);
        assert_eq!(response.status, 426, "{path}: {response:?}");
        let upgrade = response.header("upgrade").unwrap_or_default();
        assert!(upgrade.eq_ignore_ascii_case("websocket"), "{path}: {response:?}");
    }
}

/// Opens the page and waits until the server has told it its id.
fn join(browser: &mut Chromium, chat: &Server) -> (Page, String) {
    join_at(browser, &format!("http://{}/", chat.addr))
}

/// The same for the page at any address.
fn join_at(browser: &mut Chromium, url: &str) -> (Page, String) {
    let page = browser.open(url);
    browser.wait_for(&page, "#state", |text, _| text == "open");
    let id = browser.wait_for(&page, "#me", |text, _| text != "–");
    (page, id)
}
