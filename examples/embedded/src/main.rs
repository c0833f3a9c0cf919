//! The echo of `lib.rs`, twice: on a computer over TCP, to try it, and on a device without an
//! operating system, to see how large it is.
//!
//! `cargo run -- [ADDR]` serves one client after the other, and prints its address.
//! `cargo run -- --client ADDR` sends some messages there, and says whether they came back.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod device;
#[cfg(not(target_os = "none"))]
mod host;

#[cfg(not(target_os = "none"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    host::main()
}
