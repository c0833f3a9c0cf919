//! What the chat tells whoever runs it.

use super::chromium::Chromium;
use super::{http, join, join_at};
use sansws_test::process::Server;

#[test]
fn metrics_and_clients_are_pages() {
    let Some(mut browser) = Chromium::start("metrics_and_clients_are_pages") else { return };
    let chat = Server::start("chat", &[]);
    let (alice, alice_id) = join_at(&mut browser, &format!("http://{}/#tea", chat.addr));
    let (bob, bob_id) = join(&mut browser, &chat);
    browser.wait_for(&bob, "#here", |_, items| items.len() == 1);
    browser.say(&alice, "good afternoon");
    browser.wait_for(&alice, "#log", |_, items| items.len() == 1);
    browser.picture(&alice, "insight");

    let links = "[...document.querySelectorAll('.links a')].map((link) => link.href)";
    let links: Vec<String> = serde_json::from_value(browser.evaluate(&alice, links)).unwrap();
    let expected = ["metrics", "debug/clients"].map(|path| format!("http://{}/{path}", chat.addr));
    assert_eq!(links, expected);

    let metrics = browser.open(&links[0]);
    // shown, and not saved to a file
    let text = browser.wait_for(&metrics, "body", |text, _| text.ends_with("# EOF\n"));
    for line in ["sansws_connections 2", "sansws_topics 2", "sansws_received_messages_total 1"] {
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
    browser.picture(&metrics, "metrics");

    let clients = browser.open(&links[1]);
    let text = browser.wait_for(&clients, "body", |text, _| text.starts_with("id "));
    let lines: Vec<_> = text.lines().collect();
    let [head, first, second] = lines[..] else { panic!("{text}") };
    assert!(head.contains("round trip") && head.ends_with("rooms"), "{text}");
    let line_of = |id: &str| match first.trim_start().starts_with(&format!("{id}  ")) {
        true => first,
        false => second,
    };
    for (id, path, room) in [(&alice_id, "/chat/tea", "tea"), (&bob_id, "/chat/lobby", "lobby")] {
        let line = line_of(id);
        assert!(line.trim_start().starts_with(&format!("{id}  127.0.0.1  ")), "{text}");
        assert!(line.contains(&format!(" 0 B  {path}")), "{text}");
        assert!(line.ends_with(&format!("  \"{room}\"")), "{text}");
    }
    browser.picture(&clients, "clients");
}

/// What is no browser gets what Prometheus wants.
#[test]
fn metrics_have_the_type_of_openmetrics() {
    let chat = Server::start("chat", &[]);
    let response = http::get(&chat.addr, "/metrics");
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(response.header("content-type"), Some(content_type));
    assert!(response.body.ends_with(b"# EOF\n"));
    let clients = http::get(&chat.addr, "/debug/clients");
    assert_eq!(clients.body, b"id  address  age  round trip  waiting  path  rooms\n");
}
