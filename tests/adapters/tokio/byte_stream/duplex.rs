//! Both directions at once.

use sansws::Config;
#[cfg(feature = "deflate")]
use sansws::deflate::Deflate;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};

use super::quiet;
use crate::tokio::peer::{pair, within};
use sansws_test::wire;

fn configs() -> Vec<Config> {
    let small = quiet().max_unsent(10_000);
    #[cfg(feature = "deflate")]
    return vec![quiet(), small.clone(), small.deflate(Deflate::new().threshold(0))];
    #[cfg(not(feature = "deflate"))]
    vec![quiet(), small]
}

/// Two ends that send far more than the buffers between them hold do not wait for each other, in
/// one task each or in two.
#[tokio::test]
async fn two_ends_that_send_at_once_do_not_block_each_other() {
    const LEN: usize = 8 << 20;
    for config in configs() {
        let (server, client) = pair(&config).await;
        let ends = [server.into_byte_stream(), client.into_byte_stream()].map(|stream| {
            tokio::spawn(async move {
                let pattern = wire::pattern(LEN);
                let (mut reader, mut writer) = split(stream);
                let write = async {
                    writer.write_all(&pattern).await.unwrap();
                    writer.flush().await.unwrap();
                };
                let mut read = vec![0; LEN];
                let ((), n) = tokio::join!(write, reader.read_exact(&mut read));
                n.unwrap();
                assert!(read == pattern);
                reader.unsplit(writer)
            })
        });
        for end in ends {
            // an end of 8 MiB through a debug build and a busy machine
            tokio::time::timeout(std::time::Duration::from_secs(60), end).await.unwrap().unwrap();
        }
    }
}

/// The same with a task for each direction of each end, on several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_tasks_on_two_ends() {
    const LEN: usize = 4 << 20;
    for config in configs() {
        let (server, client) = pair(&config).await;
        let mut tasks = Vec::new();
        for stream in [server.into_byte_stream(), client.into_byte_stream()] {
            let (mut reader, mut writer) = split(stream);
            tasks.push(tokio::spawn(async move {
                for piece in wire::pattern(LEN).chunks(3000) {
                    writer.write_all(piece).await.unwrap();
                }
                writer.flush().await.unwrap();
                std::mem::forget(writer); // the other half goes on
            }));
            tasks.push(tokio::spawn(async move {
                let mut read = vec![0; LEN];
                reader.read_exact(&mut read).await.unwrap();
                assert!(read == wire::pattern(LEN));
                std::mem::forget(reader); // the peer may still be writing
            }));
        }
        for task in tasks {
            tokio::time::timeout(std::time::Duration::from_secs(60), task).await.unwrap().unwrap();
        }
    }
}

/// Memory: bounded by the settings, not by what goes through.
#[tokio::test]
async fn a_message_may_be_longer_than_the_buffers() {
    let config = quiet().read_ahead(1024).max_message_len(64 << 20);
    let (mut ws, mut peer) = crate::tokio::peer::server(&config, 4096).await;
    ws.feed("hello").unwrap();
    let mut stream = ws.into_byte_stream();
    let len = 4 << 20;
    let send = async {
        let message = wire::client(wire::BINARY, &wire::pattern(len));
        peer.send(&message).await;
    };
    let read = async {
        let mut read = vec![0; len];
        stream.read_exact(&mut read).await.unwrap();
        read
    };
    let (read, ()) = within(async { tokio::join!(read, send) }).await;
    assert!(read == wire::pattern(len));
    assert_eq!(peer.frame().await.unwrap().text(), "hello");
}
