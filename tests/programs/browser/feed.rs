//! The feed: drawn while somebody looks, sent while somebody watches.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use sansws::Message;

use super::chromium::{Chromium, Page};
use super::join;
use sansws_test::process::Server;

#[test]
fn the_feed_is_drawn_while_it_is_looked_at() {
    let Some(mut browser) = Chromium::start("the_feed_is_drawn") else { return };
    let chat = Server::start("chat", &[]);
    let (page, _) = join(&mut browser, &chat);
    assert_eq!(browser.evaluate(&page, "feed.isOpen"), false);
    browser.click(&page, "#feed-tab");
    browser.wait_for(&page, "#rate", |text, _| {
        let rate = text.strip_suffix(" kB/s").and_then(|text| text.split_once(" messages/s, "));
        rate.is_some_and(|(rate, _)| (1..=120).contains(&rate.parse::<u32>().unwrap()))
    });
    let first = picture(&mut browser, &page, |pixels, _| pixels > 1000);
    picture(&mut browser, &page, |pixels, sum| pixels > 1000 && sum != first);

    // As many dots as the screen has.
    browser.shrink(&page);
    let dots = "((it) => it.width === 2 * it.clientWidth && it.height === 2 * it.clientHeight)(
        document.querySelector('#feed'))";
    wait_until(&mut browser, &page, dots);
    picture(&mut browser, &page, |pixels, _| pixels > 1000);

    // Whoever looks at something else watches no more.
    browser.click(&page, "#chat-tab");
    assert_eq!(browser.evaluate(&page, "feed.isOpen"), false);
    browser.click(&page, "#feed-tab");
    wait_until(&mut browser, &page, "feed.isOpen");
    let hide = "Object.defineProperty(document, 'hidden', { configurable: true, value: true }),
        document.dispatchEvent(new Event('visibilitychange')), feed.isOpen";
    assert_eq!(browser.evaluate(&page, hide), false);
    let show = "delete document.hidden, document.dispatchEvent(new Event('visibilitychange'))";
    browser.evaluate(&page, show);
    wait_until(&mut browser, &page, "feed.isOpen");
}

// The pendulums hang still while nobody watches: whoever comes then sees them start.
#[test]
fn the_feed_rests_when_nobody_watches() {
    let Some(mut browser) = Chromium::start("the_feed_rests_when_nobody_watches") else { return };
    let chat = Server::start("chat", &[]);
    let (page, _) = join(&mut browser, &chat);
    // with the keyboard, as tabs are
    let key = "document.querySelector('#chat-tab').dispatchEvent(
        new KeyboardEvent('keydown', { key: 'ArrowRight' })), document.activeElement.id";
    assert_eq!(browser.evaluate(&page, key), "feed-tab");
    wait_until(&mut browser, &page, "simulated > 2 && states.length > 0");

    // All see the same.
    let mut watcher = sansws::blocking::connect(&chat.url("/feed")).unwrap();
    assert!(time(watcher.recv().unwrap()) > 2.0);
    watcher.close(sansws::CloseCode::NORMAL, "").unwrap();

    // They have gone different ways by now.
    wait_until(&mut browser, &page, "simulated > 10");
    browser.picture(&page, "feed");
    browser.prefer(&page, "dark");
    browser.shrink(&page);
    browser.picture(&page, "feed-narrow");
    browser.click(&page, "#chat-tab");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut watcher = sansws::blocking::connect(&chat.url("/feed")).unwrap();
        if time(watcher.recv().unwrap()) < 2.0 {
            break;
        }
        watcher.close(sansws::CloseCode::NORMAL, "").unwrap();
        assert!(Instant::now() < deadline, "they swing although nobody watches");
        thread::sleep(Duration::from_millis(50));
    }
}

/// When in the simulation a message was sent, in seconds.
fn time(message: Option<Message>) -> f64 {
    let Some(Message::Text(text)) = message else { panic!("{message:?} is no state") };
    let numbers: Vec<f64> = text.split(' ').map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers.len(), 11, "{text}");
    numbers[0]
}

/// Waits for a picture with so many dots that are not blank, and a sum over all that is as it
/// should be.
fn picture(browser: &mut Chromium, page: &Page, done: impl Fn(u64, u64) -> bool) -> u64 {
    let script = "(() => {
        const canvas = document.querySelector('#feed');
        if (canvas.width === 0 || canvas.height === 0) return [0, 0];
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let [dots, sum] = [0, 0];
        for (let at = 0; at < data.length; at += 4) {
            if (data[at + 3] === 0) continue;
            dots += 1;
            sum = (31 * sum + at + data[at] + data[at + 1] + data[at + 2] + data[at + 3]) % 1000003;
        }
        return [dots, sum];
    })()";
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let shown = browser.evaluate(page, script);
        let (dots, sum) = (shown[0].as_u64().unwrap(), shown[1].as_u64().unwrap());
        if done(dots, sum) {
            return sum;
        }
        assert!(Instant::now() < deadline, "the picture has {dots} dots and the sum {sum}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn wait_until(browser: &mut Chromium, page: &Page, condition: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while browser.evaluate(page, condition) != true {
        assert!(Instant::now() < deadline, "{condition} is still not so");
        thread::sleep(Duration::from_millis(20));
    }
}
