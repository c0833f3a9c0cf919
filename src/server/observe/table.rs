use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::server::client::client::Client;
use crate::server::client::target::Target;

impl Target<'_> {
    /// Returns a table of the clients as text, for people: a line for each with its id, address,
    /// age, last round trip, the bytes that wait for it, its path and its rooms; long paths and
    /// lists of rooms are cut short. A page of it is one line:
    ///
    /// ```no_run
    /// # use sansws::server::{Response, Server};
    /// # fn set_up(server: Server) -> Server {
    /// server.http("/debug/clients", async |it| Response::text(it.hub().all().to_table()))
    /// # }
    /// ```
    ///
    /// It says who is there: keep it from the public. Takes some microseconds for each client, in
    /// which it is in nobody's way, and some 100 bytes.
    pub fn to_table(&self) -> String {
        let clients = self.clients();
        let head = ["id", "address", "age", "round trip", "waiting", "path", "rooms"];
        let rows: Vec<_> = clients.iter().map(row).collect();
        let mut widths = head.map(str::len);
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        let rows = rows.iter().map(|row| row.each_ref().map(String::as_str));
        for row in [head].into_iter().chain(rows) {
            let cells = row.iter().zip(widths).enumerate();
            let line: String = cells
                .map(|(at, (cell, width))| match at {
                    0 | 2..=4 => format!("{cell:>width$}  "), // numbers
                    _ => format!("{cell:width$}  "),
                })
                .collect();
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn row(client: &Client) -> [String; 7] {
    let (info, rooms) = (client.info(), client.rooms());
    let mut shown: Vec<_> =
        rooms.iter().take(ROOMS_SHOWN).map(|room| format!("{:?}", shorten(room))).collect();
    if rooms.len() > ROOMS_SHOWN {
        shown.push(format!("and {} more", rooms.len() - ROOMS_SHOWN));
    }
    [
        format!("{}", client.id()),
        format!("{}", info.remote_ip()),
        age(info.opened().elapsed()),
        client.round_trip().map_or_else(|| "-".to_owned(), |time| format!("{time:.1?}")),
        format!("{} B", client.queued()),
        shorten(info.path()),
        shown.join(", "),
    ]
}

/// A client chooses names and paths.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

/// In characters: what fits into a line beside the others.
const LONGEST_SHOWN: usize = 40;

/// Most clients are in fewer.
const ROOMS_SHOWN: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let shown = [0, 59, 60, 3599, 3600, 86_399, 86_400, 200_000]
            .map(|seconds| age(Duration::from_secs(seconds)));
        let expected =
            ["0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "23 h 59 min", "1 d 0 h"];
        assert_eq!(shown[..7], expected);
        assert_eq!(shown[7], "2 d 7 h");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shorten(&"é".repeat(40)), "é".repeat(40));
        assert_eq!(shorten(&"é".repeat(41)), "é".repeat(40) + "…");
    }
}
