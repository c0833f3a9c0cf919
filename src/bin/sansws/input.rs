//! What is entered, or comes through a pipe: read by a thread, which a slow network stops.

use std::io::{self, BufRead, Read, Write};
use std::process::{Command as Program, Stdio};
use std::thread;
use std::time::Duration;

use rustyline::error::ReadlineError;
use rustyline::{DefaultEditor, ExternalPrinter};
use sansws::CloseCode;
use tokio::sync::mpsc;

/// Messages that were read and are not sent: enough to send while the next ones are read.
const AHEAD: usize = 16;

/// Lines that a person, or a paste, has entered and that are not sent. What is printed waits for
/// the thread that reads, so that thread must not wait for what is sent.
const TYPED: usize = 65_536;

/// The longest line of a pipe, in bytes; what servers take as a rule is less.
const MAX_LINE: u64 = 64 << 20;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    Send(Vec<u8>),
    Ping(Vec<u8>),
    Close(CloseCode, String),
    /// Something to tell the user.
    Hint(String),
    /// The input cannot be read.
    Failed(String),
}

/// Reads lines of stdin: each is a message.
pub fn from_pipe() -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let input = match stdin.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => {
                    if line.last() == Some(&b'\n') {
                        line.pop();
                        line.pop_if(|byte| *byte == b'\r');
                    } else if line.len() as u64 == MAX_LINE {
                        let _ = sender.blocking_send(Input::Failed("a line is too long".into()));
                        return;
                    }
                    Input::Send(line)
                }
                Err(error) => Input::Failed(error.to_string()),
            };
            if sender.blocking_send(input).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A terminal: lines that are edited, and a way to print above the one that is being entered.
pub struct Terminal {
    pub lines: mpsc::Receiver<Input>,
    pub print: Box<dyn FnMut(String) + Send>,
    /// To be dropped when it is over.
    pub modes: Modes,
}

/// Reads lines of a terminal, with those before them a key away.
pub fn from_terminal() -> Result<Terminal, ReadlineError> {
    let modes = Modes::save();
    let mut editor = DefaultEditor::new()?;
    let mut printer = editor.create_external_printer()?;
    let print = Box::new(move |text: String| {
        let _ = printer.print(text);
        let _ = io::stdout().flush();
    });
    let (sender, lines) = mpsc::channel(TYPED);
    thread::spawn(move || {
        loop {
            // the end of input, Ctrl-C, or a terminal that is gone
            let Ok(line) = editor.readline("> ") else { return };
            if line.is_empty() {
                continue;
            }
            let _ = editor.add_history_entry(&line);
            if sender.blocking_send(command(&line)).is_err() {
                return;
            }
        }
    });
    Ok(Terminal { lines, print, modes })
}

/// What an entered line asks for.
fn command(line: &str) -> Input {
    let Some(command) = line.strip_prefix('/') else { return Input::Send(line.into()) };
    if command.starts_with('/') {
        return Input::Send(command.into());
    }
    let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = rest.trim();
    match name {
        "ping" if rest.len() > 125 => Input::Hint("a ping has at most 125 bytes".into()),
        "ping" => Input::Ping(rest.into()),
        "close" => {
            let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            let code = if code.is_empty() { "1000" } else { code };
            match code.parse().ok().and_then(CloseCode::new) {
                Some(_) if reason.len() > 123 => {
                    Input::Hint("a reason has at most 123 bytes".into())
                }
                Some(code) => Input::Close(code, reason.trim().into()),
                None => Input::Hint(format!(
                    "{code} cannot be sent: 1000 to 1003, 1007 to 1014 and 3000 to 4999 can"
                )),
            }
        }
        _ => Input::Hint(
            "/ping [TEXT] measures the round trip, /close [CODE [REASON]] closes, and //TEXT \
             sends TEXT with one slash before it"
                .into(),
        ),
    }
}

/// The modes of the terminal. The thread that reads from it has changed them, and does not end
/// before the next key is pressed.
pub struct Modes(Option<String>);

impl Modes {
    fn save() -> Self {
        let output = Program::new("stty").arg("-g").stdin(Stdio::inherit()).output();
        let modes = output.ok().filter(|output| output.status.success());
        Self(modes.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        // The thread that reads prints too. It may still draw the prompt: that takes microseconds.
        thread::sleep(Duration::from_millis(30));
        // the prompt goes, and what was asked of the terminal while a line was entered
        print!("\r\u{1b}[K\u{1b}[?2004l\u{1b}[?2026l");
        let _ = io::stdout().flush();
        if let Some(modes) = &self.0 {
            let _ = Program::new("stty").arg(modes).stdin(Stdio::inherit()).status();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let closes =
            |code, reason: &str| Input::Close(CloseCode::new(code).unwrap(), reason.into());
        for (line, input) in [
            ("hello", Input::Send(b"hello".into())),
            ("//etc", Input::Send(b"/etc".into())),
            ("/ping", Input::Ping(b"".into())),
            ("/ping  a b ", Input::Ping(b"a b".into())),
            ("/close", closes(1000, "")),
            ("/close 4001 good bye", closes(4001, "good bye")),
        ] {
            assert_eq!(command(line), input);
        }
        let long = format!("/close 1000 {}", "x".repeat(124));
        for line in ["/", "/help", "/close 1006", "/close x", "/pin", long.as_str()] {
            assert!(matches!(command(line), Input::Hint(_)), "{line}");
        }
    }
}
