//! As a person uses it: in a pseudo-terminal, which `script` of util-linux makes.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use sansws::CloseCode;
use sansws_test::process::skip;

use crate::support::{SANSWS, echo, serve};

/// The program in a terminal.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Receiver<Vec<u8>>,
    /// All that was written to the terminal and not looked at.
    seen: String,
}

impl Terminal {
    /// Starts the program, and says at the end with which code it has ended, and how it has left
    /// the terminal.
    fn new(test: &str, arguments: &str, url: &str) -> Option<Self> {
        Self::start(test, &format!("connect {arguments} {url}"))
    }

    /// The same with any command.
    fn start(test: &str, command: &str) -> Option<Self> {
        let line = format!("{SANSWS} {command}; echo exit=$?; stty -a");
        let child = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            skip(test, "there is no program `script` (Debian: bsdutils)");
            return None;
        };
        let keys = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, screen) = mpsc::channel();
        thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(n @ 1..) = stdout.read(&mut buf) {
                if sender.send(buf[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Some(Self { child, keys, screen, seen: String::new() })
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is on the screen, behind what was waited for before; returns what came
    /// before it.
    fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("no {text:?}: {error}\n{:?}", self.seen),
            }
        }
    }

    /// Waits for the end, and returns the exit code. The terminal has to be as it was.
    fn end(&mut self) -> String {
        self.wait_for("exit=");
        let code = self.wait_for("\r\n");
        let modes = self.wait_for("echok");
        assert!(modes.contains(" icanon") && !modes.contains("-icanon"), "{modes}");
        code.trim_end().to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const UP: &str = "\u{1b}[A";

#[test]
fn lines_history_and_commands() {
    let url = serve(echo);
    let Some(mut terminal) = Terminal::new("lines_history_and_commands", "", &url) else { return };
    terminal.wait_for("connected to ws://");
    terminal.wait_for("> ");
    terminal.press("helo\u{1b}[Dl\r"); // a letter is missing, and goes in before the last one
    terminal.wait_for("< hello");
    terminal.wait_for("> ");
    terminal.press(&format!("{UP} again\r"));
    terminal.wait_for("< hello again");
    terminal.press("//slash\r");
    terminal.wait_for("< /slash");
    terminal.press("/ping\r");
    terminal.wait_for("pong after ");
    terminal.press("/close 1006\r");
    terminal.wait_for("1006 cannot be sent");
    terminal.press("/close 4000 bye\r");
    terminal.wait_for("closed with 4000");
    let last = terminal.wait_for("\u{1b}[?2004l");
    assert!(!last.contains("exit="), "{last:?}");
    assert_eq!(terminal.end(), "0");
}

/// What comes appears above the line that is being entered, which stays.
#[test]
fn incoming_lines_above_the_prompt() {
    let url = serve(|mut ws| {
        ws.send("first")?;
        while let Some(message) = ws.recv()? {
            assert_eq!(message.as_text(), Some("now"));
            ws.send("evil \u{1b}[2J\rtext\nin lines")?;
            ws.send("second")?;
            ws.start_close(CloseCode::POLICY_VIOLATION, "enough\u{1b}[2J")?;
        }
        Ok(())
    });
    let test = "incoming_lines_above_the_prompt";
    let Some(mut terminal) = Terminal::new(test, "-v", &url) else { return };
    terminal.wait_for("< first");
    terminal.wait_for("> ");
    terminal.press("now");
    terminal.wait_for("now");
    terminal.press("\runfinished");
    let before = terminal.wait_for("text\r\n  in lines");
    assert!(before.contains(r"evil \u{1b}[2J\r"), "{before:?}");
    assert!(before.contains("< frame: text, "), "{before:?}");
    terminal.wait_for("< second");
    terminal.wait_for(r#"the server closed with 1008 (policy violation): "enough\u{1b}[2J""#);
    assert_eq!(terminal.end(), "5");
}

/// The end of input, by a key.
#[test]
fn leaving() {
    for key in ["\u{4}", "\u{3}"] {
        let url = serve(echo);
        let Some(mut terminal) = Terminal::new("leaving", "", &url) else { return };
        terminal.wait_for("> ");
        terminal.press(key);
        terminal.wait_for("closed with 1000");
        assert_eq!(terminal.end(), "0");
    }
}

/// What a server says is shown without a character that would steer the terminal, and a verdict
/// has a colour.
#[test]
fn a_check() {
    let url = serve(|mut ws| {
        while let Some(message) = ws.recv()? {
            ws.send(message)?;
        }
        Ok(())
    });
    let command = format!("check {url} --only ping --only close");
    let Some(mut terminal) = Terminal::start("a_check", &command) else { return };
    terminal.wait_for("probes; it is an echo\r\n");
    terminal.wait_for("frames\r\n  \u{1b}[32mright    \u{1b}[0mping ");
    terminal.wait_for("close\r\n");
    terminal.wait_for(" 0 wrong, ");
    assert_eq!(terminal.end(), "0");

    // what stands in the reason of a Close
    let url = serve(|mut ws| ws.close(CloseCode::POLICY_VIOLATION, "go\u{1b}[2Jaway"));
    let command = format!("check {url} --only pong-unasked");
    let Some(mut terminal) = Terminal::start("a_check", &command) else { return };
    terminal.wait_for("it is no echo: some cannot be answered\r\n");
    terminal.wait_for("\u{1b}[1;31mwrong    \u{1b}[0mpong-unasked ");
    let seen = terminal.wait_for("a server takes a pong");
    assert!(!seen.contains("\u{1b}[2J") && seen.contains("closed with 1008"), "{seen:?}");
    assert_eq!(terminal.end(), "1");
}
