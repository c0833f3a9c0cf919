//! Prints streams and our verdicts on them, a line each: the role that receives, the bytes in
//! hexadecimal digits, the verdict.
//!
//! ```text
//! sansws-differential [STREAMS [SEED]]
//! ```

use std::env;
use std::io::{self, Write};

use sansws::proto::Role;
use sansws_differential::{Hex, ours, streams};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1).map(|it| it.parse().expect("a number"));
    let count: u64 = arguments.next().unwrap_or(3000);
    let seed: u64 = arguments.next().unwrap_or(0);
    let mut out = io::stdout().lock();
    for n in seed..seed + count {
        for (role, peer) in [(Role::Server, Role::Client), (Role::Client, Role::Server)] {
            let bytes = streams::stream(peer, n);
            let name = if role == Role::Server { "server" } else { "client" };
            writeln!(out, "{name}\t{}\t{}", Hex(&bytes), ours(role, &bytes))?;
        }
    }
    Ok(())
}
