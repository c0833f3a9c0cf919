//! The page comes back when it lost the server, and does not when it should not.

use core::time::Duration;
use std::net::TcpListener;
use std::process;

use serde_json::json;

use super::chromium::Chromium;
use super::join;
use sansws_test::process::Server;

#[test]
fn pages_come_back_after_a_restart() {
    let Some(mut browser) = Chromium::start("pages_come_back_after_a_restart") else { return };
    let addr = lasting_addr();
    let mut chat = Server::start_at(&addr, "chat", &[]);
    let (alice, _) = join(&mut browser, &chat);
    let (bob, _) = join(&mut browser, &chat);
    browser.say(&alice, "before");
    browser.wait_for(&bob, "#log", |_, items| items.len() == 1);
    browser.set(&alice, "#text", "not sent yet");

    chat.process.interrupt();
    assert!(chat.process.finish(Duration::from_secs(20)).status.success());
    browser.wait_for(&bob, "#countdown", |text, _| seconds(text) >= 1);
    browser.click(&bob, "#stop");
    browser.wait_for(&alice, "#countdown", |text, _| seconds(text) >= 2);

    // One comes back by itself, the other when it is told to.
    let chat = Server::start_at(&addr, "chat", &[]);
    browser.wait_for(&alice, "#state", |text, _| text == "open");
    browser.wait_for(&alice, "#here", |_, items| items.len() == 1);
    browser.wait_for(&bob, "#state", |text, _| text == "closed 1001: the server is going down");
    browser.click(&bob, "#now");
    browser.wait_for(&bob, "#state", |text, _| text == "open");
    for page in [&alice, &bob] {
        browser.wait_for(page, "#here", |_, items| items.len() == 2);
    }
    browser.say(&alice, "");
    browser.wait_for(&bob, "#log", |_, items| {
        items.len() == 2 && items[1].ends_with(" says: not sent yet")
    });
    drop(chat);
}

#[test]
fn the_page_counts_down_until_it_tries_again() {
    let Some(mut browser) = Chromium::start("the_page_counts_down") else { return };
    let mut chat = Server::start("chat", &[]);
    let (page, _) = join(&mut browser, &chat);
    browser.say(&page, "Is this still on?");
    browser.wait_for(&page, "#log", |_, items| items.len() == 1);
    browser.set(&page, "#text", "I had something to say");
    chat.process.interrupt();
    assert!(chat.process.finish(Duration::from_secs(20)).status.success());

    // This is not the first attempt: they come at longer and longer intervals.
    browser.wait_for(&page, "#countdown", |text, _| seconds(text) >= 3);
    browser.picture(&page, "countdown");
    browser.prefer(&page, "dark");
    browser.shrink(&page);
    browser.picture(&page, "countdown-narrow");
    browser.wait_for(&page, "#countdown", |text, _| seconds(text) == 1);
    browser.wait_for(&page, "#countdown", |text, _| seconds(text) >= 6);
    let why = browser.evaluate(&page, "document.querySelector('#why').textContent");
    assert_eq!(why, "The server went down.");

    // It does not wait when the network comes back, and does nothing any more when it is told so.
    let online =
        "dispatchEvent(new Event('online')), document.querySelector('#countdown').textContent";
    assert_eq!(browser.evaluate(&page, online), "Reconnecting …");
    browser.wait_for(&page, "#countdown", |text, _| seconds(text) >= 1);
    browser.click(&page, "#stop");
    assert_eq!(browser.evaluate(&page, online), "");
}

/// Of the countdown; 0 if it shows something else.
fn seconds(text: &str) -> u32 {
    let digits = text.strip_prefix("Reconnecting in ").and_then(|it| it.strip_suffix(" s"));
    digits.map_or(0, |digits| digits.parse().unwrap())
}

#[test]
fn what_may_be_lost_is_in_the_field_again() {
    let Some(mut browser) = Chromium::start("what_may_be_lost_is_in_the_field_again") else {
        return;
    };
    let mut chat = Server::start("chat", &[]);
    let (page, _) = join(&mut browser, &chat);
    browser.say(&page, "heard");
    browser.wait_for(&page, "#log", |_, items| items.len() == 1);
    // The server dies before it can have read this.
    chat.process.freeze();
    browser.say(&page, "unheard");
    browser.set(&page, "#text", "unsent");
    chat.process.kill();
    let state = browser.wait_for(&page, "#state", |text, _| text.starts_with("closed"));
    assert_eq!(state, "closed 1006: connection lost");
    let field = browser.evaluate(&page, "document.querySelector('#text').value");
    assert_eq!(field, "unheard unsent");
}

#[test]
fn a_page_that_closed_stays_closed() {
    let Some(mut browser) = Chromium::start("a_page_that_closed_stays_closed") else { return };
    let chat = Server::start("chat", &[]);
    let (page, _) = join(&mut browser, &chat);
    browser.click(&page, "#close");
    browser.wait_for(&page, "#why", |text, _| text == "You closed the connection.");
    let attempts =
        "dispatchEvent(new Event('online')), document.querySelector('#countdown').textContent";
    assert_eq!(browser.evaluate(&page, attempts), "");
    let hidden = browser.evaluate(&page, "document.querySelector('#stop').hidden");
    assert_eq!(hidden, true);
}

#[test]
fn messages_that_are_too_big_are_no_reason_to_come_back() {
    let Some(mut browser) = Chromium::start("messages_that_are_too_big") else { return };
    let chat = Server::start("chat", &[]);
    let (page, _) = join(&mut browser, &chat);

    browser.set(&page, "#bytes", "2097153");
    browser.click(&page, "#send-binary");
    let result = browser.wait_for(&page, "#binary-result", |text, _| text.contains("1009"));
    assert!(
        result.starts_with("2,097,153 bytes: the connection was closed with 1009: "),
        "{result}"
    );
    assert_ne!(result, "2,097,153 bytes: the connection was closed with 1009: no reason given");
    browser.set(&page, "#bytes", "126");
    browser.click(&page, "#send-binary");
    browser.wait_for(&page, "#binary-result", |text, _| text.contains("identical"));

    // Every connection that the page opens from here on.
    browser.evaluate(
        &page,
        "void (globalThis.opened = 0, globalThis.WebSocket = class extends WebSocket {
            constructor(url) { super(url); opened += 1; }
        })",
    );
    let send = "(() => {
        document.querySelector('#text').value = 'too big '.repeat(262144) + '!';
        document.querySelector('#compose').requestSubmit();
    })()";
    browser.evaluate(&page, send);
    let state = browser.wait_for(&page, "#state", |text, _| text.starts_with("closed"));
    assert!(state.starts_with("closed 1009: "), "{state}");
    browser.picture(&page, "too-big");
    let shown = browser.evaluate(
        &page,
        "['#why', '#countdown', '#now'].map((it) => document.querySelector(it).textContent)",
    );
    let why = "The message was too big for the server: make it shorter before you send it again.";
    assert_eq!(shown, json!([why, "", "Reconnect"]));
    let kept = browser.evaluate(&page, "document.querySelector('#text').value.length");
    assert_eq!(kept, 2 * 1024 * 1024 + 1);

    // It is the user who comes back, with less to say.
    browser.click(&page, "#now");
    browser.wait_for(&page, "#state", |text, _| text == "open");
    assert_eq!(browser.evaluate(&page, "opened"), 1);
    browser.set(&page, "#text", "");
    browser.say(&page, "less");
    browser.wait_for(&page, "#log", |_, items| items.len() == 1);
}

/// An address of the loopback interface for a server that is to have it twice. Its port is none of
/// those that the system gives to clients, which might take it in between.
fn lasting_addr() -> String {
    let first = 10_000 + process::id() % 20_000;
    let addrs = (first..32_768).map(|port| format!("127.0.0.1:{port}"));
    addrs.into_iter().find(|addr| TcpListener::bind(addr).is_ok()).unwrap()
}
