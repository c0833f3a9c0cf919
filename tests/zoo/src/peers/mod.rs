//! The peers in Rust, each in both roles. They say on their output what the ones in other
//! languages say too.

mod fastwebsockets;
mod tokio_tungstenite;
mod tokio_websockets;
mod tungstenite;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

pub type Outcome = Result<(), Box<dyn std::error::Error>>;

const CLOSE: (u16, &str) = (4001, "the zoo says bye ü");

/// What a message asks for.
enum Order {
    Burst,
    Fragments,
    Ping,
    Close,
    Echo,
}

impl Order {
    fn of(message: &[u8]) -> Self {
        match message {
            b"zoo:burst" => Self::Burst,
            b"zoo:fragments" => Self::Fragments,
            b"zoo:ping" => Self::Ping,
            b"zoo:close" => Self::Close,
            _ => Self::Echo,
        }
    }
}

fn burst() -> impl Iterator<Item = String> {
    (0..500).map(|number| format!("burst {number}"))
}

/// A message in pieces, and whether each is the last.
fn fragments() -> impl Iterator<Item = (String, bool)> {
    (0..10).map(|number| ("0123456789".repeat(500), number == 9))
}

fn pong_text(payload: &[u8]) -> String {
    format!("zoo:pong {}", String::from_utf8_lossy(payload))
}

fn closed(code: u16, reason: &str) {
    println!("closed {code} {reason}");
}

pub fn run(runtime: &Runtime, name: &str, args: &[&str]) -> Outcome {
    if args == ["version"] {
        println!("{}", version(name).ok_or("which is not in Cargo.toml")?);
        return Ok(());
    }
    match name {
        "tungstenite" => tungstenite::run(args),
        "tokio-tungstenite" => {
            run_async(runtime, args, tokio_tungstenite::client, tokio_tungstenite::server)
        }
        "fastwebsockets" => {
            run_async(runtime, args, fastwebsockets::client, fastwebsockets::server)
        }
        "tokio-websockets" => {
            run_async(runtime, args, tokio_websockets::client, tokio_websockets::server)
        }
        _ => Err(format!("there is no peer {name}").into()),
    }
}

/// The version that is pinned.
fn version(name: &str) -> Option<&'static str> {
    let pins = include_str!("../../Cargo.toml");
    let line = pins.lines().find(|line| line.starts_with(&format!("{name} = ")))?;
    line.split_once("\"=")?.1.split('"').next()
}

fn run_async<C, S>(
    runtime: &Runtime,
    args: &[&str],
    client: fn(String) -> C,
    server: fn(TcpStream) -> S,
) -> Outcome
where
    C: Future<Output = Outcome>,
    S: Future<Output = Outcome>,
{
    runtime.block_on(async {
        match args {
            ["client", urls @ ..] => {
                for url in urls {
                    if let Err(error) = client((*url).to_owned()).await {
                        closed(1006, &error.to_string());
                    }
                }
                Ok(())
            }
            ["server"] => {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                println!("port {}", listener.local_addr()?.port());
                loop {
                    let (stream, _) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    if let Err(error) = server(stream).await {
                        closed(1006, &error.to_string());
                    }
                }
            }
            _ => Err("client URL… or server".into()),
        }
    })
}
