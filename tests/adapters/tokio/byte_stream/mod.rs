//! A WebSocket as a stream of bytes.

mod closing;
mod duplex;
mod reading;
mod splits;
mod tunnel;
mod writing;

use std::fmt::Debug;
use std::io::{self, ErrorKind};

use sansws::tokio::ByteStream;
use sansws::{Config, Error, KeepAlive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

use crate::tokio::peer::{Peer, client_and_peer, server, within};
use sansws_test::wire;

fn quiet() -> Config {
    Config::new().keep_alive(KeepAlive::Off)
}

/// A byte stream and its peer, by role.
async fn stream_and_peer(
    is_server: bool,
    config: &Config,
    capacity: usize,
) -> (ByteStream<DuplexStream>, Peer<DuplexStream>) {
    let (ws, peer) = match is_server {
        true => server(config, capacity).await,
        false => client_and_peer(config, capacity).await,
    };
    (ws.into_byte_stream(), peer)
}

/// A frame as the peer of such an end sends it.
fn frame(to_server: bool, fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    wire::encode(fin, opcode, to_server.then_some(wire::KEY), payload)
}

/// The typed error inside.
fn inner(error: &io::Error) -> &Error {
    error.get_ref().and_then(|error| error.downcast_ref()).expect("an error of the crate")
}

/// The same error, however often.
async fn read_error<S>(stream: &mut ByteStream<S>) -> io::Error
where
    S: AsyncRead + AsyncWrite + Unpin + Debug,
{
    let error = within(stream.read(&mut [0; 10])).await.unwrap_err();
    for _ in 0..3 {
        let again = within(stream.read(&mut [0; 10])).await.unwrap_err();
        assert_eq!(
            (again.kind(), again.to_string()),
            (error.kind(), error.to_string()),
            "the first and a later error"
        );
    }
    error
}

/// Writing gets nowhere any more.
async fn assert_broken_pipe<S>(stream: &mut ByteStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let error = within(stream.write(b"too late")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error:?}");
}
