//! Text of a server, for a terminal that it must not be able to steer, and for JSON.

use std::fmt::Write;

/// Returns the text with all that a terminal would act on escaped. A line after the first one is
/// indented, so that it is not taken for another message.
pub fn for_terminal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => out.push_str("\n  "),
            '\t' => out.push(char),
            _ if char.is_control() || turns_around(char) => out.extend(char.escape_default()),
            _ => out.push(char),
        }
    }
    out
}

/// Whether the character changes the direction of the text behind it: a way to show another text
/// than there is.
fn turns_around(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns the beginning of binary data, in hexadecimal.
pub fn bytes(bytes: &[u8]) -> String {
    const SHOWN: usize = 64;
    let mut out = format!("{} bytes:", bytes.len());
    for byte in bytes.iter().take(SHOWN) {
        let _ = write!(out, " {byte:02x}");
    }
    if bytes.len() > SHOWN {
        out.push_str(" …");
    }
    out
}

/// Returns a string of JSON.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            _ if char < ' ' || char == '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_act_on() {
        assert_eq!(for_terminal("a\u{1b}[2Jb\rc\u{9b}d"), "a\\u{1b}[2Jb\\rc\\u{9b}d");
        assert_eq!(for_terminal("one\ntwo\tthree é 日本"), "one\n  two\tthree é 日本");
        assert_eq!(for_terminal("\u{202e}x\u{2066}"), "\\u{202e}x\\u{2066}");
        for byte in (0..=0x9f_u8).filter(|byte| !b"\n\t".contains(byte)) {
            let text = for_terminal(&char::from(byte).to_string());
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }

    #[test]
    fn json_is_what_a_parser_reads() {
        let text: String = (0..0x250).filter_map(char::from_u32).collect();
        let read: String = serde_json::from_str(&json(&text)).unwrap();
        assert_eq!(read, text);
        assert!(!json("a\nb\u{1b}").contains(['\n', '\u{1b}']));
    }

    #[test]
    fn binary_data() {
        assert_eq!(bytes(b"\x00\xff"), "2 bytes: 00 ff");
        assert!(bytes(&[7; 65]).ends_with(" 07 …"));
    }
}
