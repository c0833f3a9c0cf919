//! What happens on a connection with TLS.

use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sansws::blocking::{SplitTransport, TlsStream, WebSocket, accept};
use sansws::client::{Connector, Tls};
use sansws::proto::MessageRef;
use sansws::{CloseCode, Config, Error};
use sansws_test::certificates::{Authority, Leaf};

use super::certificates::{authority, trusting};
use super::support::{Adapter, BOTH, echo, serve, within, within_thread};

type Server = StreamOwned<ServerConnection, TcpStream>;

fn config(leaf: &Leaf) -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(&leaf.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&leaf.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A server that does this with each connection, after its TLS handshake.
fn serve_tls(leaf: &Leaf, each: impl Fn(Server) + Send + Sync + 'static) -> Connector {
    let config = config(leaf);
    let addr = serve(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        each(StreamOwned::new(connection, stream));
    });
    Connector::new(&format!("wss://localhost:{}/", addr.port())).unwrap()
}

fn make(test: &str) -> Option<(Authority, Leaf)> {
    let authority = authority(test)?;
    let leaf = authority.leaf("leaf", "DNS:localhost");
    Some((authority, leaf))
}

/// A server's socket without what it could do besides.
fn plain(stream: Server) -> sansws::blocking::Plain<Server> {
    sansws::blocking::Plain(stream)
}

/// A server that offers HTTP/2 as well gets HTTP/1.1, and the client says goodbye.
#[tokio::test]
async fn the_protocol_is_http_1_1_and_the_end_is_announced() {
    let Some((authority, leaf)) = make("the_end_is_announced") else { return };
    let (sender, ends) = mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let connector = serve_tls(&leaf, move |stream| {
        let mut ws = accept(plain(stream)).unwrap();
        while let Some(message) = ws.recv().unwrap() {
            ws.send(message).unwrap();
        }
        let mut stream = ws.into_parts().io.0;
        let alpn = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        // without a close_notify of the client this is `UnexpectedEof`
        let end = stream.read(&mut [0; 16]).map_err(|error| error.kind());
        sender.lock().unwrap().send((alpn, end)).unwrap();
    });
    let connector = connector.tls(trusting(&authority));
    for adapter in BOTH {
        assert_eq!(adapter.ask(&connector).await.unwrap(), "hello", "{adapter:?}");
        let (alpn, end) = ends.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(alpn.as_deref(), Some(&b"http/1.1"[..]), "{adapter:?}");
        assert_eq!(end, Ok(0), "{adapter:?}");
    }
}

/// Both ends send on one thread while another receives, more than the sockets hold.
#[tokio::test]
async fn a_server_on_two_threads() {
    let Some((authority, leaf)) = make("a_server_on_two_threads") else { return };
    let config = config(&leaf);
    let addr = serve(move |tcp| {
        let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
        let stream = TlsStream::handshake(tcp, tls, Duration::from_secs(30)).unwrap();
        send_and_receive(accept(stream).unwrap());
    });
    let connector = Connector::new(&format!("wss://localhost:{}/", addr.port())).unwrap();
    within_thread(move || {
        send_and_receive(connector.tls(trusting(&authority)).connect_blocking().unwrap());
    })
    .await;
}

/// Sends as many messages as it receives, at once, and closes when the other end does or has all.
fn send_and_receive<S: SplitTransport + Send + Sync + 'static>(ws: WebSocket<S>) {
    const MESSAGES: usize = 200;
    let (mut receiver, sender) = ws.split();
    thread::scope(|scope| {
        let sender = &sender;
        scope.spawn(|| (0..MESSAGES).for_each(|_| sender.send(&[7; 65_536][..]).unwrap()));
        for _ in 0..MESSAGES {
            assert_eq!(receiver.recv().unwrap().unwrap().len(), 65_536);
        }
    });
    sender.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(receiver.recv().unwrap(), None);
    assert!(receiver.close_info().unwrap().clean);
}

#[tokio::test]
async fn a_client_that_says_nothing_in_tls_is_given_up() {
    let Some((_authority, leaf)) = make("a_client_that_says_nothing_in_tls") else { return };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let _silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let tls = ServerConnection::new(config(&leaf)).unwrap();
    within_thread(move || {
        let tcp = listener.accept().unwrap().0;
        let failure = TlsStream::handshake(tcp, tls, Duration::from_millis(100)).unwrap_err();
        assert!(failure.is_timeout(), "{failure}");
    })
    .await;
}

/// A provider of cryptography that was handed over is the one that is used.
#[tokio::test]
async fn a_provider_of_ones_own() {
    let Some((authority, leaf)) = make("a_provider_of_ones_own") else { return };
    let only = rustls::crypto::ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256;
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites = vec![only];
    let (sender, suites) = mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let connector = serve_tls(&leaf, move |stream| {
        let mut ws = accept(plain(stream)).unwrap();
        while let Ok(Some(message)) = ws.recv() {
            ws.send(message).unwrap();
        }
        let suite = ws.into_parts().io.0.conn.negotiated_cipher_suite().unwrap().suite();
        sender.lock().unwrap().send(suite).unwrap();
    });
    let tls = trusting(&authority).provider(Arc::new(provider)).unwrap();
    let tls = tls.client_certificate_files(&leaf.certificate, &leaf.key).unwrap();
    for (tls, is_only) in [(tls, true), (trusting(&authority), false)] {
        for adapter in BOTH {
            let answer = adapter.ask(&connector.clone().tls(tls.clone())).await;
            assert_eq!(answer.unwrap(), "hello", "{adapter:?}");
            let suite = suites.recv_timeout(Duration::from_secs(50)).unwrap();
            assert_eq!(suite == only.suite(), is_only, "{adapter:?}");
        }
    }
}

/// A connection that is cut off is told from one that its server has ended.
#[tokio::test]
async fn truncation_is_told_apart() {
    let Some((authority, leaf)) = make("truncation_is_told_apart") else { return };
    for announced in [true, false] {
        let connector = serve_tls(&leaf, move |stream| {
            let ws = accept(plain(stream)).unwrap();
            let mut stream = ws.into_parts().io.0;
            if announced {
                stream.conn.send_close_notify();
            }
            stream.flush().unwrap();
            stream.sock.shutdown(Shutdown::Write).unwrap();
            let _ = stream.read(&mut [0; 16]);
        });
        let connector = connector.tls(trusting(&authority));
        for adapter in BOTH {
            let error = match adapter {
                Adapter::Tokio => {
                    let mut ws = within(connector.connect()).await.unwrap();
                    within(ws.recv()).await.unwrap_err()
                }
                Adapter::Blocking => {
                    let connector = connector.clone();
                    let recv = move || connector.connect_blocking().unwrap().recv().unwrap_err();
                    within_thread(recv).await
                }
            };
            assert!(error.is_disconnect());
            match (announced, &error) {
                (true, Error::Disconnected(None)) => {}
                (false, Error::Disconnected(Some(io))) => {
                    assert_eq!(io.kind(), ErrorKind::UnexpectedEof, "{adapter:?}");
                }
                _ => panic!("{adapter:?}, announced {announced}: {error:?}"),
            }
        }
    }
}

/// The time for the handshake is one for connecting, TLS and HTTP together.
#[tokio::test]
async fn a_server_that_is_silent_in_tls() {
    let addr = serve(|mut stream| while stream.read(&mut [0; 64]).is_ok_and(|n| n > 0) {});
    let config = Config::new().handshake_timeout(Duration::from_millis(300));
    let connector = Connector::new(&format!("wss://{addr}/")).unwrap().config(config);
    for adapter in BOTH {
        let start = Instant::now();
        let error = adapter.fails(&connector).await;
        assert!(matches!(error, Error::HandshakeTimeout), "{adapter:?}: {error:?}");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

/// Messages longer than a record and than all buffers, both ways at once, from two threads.
#[tokio::test]
async fn two_threads() {
    let Some((authority, leaf)) = make("two_threads") else { return };
    let (handle, port) = super::certificates::start(
        sansws::server::Tls::from_pem_files(&leaf.certificate, &leaf.key).unwrap(),
    )
    .await;
    let connector = Connector::new(&format!("wss://localhost:{port}/")).unwrap();
    let connector = connector.tls(trusting(&authority));
    within_thread(move || {
        let ws = connector.connect_blocking().unwrap();
        assert!(ws.get_ref().is_secure());
        let (mut receiver, sender) = ws.split();
        let sending = thread::spawn(move || {
            for i in 0..COUNT {
                sender.send(MessageRef::binary(&pattern(i))).unwrap();
            }
            sender
        });
        for i in 0..COUNT {
            let message = receiver.recv().unwrap().unwrap();
            assert!(message.as_bytes() == pattern(i), "message {i} has changed");
        }
        let sender = sending.join().unwrap();
        // one that only receives, while nothing is sent for a while
        let late = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            sender.send("late").unwrap();
            sender.close(CloseCode::NORMAL, "").unwrap();
        });
        assert_eq!(receiver.recv().unwrap().unwrap().as_text(), Some("late"));
        assert!(receiver.recv().unwrap().is_none());
        late.join().unwrap();
    })
    .await;
    handle.abort();
}

/// The halves of a client's socket on tokio, in two tasks, with TLS and without; they come together
/// again.
#[tokio::test]
async fn two_tasks() {
    let Some((authority, leaf)) = make("two_tasks") else { return };
    let tls = sansws::server::Tls::from_pem_files(&leaf.certificate, &leaf.key).unwrap();
    let (handle, port) = super::certificates::start(tls).await;
    let secure = Connector::new(&format!("wss://localhost:{port}/")).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = Connector::new(&format!("ws://{}/", listener.local_addr().unwrap())).unwrap();
    let echo = tokio::spawn(async move {
        let mut ws = sansws::tokio::accept(listener.accept().await.unwrap().0).await.unwrap();
        while let Some((event, mut out)) = ws.next_event().await.unwrap() {
            if let Some(message) = event.into_message_ref() {
                out.feed(message).unwrap();
            }
        }
    });
    for (connector, is_secure) in [(secure.tls(trusting(&authority)), true), (plain, false)] {
        let ws = connector.connect().await.unwrap();
        assert_eq!(ws.get_ref().is_secure(), is_secure);
        let peer = ws.get_ref().tcp().peer_addr().unwrap();
        let (mut receiver, sender) = ws.into_split();
        assert_eq!([receiver.peer_addr().unwrap(), sender.peer_addr().unwrap()], [peer; 2]);
        let sending = tokio::spawn(async move {
            for i in 0..COUNT {
                sender.send(MessageRef::binary(&pattern(i))).await.unwrap();
            }
            sender
        });
        for i in 0..COUNT {
            let message = within(receiver.recv()).await.unwrap().unwrap();
            assert!(message.as_bytes() == pattern(i), "message {i} has changed");
        }
        let mut ws = receiver.reunite(sending.await.unwrap()).unwrap();
        assert_eq!(ws.get_ref().is_secure(), is_secure);
        ws.close(CloseCode::NORMAL, "").await.unwrap();
    }
    echo.await.unwrap();
    handle.abort();
}

const COUNT: usize = 60;

fn pattern(i: usize) -> Vec<u8> {
    let len = [0, 1, 125, 16_384, 16_385, 70_000, 400_000][i % 7];
    (0..len).map(|at| (at * 7 + i) as u8).collect()
}

/// Two ends that both send a lot before they receive get through on one thread each: what the
/// socket does not take is left, and what arrives is taken in.
#[tokio::test]
async fn both_send_before_they_receive() {
    let Some((authority, leaf)) = make("both_send_before_they_receive") else { return };
    const LEN: usize = 6 << 20;
    let connector = serve_tls(&leaf, |mut stream| {
        while stream.conn.is_handshaking() {
            let StreamOwned { conn, sock } = &mut stream;
            conn.complete_io(sock).unwrap();
        }
        let config = Config::new().max_unsent(LEN * 2);
        let mut ws = sansws::blocking::accept_with(plain(stream), &config).unwrap();
        ws.send(MessageRef::binary(&vec![1; LEN])).unwrap();
        assert_eq!(ws.recv().unwrap().unwrap().as_bytes().len(), LEN);
        while ws.recv().is_ok_and(|message| message.is_some()) {}
    });
    let connector = connector.tls(trusting(&authority));
    for adapter in BOTH {
        match adapter {
            Adapter::Tokio => {
                let mut ws = within(connector.connect()).await.unwrap();
                within(ws.send(MessageRef::binary(&vec![2; LEN]))).await.unwrap();
                assert_eq!(within(ws.recv()).await.unwrap().unwrap().as_bytes().len(), LEN);
                within(ws.close(CloseCode::NORMAL, "")).await.unwrap();
            }
            Adapter::Blocking => {
                let connector = connector.clone();
                within_thread(move || {
                    let mut ws = connector.connect_blocking().unwrap();
                    ws.send(MessageRef::binary(&vec![2; LEN])).unwrap();
                    assert_eq!(ws.recv().unwrap().unwrap().as_bytes().len(), LEN);
                    ws.close(CloseCode::NORMAL, "").unwrap();
                })
                .await;
            }
        }
    }
}

/// Time-outs of one's own end a call, and nothing is lost.
#[tokio::test]
async fn a_time_out_of_ones_own() {
    let Some((authority, leaf)) = make("a_time_out_of_ones_own") else { return };
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let connector = serve_tls(&leaf, move |stream| {
        let mut ws = accept(plain(stream)).unwrap();
        wait.lock().unwrap().recv().unwrap();
        ws.send("late").unwrap();
        while ws.recv().is_ok_and(|message| message.is_some()) {}
    });
    let connector = connector.tls(trusting(&authority));
    within_thread(move || {
        let mut ws = connector.connect_blocking().unwrap();
        ws.get_ref().tcp().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let Err(Error::Io(error)) = ws.recv() else { panic!("there is nothing to receive") };
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        go.send(()).unwrap();
        let text = loop {
            match ws.recv() {
                Ok(message) => break message.unwrap(),
                Err(Error::Io(_)) => {}
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(text.as_text(), Some("late"));
        ws.close(CloseCode::NORMAL, "").unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_stream_says_what_it_is() {
    let Some((authority, leaf)) = make("the_stream_says_what_it_is") else { return };
    let connector = serve_tls(&leaf, |stream| {
        let mut ws = accept(plain(stream)).unwrap();
        while ws.recv().is_ok_and(|message| message.is_some()) {}
    });
    let tls: Tls = trusting(&authority);
    let ws = within(connector.tls(tls).connect()).await.unwrap();
    assert!(ws.get_ref().is_secure());
    assert_eq!(ws.peer_addr().unwrap(), ws.get_ref().tcp().peer_addr().unwrap());
    let echoing = tokio::spawn(echo(ws));
    echoing.abort();
}
