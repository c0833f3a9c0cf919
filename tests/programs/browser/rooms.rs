//! The rooms of the chat.

use super::chromium::Chromium;
use super::{http, join, join_at};
use sansws_test::process::Server;

#[test]
fn rooms_keep_to_themselves() {
    let Some(mut browser) = Chromium::start("rooms_keep_to_themselves") else { return };
    let chat = Server::start("chat", &[]);
    let room = format!("http://{}/#caf%C3%A9", chat.addr);
    let (alice, alice_id) = join_at(&mut browser, &room);
    let (bob, bob_id) = join_at(&mut browser, &room);
    let (carol, carol_id) = join(&mut browser, &chat);
    for page in [&alice, &bob] {
        browser.wait_for(page, "#here", |_, items| items == [alice_id.clone(), bob_id.clone()]);
    }
    browser.wait_for(&alice, "#moved", |text, _| text == format!("{bob_id} came"));
    browser.wait_for(&carol, "#here", |_, items| items == [carol_id.clone()]);

    browser.say(&alice, "for the café only");
    browser.say(&carol, "is anybody in the lobby?");
    browser.wait_for(&bob, "#log", |_, items| items.len() == 1);
    browser.say(&bob, "nobody else hears us");
    let mut said = vec![
        format!("{alice_id} says: for the café only"),
        format!("{bob_id} says: nobody else hears us"),
    ];
    for page in [&alice, &bob] {
        browser.wait_for(page, "#log", |_, items| items == said);
    }
    let carols = format!("{carol_id} says: is anybody in the lobby?");
    browser.wait_for(&carol, "#log", |_, items| items == [carols.clone()]);

    // Who looks at the feed is told how much was said.
    browser.click(&alice, "#feed-tab");
    browser.say(&bob, "are you still here?");
    browser.wait_for(&alice, "#unread", |text, _| text.ends_with(" new"));
    browser.click(&alice, "#chat-tab");
    said.push(format!("{bob_id} says: are you still here?"));

    // Bob goes over to the other room, as somebody else, and takes with him what he has not sent.
    browser.set(&bob, "#text", "about to say");
    browser.click(&bob, "#rooms a[href='#lobby']");
    browser.wait_for(&carol, "#here", |_, items| items.len() == 2);
    browser.wait_for(&alice, "#here", |_, items| items == [alice_id.clone()]);
    browser.wait_for(&alice, "#moved", |text, _| text == format!("{bob_id} left"));
    browser.wait_for(&bob, "#here", |_, items| items.len() == 2 && items[0] == carol_id);
    browser.wait_for(&bob, "#log", |_, items| items == [carols.clone()]);
    let shown = browser.evaluate(&bob, "[location.hash, document.querySelector('#text').value]");
    assert_eq!(shown, serde_json::json!(["#lobby", "about to say"]));
    browser.say(&bob, "");
    browser.wait_for(&carol, "#log", |_, items| items.len() == 2);
    // What he was once told stays where it was said.
    browser.wait_for(&alice, "#log", |_, items| items == said);
    browser.picture(&carol, "rooms");
}

/// Whoever comes sees the last lines; whoever comes back what it missed, and nothing twice.
#[test]
fn the_last_lines_are_there() {
    let Some(mut browser) = Chromium::start("the_last_lines_are_there") else { return };
    let chat = Server::start("chat", &[]);
    let (alice, alice_id) = join(&mut browser, &chat);
    let (bob, _) = join(&mut browser, &chat);
    let mut said = Vec::new();
    let mut say = |browser: &mut Chromium, text: &str| {
        browser.say(&alice, text);
        said.push(format!("{alice_id} says: {text}"));
        said.clone()
    };
    say(&mut browser, "first");
    let lines = say(&mut browser, "5 says: here: 7");
    browser.wait_for(&bob, "#log", |_, items| items == lines);
    let timed = "document.querySelectorAll('#log [data-time]').length";
    assert_eq!(browser.evaluate(&bob, timed), 2);

    browser.reload(&bob);
    browser.wait_for(&bob, "#log", |_, items| items == lines);
    assert_eq!(browser.evaluate(&bob, timed), 0, "nobody knows when they were said");

    browser.click(&bob, "#close");
    browser.wait_for(&bob, "#state", |text, _| text.starts_with("closed"));
    say(&mut browser, "while bob is away");
    let lines = say(&mut browser, "and once more");
    browser.wait_for(&alice, "#log", |_, items| items == lines);
    browser.click(&bob, "#reconnect");
    browser.wait_for(&bob, "#log", |_, items| items == lines);
    let lines = say(&mut browser, "welcome back");
    browser.wait_for(&bob, "#log", |_, items| items == lines);
    browser.picture(&bob, "last-lines");

    // A newcomer gets 20 of them, and none of another room.
    let mut lines = Vec::new();
    for at in 0..20 {
        lines = say(&mut browser, &format!("line {at}"));
    }
    browser.wait_for(&bob, "#log", |_, items| items == lines);
    let (carol, _) = join(&mut browser, &chat);
    browser.wait_for(&carol, "#log", |_, items| *items == lines[lines.len() - 20..]);
    let (dave, dave_id) = join_at(&mut browser, &format!("http://{}/#elsewhere", chat.addr));
    browser.say(&dave, "hello?");
    browser.wait_for(&dave, "#log", |_, items| items == [format!("{dave_id} says: hello?")]);
}

#[test]
fn an_address_leads_to_its_room() {
    let Some(mut browser) = Chromium::start("an_address_leads_to_its_room") else { return };
    let chat = Server::start("chat", &[]);
    let (alice, alice_id) = join(&mut browser, &chat);
    browser.set(&alice, "#room", "  Blue Café ");
    browser.click(&alice, "#enter button");
    browser.wait_for(&alice, "#rooms a[aria-current]", |text, _| text == "blue-café");
    browser.wait_for(&alice, "#me", |text, _| text != "–" && text != alice_id);

    let url = browser.evaluate(&alice, "location.href");
    let url = url.as_str().unwrap();
    assert_eq!(url, format!("http://{}/#blue-caf%C3%A9", chat.addr));
    let (bob, _) = join_at(&mut browser, url);
    for page in [&alice, &bob] {
        browser.wait_for(page, "#here", |_, items| items.len() == 2);
    }
    // Back in the history is back in the room.
    browser.evaluate(&alice, "history.back()");
    browser.wait_for(&bob, "#here", |_, items| items.len() == 1);
    browser.wait_for(&alice, "#rooms a[aria-current]", |text, _| text == "lobby");
}

#[test]
fn the_page_names_no_wrong_room() {
    let Some(mut browser) = Chromium::start("the_page_names_no_wrong_room") else { return };
    let chat = Server::start("chat", &[]);
    let (page, id) = join(&mut browser, &chat);
    browser.set(&page, "#room", "what/is this");
    browser.click(&page, "#enter button");
    browser.wait_for(&page, "#room-problem", |text, _| {
        text.contains("“what/is-this” cannot be a room")
    });
    browser.set(&page, "#room", "right");
    browser.click(&page, "#enter button");
    browser.wait_for(&page, "#room-problem", |text, _| text.is_empty());
    browser.wait_for(&page, "#me", |text, _| text != "–" && text != id);

    for hash in ["#a%20b!", "#%", "#a/b", "#..", &format!("#{}", "a".repeat(33))] {
        browser.evaluate(&page, &format!("void (location.hash = '{hash}')"));
        browser.wait_for(&page, "#room-problem", |text, _| text.contains("cannot be a room"));
        assert_eq!(browser.evaluate(&page, "location.hash"), "#right", "{hash}");
        browser.evaluate(&page, "showRoomProblem(null)");
    }
    browser.wait_for(&page, "#state", |text, _| text == "open");

    // What another page might try.
    let script = "new Promise((resolve) => {
        const socket = new WebSocket(address('chat/no%20room'));
        socket.onopen = () => resolve('open');
        socket.onclose = ({ code }) => resolve(code);
    })";
    assert_eq!(browser.evaluate(&page, script), 1006);
}

#[test]
fn wrong_room_names_are_refused() {
    let chat = Server::start("chat", &[]);
    let too_long = format!("/chat/{}", "a".repeat(33));
    for path in
        ["/chat/a%20b", "/chat/a%2Fb", "/chat/..", "/chat/%F0%9F%8E%88", "/chat/a%0Ab", &too_long]
    {
        let response = http::refusal(&chat.addr, path);
        assert_eq!(response.status, 400, "{path}: {response:?}");
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
        let text = String::from_utf8(response.body).unwrap();
        assert!(text.contains("not the name of a room. A name has 1 to 32 letters"), "{text}");
    }
    for path in ["/chat/", "/chat/a/b", "/chat/%ff"] {
        assert_eq!(http::refusal(&chat.addr, path).status, 404, "{path}");
    }
    let long = format!("/chat/{}", "%C3%A9".repeat(32));
    for path in ["/chat/caf%C3%A9", "/chat/a-b_9", &long] {
        sansws::blocking::connect(&chat.url(path))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}
