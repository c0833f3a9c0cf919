//! What is shown, and how: for people, for pipes, or as JSON.

use std::io::{self, IsTerminal, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sansws::Message;
use sansws::wire::FrameHeader;

use crate::escape;

/// Where events are shown.
pub struct Screen {
    json: bool,
    verbose: bool,
    coloured: bool,
    /// Prints above the line that is being entered.
    print: Option<Box<dyn FnMut(String) + Send>>,
}

/// The way of a frame or a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    In,
    Out,
}

impl Way {
    fn sign(self) -> char {
        match self {
            Self::In => '<',
            Self::Out => '>',
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

impl Screen {
    pub fn new(json: bool, verbose: bool, print: Option<Box<dyn FnMut(String) + Send>>) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let coloured = wanted && print.is_some() && io::stdout().is_terminal();
        Self { json, verbose, coloured, print }
    }

    /// Returns whether a person enters lines below what is shown.
    pub fn is_terminal(&self) -> bool {
        self.print.is_some()
    }

    /// Shows a message that has come.
    pub fn message(&mut self, message: &Message) -> io::Result<()> {
        if self.json {
            let (kind, data) = match message {
                Message::Text(text) => ("text", escape::json(text)),
                Message::Binary(bytes) => ("binary", escape::json(&STANDARD.encode(bytes))),
            };
            let len = message.len();
            return self
                .event("message", &format!(r#""type":"{kind}","bytes":{len},"data":{data}"#));
        }
        if self.print.is_none() {
            // as it is: it may be for another program
            let mut stdout = io::stdout().lock();
            stdout.write_all(message.as_bytes())?;
            stdout.write_all(b"\n")?;
            return stdout.flush();
        }
        let text = match message {
            Message::Text(text) => escape::for_terminal(text),
            Message::Binary(bytes) => escape::bytes(bytes),
        };
        self.line("32", format!("< {text}"));
        Ok(())
    }

    /// Shows a frame, if frames are to be shown.
    pub fn frame(&mut self, way: Way, frame: &FrameHeader) -> io::Result<()> {
        if !self.verbose {
            return Ok(());
        }
        let FrameHeader { fin, rsv1, opcode, payload_len, .. } = frame;
        if self.json {
            let shown = format!(r#""way":"{}","opcode":"{opcode}","fin":{fin}"#, way.name());
            let shown = format!(r#"{shown},"rsv1":{rsv1},"bytes":{payload_len}"#);
            return self.event("frame", &shown);
        }
        let fin = if *fin { "" } else { ", not the last" };
        let rsv1 = if *rsv1 { ", RSV1" } else { "" };
        self.detail(format!("{} frame: {opcode}, {payload_len} bytes{rsv1}{fin}", way.sign()))
    }

    /// Shows what compression has done to a message.
    pub fn compressed(&mut self, way: Way, wire: u64, plain: usize) -> io::Result<()> {
        if !self.verbose {
            return Ok(());
        }
        if self.json {
            let way = way.name();
            return self.event(
                "compression",
                &format!(r#""way":"{way}","compressed":{wire},"plain":{plain}"#),
            );
        }
        self.detail(format!("{} compressed: {wire} → {plain} bytes", way.sign()))
    }

    /// Shows the time that a ping took.
    pub fn round_trip(&mut self, time: std::time::Duration) -> io::Result<()> {
        if self.json {
            let ms = time.as_secs_f64() * 1e3;
            return self.event("pong", &format!(r#""round_trip_ms":{ms:.3}"#));
        }
        self.note(format!("pong after {:.3} ms", time.as_secs_f64() * 1e3))
    }

    /// Says something that only a person in front of a terminal, or one that wants to know
    /// everything, needs.
    pub fn detail(&mut self, text: String) -> io::Result<()> {
        if self.json || !(self.verbose || self.print.is_some()) {
            return Ok(());
        }
        self.note(text)
    }

    /// Says something that is no message.
    pub fn note(&mut self, text: String) -> io::Result<()> {
        if self.json {
            return self.event("note", &format!(r#""text":{}"#, escape::json(&text)));
        }
        self.line("2", text);
        Ok(())
    }

    /// Says what went wrong.
    pub fn error(&mut self, text: &str) -> io::Result<()> {
        if self.json {
            return self.event("error", &format!(r#""text":{}"#, escape::json(text)));
        }
        let text = escape::for_terminal(text);
        self.line("31", format!("sansws: {text}"));
        Ok(())
    }

    /// Writes an object of JSON in a line of its own, if that is wanted.
    pub fn event(&mut self, name: &str, fields: &str) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        let comma = if fields.is_empty() { "" } else { "," };
        writeln!(stdout, r#"{{"event":"{name}"{comma}{fields}}}"#)?;
        stdout.flush()
    }

    /// Waits until all is on the screen. What is printed above a prompt is printed by the thread
    /// that reads lines, one text after the other, and there is room for one that waits: when a
    /// second one behind it was taken, it is there.
    pub fn settle(&mut self) {
        const NOTHING: &str = "\u{1b}[A\n"; // a line up, and down again
        if let Some(print) = &mut self.print {
            print(NOTHING.into());
            print(NOTHING.into());
        }
    }

    fn line(&mut self, colour: &str, text: String) {
        let text = match self.coloured {
            true => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            false => text,
        };
        match &mut self.print {
            Some(print) => print(text + "\n"),
            None => eprintln!("{text}"),
        }
    }
}
