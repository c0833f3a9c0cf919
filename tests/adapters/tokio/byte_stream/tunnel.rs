//! Another protocol inside: a client and a server that know nothing of WebSockets, on TCP, with a
//! tunnel between them.

use std::io::ErrorKind;

use sansws::Config;
use sansws::tokio::{accept_with, connect_with};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::quiet;
use crate::tokio::peer::{listen, tcp, within};
use sansws_test::wire;

type Copied = JoinHandle<std::io::Result<(u64, u64)>>;

/// A client's TCP connection, a server's, and the two ends of the tunnel between them.
async fn tunnel(config: Config) -> (TcpStream, TcpStream, Copied, Copied) {
    let (entry, mut into_tunnel) = tcp().await;
    let (mut out_of_tunnel, exit) = tcp().await;
    let (listener, url): (TcpListener, String) = listen().await;
    let far_config = config.clone();
    let far = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut stream = accept_with(stream, &far_config).await?.into_byte_stream();
        copy_bidirectional(&mut stream, &mut out_of_tunnel).await
    });
    let near = tokio::spawn(async move {
        let request = sansws::handshake::client::Request::new(&url).unwrap();
        let mut stream = connect_with(&request, &config).await?.into_byte_stream();
        copy_bidirectional(&mut into_tunnel, &mut stream).await
    });
    (entry, exit, near, far)
}

/// A protocol in which both sides speak in turn, and the server ends it.
#[tokio::test]
async fn a_protocol_of_lines_goes_through() {
    let (client, server, near, far) = tunnel(Config::new()).await;
    let serve = tokio::spawn(async move {
        let mut server = BufReader::new(server);
        server.write_all(b"220 example.com\r\n").await.unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            server.read_line(&mut line).await.unwrap();
            let answer = match line.split_whitespace().next() {
                Some("EHLO") => "250-example.com\r\n250 8BITMIME\r\n",
                Some("QUIT") => "221 bye\r\n",
                _ => "500 what?\r\n",
            };
            server.write_all(answer.as_bytes()).await.unwrap();
            if answer.starts_with("221") {
                return;
            }
        }
    });
    let talk = async {
        let mut client = BufReader::new(client);
        let mut expect = async |words: Option<&str>, answers: &[&str]| {
            if let Some(words) = words {
                client.write_all(words.as_bytes()).await.unwrap();
            }
            for answer in answers {
                let mut line = String::new();
                client.read_line(&mut line).await.unwrap();
                assert_eq!(line.trim_end(), *answer);
            }
        };
        expect(None, &["220 example.com"]).await;
        expect(Some("EHLO me\r\n"), &["250-example.com", "250 8BITMIME"]).await;
        expect(Some("NONSENSE\r\nQUIT\r\n"), &["500 what?", "221 bye"]).await;
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
        let mut client = client.into_inner();
        client.shutdown().await.unwrap();
    };
    within(talk).await;
    within(serve).await.unwrap();
    let bytes = ("EHLO me\r\nNONSENSE\r\nQUIT\r\n".len() as u64, 68);
    assert_eq!(within(near).await.unwrap().unwrap(), bytes);
    let (to_client, from_client) = within(far).await.unwrap().unwrap();
    assert_eq!((from_client, to_client), (68, bytes.0));
}

/// Much data in both directions at once.
#[tokio::test]
async fn an_echo_of_many_bytes_goes_through() {
    const LEN: usize = 6 << 20;
    let (client, mut server, near, far) = tunnel(quiet().max_unsent(50_000)).await;
    let serve = tokio::spawn(async move {
        let (mut from, mut to) = server.split();
        tokio::io::copy(&mut from, &mut to).await.unwrap();
    });
    let (mut from, mut to) = client.into_split();
    let write = tokio::spawn(async move {
        to.write_all(&wire::pattern(LEN)).await.unwrap();
        to
    });
    let mut read = vec![0; LEN];
    let echo = from.read_exact(&mut read);
    tokio::time::timeout(std::time::Duration::from_secs(60), echo).await.unwrap().unwrap();
    assert!(read == wire::pattern(LEN));
    let mut to = within(write).await.unwrap();
    to.shutdown().await.unwrap();
    within(near).await.unwrap().unwrap();
    within(far).await.unwrap().unwrap();
    within(serve).await.unwrap();
}

/// What the documentation says about an end of file on the side of the server: all of its data gets
/// to the client, however much it is.
#[tokio::test]
async fn all_data_before_an_end_of_file_arrives() {
    const LEN: usize = 3 << 20;
    let (mut client, mut server, near, far) = tunnel(quiet()).await;
    let serve = async {
        server.write_all(&wire::pattern(LEN)).await.unwrap();
        server.shutdown().await.unwrap();
        drop(server);
    };
    let mut read = Vec::new();
    let ((), n) = within(async { tokio::join!(serve, client.read_to_end(&mut read)) }).await;
    n.unwrap();
    assert!(read == wire::pattern(LEN));
    client.shutdown().await.unwrap();
    assert_eq!(within(near).await.unwrap().unwrap(), (0, LEN as u64));
    assert_eq!(within(far).await.unwrap().unwrap(), (0, LEN as u64));
}

/// And about a client that goes on after it: its bytes cannot reach anybody, which is an error.
#[tokio::test]
async fn bytes_after_the_end_are_an_error() {
    let (mut client, server, near, far) = tunnel(quiet()).await;
    drop(server);
    assert_eq!(within(client.read(&mut [0; 10])).await.unwrap(), 0);
    within(far).await.unwrap().unwrap();
    client.write_all(b"hello?").await.unwrap();
    let error = within(near).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

/// A connection that breaks between the two ends is an error at both, and not an end of file.
#[tokio::test]
async fn a_tunnel_that_breaks_is_an_error() {
    let (mut client, mut server, near, far) = tunnel(quiet()).await;
    client.write_all(b"data").await.unwrap();
    within(server.read_exact(&mut [0; 4])).await.unwrap();
    far.abort();
    let _ = far.await;
    let error = within(near).await.unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset),
        "{error:?}"
    );
}
