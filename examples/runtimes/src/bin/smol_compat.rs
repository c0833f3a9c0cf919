//! smol, through `async-compat` on the tokio adapter: the shortest way in for a runtime whose
//! streams have the traits of `futures-io`.
//!
//! `smol_compat [ADDR]` serves; `smol_compat --client ADDR` asks. Two wrappers: that of a stream
//! gives it tokio's traits; that of a future gives it the timers, of a tokio in a thread of its
//! own.

use std::process::ExitCode;

use async_compat::Compat;
use runtimes::{Failure, on_tokio, report};
use smol::net::{TcpListener, TcpStream};

async fn serve(addr: &str) -> Result<(), Failure> {
    let listener = TcpListener::bind(addr).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let serve = async { report(on_tokio::serve(Compat::new(stream)).await) };
        smol::spawn(Compat::new(serve)).detach();
    }
}

async fn ask(addr: &str) -> Result<(), Failure> {
    let stream = Compat::new(TcpStream::connect(addr).await?);
    Compat::new(on_tokio::ask(stream, &format!("ws://{addr}/"))).await
}

fn main() -> ExitCode {
    runtimes::run(|to| {
        smol::block_on(async {
            if to.is_client { ask(&to.addr).await } else { serve(&to.addr).await }
        })
    })
}
