//! A headless Chromium and the few DevTools commands that the tests need.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{env, fs, process, thread};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sansws::Message;
use sansws::blocking::{ClientStream, WebSocket};
use serde_json::{Value, json};

use sansws_test::process::{Process, START, skip};

/// How long a page may take to show what it should.
const PATIENCE: Duration = Duration::from_secs(20);

/// A browser of our own, with a profile of its own.
pub(crate) struct Chromium {
    // Dropped in this order: the profile goes when nobody writes into it any more.
    cdp: Cdp,
    _process: Process,
    _profile: Profile,
}

/// One tab.
pub(crate) struct Page {
    target: String,
    session: String,
}

impl Chromium {
    /// Starts the browser; `None` after a word about it if there is none and none is required.
    pub(crate) fn start(test: &str) -> Option<Self> {
        Self::start_with(test, &[])
    }

    /// The same with further arguments.
    pub(crate) fn start_with(test: &str, arguments: &[&str]) -> Option<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);

        let program = env::var_os("CHROMIUM").unwrap_or_else(|| "chromium".into());
        let probe = Command::new(&program).arg("--version").stdin(Stdio::null()).output();
        if !probe.is_ok_and(|output| output.status.success()) {
            let reason = format!(
                "{} does not start; install it (Debian: apt-get install chromium) or name another \
                 one in CHROMIUM",
                program.display()
            );
            skip(test, &reason);
            return None;
        }

        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let profile = format!("browser/profile-{}-{number}", process::id());
        let profile = Profile(sansws_test::target_dir!().join(profile));
        let mut browser = Process::spawn(
            Command::new(&program)
                // Root has no sandbox, and there is no GPU and no network.
                .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
                .args(["--no-first-run", "--disable-background-networking"])
                .args(["--disable-component-update", "--disable-sync"])
                // Shared memory is often too small for it in a container.
                .args(["--disable-dev-shm-usage", "--window-size=1100,720"])
                .args(arguments)
                .arg("--remote-debugging-port=0")
                .arg(format!("--user-data-dir={}", profile.0.display()))
                .arg("about:blank"),
        );
        let url = browser.stderr_line(START, |line| {
            line.strip_prefix("DevTools listening on ").map(ToOwned::to_owned)
        });
        Some(Self { cdp: Cdp::connect(&url), _process: browser, _profile: profile })
    }

    /// Opens `url` in a new tab.
    pub(crate) fn open(&mut self, url: &str) -> Page {
        let target = self.cdp.call(None, "Target.createTarget", json!({ "url": url }));
        let target = string(&target["targetId"]);
        let attached = self.cdp.call(
            None,
            "Target.attachToTarget",
            json!({ "targetId": target, "flatten": true }),
        );
        Page { target, session: string(&attached["sessionId"]) }
    }

    /// Closes a tab.
    pub(crate) fn close_page(&mut self, page: Page) {
        self.cdp.call(None, "Target.closeTarget", json!({ "targetId": page.target }));
    }

    /// The value of a JavaScript expression, awaited if it is a promise.
    pub(crate) fn evaluate(&mut self, page: &Page, expression: &str) -> Value {
        let mut answer = self.cdp.call(
            Some(page),
            "Runtime.evaluate",
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true }),
        );
        assert!(answer.get("exceptionDetails").is_none(), "{expression}\n{answer:#}");
        answer["result"]["value"].take()
    }

    /// Waits until `done` is satisfied with the text of an element and the texts of its list
    /// items, and returns the text.
    pub(crate) fn wait_for(
        &mut self,
        page: &Page,
        selector: &str,
        done: impl Fn(&str, &[String]) -> bool,
    ) -> String {
        let script = format!(
            "(() => {{
                const node = document.querySelector({selector});
                const items = [...(node?.querySelectorAll('li') ?? [])];
                return [node?.textContent ?? '', items.map((item) => item.textContent)];
            }})()",
            selector = json!(selector)
        );
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.evaluate(page, &script);
            let (text, items): (String, Vec<String>) = serde_json::from_value(shown).unwrap();
            if done(&text, &items) {
                return text;
            }
            assert!(Instant::now() < deadline, "{selector} still shows {text:?} {items:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Loads a page again. What is asked of it from then on, the new one answers: until the browser
    /// has it, the old one would.
    pub(crate) fn reload(&mut self, page: &Page) {
        self.evaluate(page, "window.isOld = true");
        self.cdp.call(Some(page), "Page.reload", json!({}));
        let deadline = Instant::now() + PATIENCE;
        let expression = json!({
            "expression": "!window.isOld && document.readyState",
            "returnByValue": true,
        });
        loop {
            // an error while the one page goes and the other comes
            let state = self.cdp.try_call(Some(page), "Runtime.evaluate", expression.clone());
            if state.is_ok_and(|state| state["result"]["value"] == "complete") {
                break;
            }
            assert!(Instant::now() < deadline, "the page is not loaded again");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Gives a field or a selection a value.
    pub(crate) fn set(&mut self, page: &Page, selector: &str, value: &str) {
        let (selector, value) = (json!(selector), json!(value));
        self.evaluate(page, &format!("void (document.querySelector({selector}).value = {value})"));
    }

    /// Clicks a button, which must be enabled.
    pub(crate) fn click(&mut self, page: &Page, selector: &str) {
        let script = format!(
            "(() => {{
                const button = document.querySelector({selector});
                const enabled = !button.disabled;
                button.click();
                return enabled;
            }})()",
            selector = json!(selector)
        );
        assert_eq!(self.evaluate(page, &script), true, "{selector} cannot be clicked");
    }

    /// Types a line into the chat and presses Enter.
    pub(crate) fn say(&mut self, page: &Page, text: &str) {
        self.evaluate(page, "document.querySelector('#text').focus()");
        self.cdp.call(Some(page), "Input.insertText", json!({ "text": text }));
        for kind in ["keyDown", "keyUp"] {
            let key = json!({
                "type": kind, "key": "Enter", "code": "Enter", "text": "\r",
                "windowsVirtualKeyCode": 13,
            });
            self.cdp.call(Some(page), "Input.dispatchKeyEvent", key);
        }
    }

    /// Takes `light` or `dark` for what the user prefers.
    pub(crate) fn prefer(&mut self, page: &Page, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        let params = json!({ "features": [feature] });
        self.cdp.call(Some(page), "Emulation.setEmulatedMedia", params);
    }

    /// Gives a tab the size of a phone and its density of pixels, which is 2.
    pub(crate) fn shrink(&mut self, page: &Page) {
        let params = json!({ "width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true });
        self.cdp.call(Some(page), "Emulation.setDeviceMetricsOverride", params);
    }

    /// Brings the tab to the front and writes what it looks like to `target/browser/NAME.png`.
    pub(crate) fn picture(&mut self, page: &Page, name: &str) {
        self.cdp.call(Some(page), "Page.bringToFront", json!({}));
        let shot = self.cdp.call(Some(page), "Page.captureScreenshot", json!({ "format": "png" }));
        let directory = sansws_test::target_dir!().join("browser");
        fs::create_dir_all(&directory).unwrap();
        let png = STANDARD.decode(string(&shot["data"])).unwrap();
        fs::write(directory.join(name).with_extension("png"), png).unwrap();
    }
}

/// The directory of a browser's files.
struct Profile(PathBuf);

impl Drop for Profile {
    fn drop(&mut self) {
        // The browser's other processes notice a little later that it is gone.
        for _ in 0..50 {
            if fs::remove_dir_all(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A client of the DevTools protocol: JSON-RPC over our own blocking WebSocket.
///
/// It waits without a time-out of its own: the browser is killed at the end of its lifetime, and
/// then the connection is at its end too.
struct Cdp {
    socket: WebSocket<ClientStream>,
    last_id: u64,
}

impl Cdp {
    fn connect(url: &str) -> Self {
        let socket = sansws::blocking::connect(url)
            .unwrap_or_else(|error| panic!("no DevTools connection to {url}: {error}"));
        Self { socket, last_id: 0 }
    }

    /// Sends a command, to the browser itself or to one page, and waits for its result. Events
    /// that come before are dropped.
    fn call(&mut self, page: Option<&Page>, method: &str, params: Value) -> Value {
        let result = self.try_call(page, method, params.clone());
        result.unwrap_or_else(|error| panic!("{method} {params:#}\n{error:#}"))
    }

    /// Does the same, and returns the error if it is one.
    fn try_call(
        &mut self,
        page: Option<&Page>,
        method: &str,
        params: Value,
    ) -> Result<Value, Value> {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": params });
        if let Some(page) = page {
            command["sessionId"] = json!(page.session);
        }
        self.socket.send(command.to_string()).unwrap();
        loop {
            let mut answer: Value = serde_json::from_str(&self.text()).unwrap();
            if answer["id"] == self.last_id {
                return match answer.get_mut("error") {
                    Some(error) => Err(error.take()),
                    None => Ok(answer["result"].take()),
                };
            }
        }
    }

    fn text(&mut self) -> String {
        match self.socket.recv().unwrap() {
            Some(Message::Text(text)) => text.to_string(),
            Some(other) => panic!("DevTools speaks text, this is {other:?}"),
            None => panic!("the browser closed the DevTools connection"),
        }
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}
