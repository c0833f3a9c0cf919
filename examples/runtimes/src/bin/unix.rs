//! Unix sockets, on both adapters: nothing to be done beside opening them.
//!
//! `unix PATH [blocking]` serves; `unix --client PATH [blocking]` asks. Both work on half the
//! socket too: it shuts down one direction, and has time-outs.

use std::process::ExitCode;
use std::thread;

use runtimes::{Arguments, Failure, on_blocking, on_tokio, report};

async fn serve(path: &str) -> Result<(), Failure> {
    let listener = tokio::net::UnixListener::bind(path)?;
    println!("listening on {path}");
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async { report(on_tokio::serve(stream).await) });
    }
}

async fn ask(path: &str) -> Result<(), Failure> {
    on_tokio::ask(tokio::net::UnixStream::connect(path).await?, "ws://localhost/").await
}

/// A thread for each connection.
fn serve_blocking(path: &str) -> Result<(), Failure> {
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    println!("listening on {path}");
    loop {
        let (stream, _) = listener.accept()?;
        thread::spawn(|| report(on_blocking::serve(stream)));
    }
}

fn ask_blocking(path: &str) -> Result<(), Failure> {
    on_blocking::ask(std::os::unix::net::UnixStream::connect(path)?, "ws://localhost/")
}

fn main() -> ExitCode {
    runtimes::run(|Arguments { is_client, addr, more }| {
        if more.iter().any(|word| word == "blocking") {
            return if is_client { ask_blocking(&addr) } else { serve_blocking(&addr) };
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { if is_client { ask(&addr).await } else { serve(&addr).await } })
    })
}
