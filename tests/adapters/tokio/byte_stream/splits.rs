//! Whatever the sizes of writes, reads, pipes and steps: the bytes that come out are those that
//! went in.

use proptest::prelude::*;
use sansws::Config;
#[cfg(feature = "deflate")]
use sansws::deflate::Deflate;
use sansws::tokio::{ByteStream, WebSocket, accept_with, client};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::{frame, quiet, stream_and_peer};
use crate::tokio::faulty::Faulty;
use crate::tokio::peer::within;
use sansws_test::wire;

/// Sizes, one after the other and again from the beginning.
fn sizes(most: usize) -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1..=most, 1..20)
}

fn config(compress: bool, read_ahead: usize, max_unsent: usize) -> Config {
    let config = quiet().read_ahead(read_ahead).max_unsent(max_unsent);
    #[cfg(feature = "deflate")]
    if compress {
        return config.deflate(Deflate::new().threshold(0));
    }
    let _ = compress;
    config
}

type Stream = ByteStream<Faulty<DuplexStream>>;

async fn ends(config: &Config, capacity: usize, step: usize, stutter: bool) -> (Stream, Stream) {
    let (near, far) = duplex(capacity);
    let faulty = |io| {
        let io = Faulty::new(io).step(step);
        if stutter { io.stutter() } else { io }
    };
    let request = sansws::handshake::client::Request::new("ws://localhost/").unwrap();
    let opening = async {
        tokio::join!(accept_with(faulty(near), config), client(faulty(far), &request, config))
    };
    let (server, client) = within(opening).await;
    (server.unwrap().into_byte_stream(), client.unwrap().into_byte_stream())
}

async fn one_way(mut from: Stream, mut to: Stream, data: &[u8], writes: &[usize], reads: &[usize]) {
    let write = async {
        let mut rest = data;
        for size in writes.iter().cycle() {
            let (piece, later) = rest.split_at(rest.len().min(*size));
            from.write_all(piece).await.unwrap();
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        from.shutdown().await.unwrap();
        assert!(from.close_info().unwrap().clean);
    };
    let read = async {
        let mut read = Vec::new();
        for size in reads.iter().cycle() {
            let mut piece = vec![0; *size];
            match to.read(&mut piece).await.unwrap() {
                0 => break,
                n => read.extend_from_slice(&piece[..n]),
            }
        }
        assert!(read == data, "{} bytes instead of {}", read.len(), data.len());
        drop(to);
    };
    within(async { tokio::join!(write, read) }).await;
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_goes_in_comes_out(
        len in 0_usize..60_000,
        (writes, reads) in (sizes(5000), sizes(5000)),
        (capacity, step) in (1_usize..5000, 50_usize..5000),
        (read_ahead, max_unsent) in (256_usize..20_000, 1_usize..50_000),
        (stutter, compress, from_server) in any::<(bool, bool, bool)>(),
    ) {
        block_on(async {
            let config = config(compress, read_ahead, max_unsent);
            let (server, client) = ends(&config, capacity.max(64), step, stutter).await;
            let (from, to) = if from_server { (server, client) } else { (client, server) };
            one_way(from, to, &wire::pattern(len), &writes, &reads).await;
        });
    }

    /// Frames of any sizes, in fragments and with control frames between them.
    #[test]
    fn any_frames_are_one_stream(
        frames in proptest::collection::vec((any::<bool>(), 0_usize..300, 0..4_u8), 0..40),
        reads in sizes(700),
        capacity in 1_usize..2000,
        is_server: bool,
    ) {
        block_on(async {
            let (stream, mut peer) = stream_and_peer(is_server, &quiet(), capacity.max(300)).await;
            let mut stream = stream;
            let total: usize = frames.iter().map(|(_, len, _)| len).sum();
            let (mut bytes, mut at, mut fresh) = (Vec::new(), 0, true);
            let pattern = wire::pattern(total);
            for (fin, len, pings) in frames {
                for ping in 0..pings {
                    bytes.extend(frame(is_server, true, wire::PONG, &[ping]));
                }
                let opcode = if fresh { wire::BINARY } else { wire::CONTINUATION };
                bytes.extend(frame(is_server, fin, opcode, &pattern[at..at + len]));
                at += len;
                fresh = fin;
            }
            bytes.extend(frame(is_server, true, wire::CLOSE, &wire::close_payload(1000, "")));
            let send = async {
                peer.send(&bytes).await;
                assert_eq!(peer.frame().await.unwrap().close_code(), Some(1000));
                drop(peer);
            };
            let read = async {
                let mut read = Vec::new();
                for size in reads.iter().cycle() {
                    let mut piece = vec![0; *size];
                    match stream.read(&mut piece).await.unwrap() {
                        0 => break,
                        n => read.extend_from_slice(&piece[..n]),
                    }
                }
                assert!(read == pattern);
            };
            within(async { tokio::join!(send, read) }).await;
        });
    }

    /// A stream may begin anywhere in a message, also in what it inflates to.
    #[test]
    fn a_stream_may_begin_in_the_middle_of_a_message(
        len in 1_usize..200_000,
        arrived in 0_usize..200_000,
        compress: bool,
    ) {
        block_on(async {
            let config = config(compress, 4096, 1 << 20);
            let (near, far) = duplex(1 << 20);
            let request = sansws::handshake::client::Request::new("ws://localhost/").unwrap();
            let (server, client) = within(async {
                tokio::join!(accept_with(near, &config), client(far, &request, &config))
            })
            .await;
            let (server, mut client) = (server.unwrap(), client.unwrap());
            // what one message becomes, taken out of the pipe and handed over in two parts
            let message: Vec<u8> = wire::pattern(len).iter().map(|byte| byte % 7).collect();
            client.send(&message).await.unwrap();
            let mut sent = raw(server, client).await;
            let rest = sent.split_off(arrived.min(sent.len()));
            let (near, mut far) = duplex(1 << 20);
            let mut ws = fresh(near, &config, compress);
            far.write_all(&sent).await.unwrap();
            use futures_util::FutureExt;
            let whole = ws.recv().now_or_never();
            let mut stream = ws.into_byte_stream();
            if let Some(whole) = whole {
                assert!(rest.is_empty());
                assert!(whole.unwrap().unwrap().as_bytes() == message);
                return;
            }
            far.write_all(&rest).await.unwrap();
            let mut read = vec![0; len];
            within(stream.read_exact(&mut read)).await.unwrap();
            assert!(read == message);
        });
    }
}

/// The bytes that a server has received.
async fn raw(server: WebSocket<DuplexStream>, client: WebSocket<DuplexStream>) -> Vec<u8> {
    drop(client);
    let mut server = server;
    let mut sent = Vec::new();
    server.get_mut().read_to_end(&mut sent).await.unwrap();
    sent
}

/// A server's socket with what the handshake would have agreed on.
fn fresh(io: DuplexStream, config: &Config, compress: bool) -> WebSocket<DuplexStream> {
    use sansws::buf::RecvBuffer;
    use sansws::proto::Connection;
    let connection = Connection::server(config);
    #[cfg(feature = "deflate")]
    if compress {
        let mut agreed = sansws::deflate::Agreement::new();
        agreed.server_no_context_takeover = true;
        agreed.client_no_context_takeover = true;
        let connection = connection.with_deflate(agreed, &Deflate::new().threshold(0));
        return WebSocket::from_parts(sansws::Parts::new(io, connection, RecvBuffer::new()));
    }
    let _ = compress;
    WebSocket::from_parts(sansws::Parts::new(io, connection, RecvBuffer::new()))
}
