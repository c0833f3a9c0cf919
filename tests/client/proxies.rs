//! Ways through proxies: tinyproxy and microsocks, and proxies of our own that behave badly.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sansws::client::{Connector, Proxy, ProxyError, ProxyFailure};
use sansws::{Config, Error};
use sansws_test::process::{Process, skip};

use super::support::{BOTH, echo_plain, head, serve};

/// An echo server that keeps the heads of all requests.
struct Target {
    addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Target {
    fn start() -> Self {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        let addr = serve(move |mut stream| {
            let head = head(&mut stream);
            kept.lock().unwrap().push(head.clone());
            echo_plain(stream, head);
        });
        Self { addr, heads }
    }

    /// By name, which the proxy looks up.
    fn connector(&self) -> Connector {
        Connector::new(&format!("ws://localhost:{}/", self.addr.port())).unwrap()
    }
}

fn failure(error: &Error) -> &ProxyError {
    match error {
        Error::Proxy(error) => error,
        other => panic!("{other:?}"),
    }
}

/// A port on which nobody listens, and nobody else can.
struct Closed {
    _bound: tokio::net::TcpSocket,
    port: u16,
}

impl Closed {
    fn new() -> Self {
        let bound = tokio::net::TcpSocket::new_v4().unwrap();
        bound.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let port = bound.local_addr().unwrap().port();
        Self { _bound: bound, port }
    }
}

/// Starts a program that listens on a port that it is told, and waits until it does.
fn start(command: impl Fn(u16) -> Command) -> (Process, u16) {
    let start = Instant::now();
    'port: loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut process = Process::spawn(&mut command(port));
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(50), "it does not listen");
            thread::sleep(Duration::from_millis(20));
            if !process.is_running() {
                continue 'port; // somebody else was faster to take it
            }
        }
        return (process, port);
    }
}

fn is_missing(test: &str, program: &str) -> bool {
    // neither has an option that does nothing and succeeds
    let missing = Command::new(program).arg("-h").output().is_err();
    if missing {
        skip(test, &format!("there is no {program}"));
    }
    missing
}

fn tinyproxy(test: &str, auth: Option<&str>) -> Option<(Process, u16)> {
    if is_missing(test, "tinyproxy") {
        return None;
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tinyproxy");
    fs::create_dir_all(&directory).unwrap();
    let auth = auth.map_or(String::new(), |auth| format!("BasicAuth {auth}\n"));
    Some(start(|port| {
        let path = directory.join(format!("{port}.conf"));
        let config = format!("Port {port}\nListen 127.0.0.1\nTimeout 50\nAllow 127.0.0.1\n{auth}");
        fs::write(&path, config).unwrap();
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(path);
        command
    }))
}

fn microsocks(test: &str, auth: Option<(&str, &str)>) -> Option<(Process, u16)> {
    if is_missing(test, "microsocks") {
        return None;
    }
    Some(start(|port| {
        let mut command = Command::new("microsocks");
        command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
        if let Some((user, password)) = auth {
            command.args(["-u", user, "-P", password]);
        }
        command
    }))
}

/// C-29
#[tokio::test]
async fn through_tinyproxy() {
    let Some((_process, port)) = tinyproxy("through_tinyproxy", None) else { return };
    let target = Target::start();
    let proxy = Proxy::http(&format!("http://127.0.0.1:{port}")).unwrap();
    for adapter in BOTH {
        let connector = target.connector().proxy(proxy.clone());
        assert_eq!(adapter.ask(&connector).await.unwrap(), "hello", "{adapter:?}");
        // nobody listens there
        let closed = Closed::new();
        let url = format!("ws://127.0.0.1:{}", closed.port);
        let error = adapter.fails(&Connector::new(&url).unwrap().proxy(proxy.clone())).await;
        let ProxyFailure::Refused(refused) = failure(&error).failure() else { panic!("{error}") };
        assert!(refused.status() >= 500 && !refused.body().is_empty(), "{refused:?}");
    }
}

#[tokio::test]
async fn through_tinyproxy_by_name_and_password() {
    let test = "through_tinyproxy_by_name_and_password";
    let Some((_process, port)) = tinyproxy(test, Some("me secret")) else { return };
    let target = Target::start();
    let proxy =
        |userinfo: &str| Proxy::http(&format!("http://{userinfo}127.0.0.1:{port}")).unwrap();
    for adapter in BOTH {
        let connector = target.connector().bearer_auth("abc").proxy(proxy("me:secret@"));
        assert_eq!(adapter.ask(&connector).await.unwrap(), "hello", "{adapter:?}");
        let heads = core::mem::take(&mut *target.heads.lock().unwrap());
        assert!(heads.len() == 1 && heads[0].contains("Bearer abc"), "{heads:?}");
        assert!(!heads[0].to_ascii_lowercase().contains("proxy"), "{heads:?}");
        for (userinfo, says) in [("", "which asks who you are"), ("me:x@", "password is wrong")] {
            let error = adapter.fails(&target.connector().proxy(proxy(userinfo))).await;
            let ProxyFailure::Refused(refused) = failure(&error).failure() else {
                panic!("{error}")
            };
            let expected = if userinfo.is_empty() { &[407][..] } else { &[401, 407] };
            assert!(expected.contains(&refused.status()), "{adapter:?} {userinfo}");
            let text = error.to_string();
            let begin = format!("the proxy http://127.0.0.1:{port} answered {} ", refused.status());
            assert!(text.starts_with(&begin) && text.contains(says), "{text}");
            assert!(text.contains("-Authenticate: Basic"), "{text}");
        }
    }
}

/// C-29
#[tokio::test]
async fn through_microsocks() {
    let Some((_process, port)) = microsocks("through_microsocks", None) else { return };
    let target = Target::start();
    let proxy = Proxy::socks5(&format!("socks5h://127.0.0.1:{port}")).unwrap();
    let by_address = Connector::new(&format!("ws://{}", target.addr)).unwrap();
    for adapter in BOTH {
        for connector in [target.connector(), by_address.clone()] {
            let answer = adapter.ask(&connector.proxy(proxy.clone())).await;
            assert_eq!(answer.unwrap(), "hello", "{adapter:?}");
        }
        let closed = Closed::new();
        let url = format!("ws://127.0.0.1:{}", closed.port);
        let error = adapter.fails(&Connector::new(&url).unwrap().proxy(proxy.clone())).await;
        assert!(matches!(failure(&error).failure(), ProxyFailure::Reply(5)), "{error:?}");
    }
}

#[tokio::test]
async fn through_microsocks_by_name_and_password() {
    let test = "through_microsocks_by_name_and_password";
    let Some((_process, port)) = microsocks(test, Some(("me", "secret"))) else { return };
    let target = Target::start();
    let proxy = Proxy::socks5(&format!("socks5://127.0.0.1:{port}")).unwrap();
    for adapter in BOTH {
        let known = proxy.clone().credentials("me", "secret").unwrap();
        let answer = adapter.ask(&target.connector().proxy(known)).await;
        assert_eq!(answer.unwrap(), "hello", "{adapter:?}");
        let wrong = proxy.clone().credentials("me", "x").unwrap();
        let error = adapter.fails(&target.connector().proxy(wrong)).await;
        assert!(matches!(failure(&error).failure(), ProxyFailure::Credentials), "{error:?}");
        let error = adapter.fails(&target.connector().proxy(proxy.clone())).await;
        assert!(matches!(failure(&error).failure(), ProxyFailure::NoMethod), "{error:?}");
    }
}

/// TLS is spoken with the server, inside the tunnel.
#[cfg(feature = "rustls")]
#[tokio::test]
async fn tls_through_both() {
    use super::certificates::{authority, start, trusting};

    let test = "tls_through_both";
    let Some(authority) = authority(test) else { return };
    let Some((_http, http)) = tinyproxy(test, Some("me secret")) else { return };
    let Some((_socks, socks)) = microsocks(test, Some(("me", "secret"))) else { return };
    let leaf = authority.leaf("leaf", "DNS:localhost");
    let tls = sansws::server::Tls::from_pem_files(&leaf.certificate, &leaf.key).unwrap();
    let (handle, port) = start(tls).await;
    let connector = Connector::new(&format!("wss://localhost:{port}/")).unwrap();
    let connector = connector.tls(trusting(&authority));
    for proxy in [
        Proxy::http(&format!("http://me:secret@127.0.0.1:{http}")).unwrap(),
        Proxy::socks5(&format!("socks5://me:secret@127.0.0.1:{socks}")).unwrap(),
    ] {
        for adapter in BOTH {
            let answer = adapter.ask(&connector.clone().proxy(proxy.clone())).await;
            assert_eq!(answer.unwrap(), "hello", "{adapter:?} {proxy:?}");
        }
    }
    handle.abort();
}

/// Reads this many bytes.
fn take(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Says something in pieces of one byte, each a packet of its own.
fn dribble(stream: &mut TcpStream, bytes: &[u8]) {
    stream.set_nodelay(true).unwrap();
    for byte in bytes {
        stream.write_all(&[*byte]).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
}

/// Passes bytes on in both directions.
fn relay(client: TcpStream, target: SocketAddr) {
    let server = TcpStream::connect(target).unwrap();
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let other = thread::spawn(move || copy(back.0, back.1));
    copy(client, server);
    other.join().unwrap();
}

/// Proxies whose answers come byte by byte, and that see nothing of what is for the server.
#[tokio::test]
async fn byte_by_byte() {
    let target = Target::start();
    let addr = target.addr;
    let (sender, heads) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let http = serve(move |mut stream| {
        let head = head(&mut stream);
        sender.lock().unwrap().send(head).unwrap();
        dribble(&mut stream, b"HTTP/1.1 100 Wait\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\n\r\n");
        relay(stream, addr);
    });
    let socks = serve(move |mut stream| {
        assert_eq!(take(&mut stream, 4), b"\x05\x02\0\x02");
        dribble(&mut stream, b"\x05\x02");
        assert_eq!(take(&mut stream, 5), b"\x01\x01u\x01p");
        dribble(&mut stream, b"\x01\0");
        let request = take(&mut stream, 5 + 9 + 2);
        assert_eq!(request[..14], *b"\x05\x01\0\x03\x09localhost");
        dribble(&mut stream, b"\x05\0\0\x03\x05there\0\x50");
        relay(stream, addr);
    });
    let connector = target.connector().bearer_auth("secret").cookie("a", "secret");
    for adapter in BOTH {
        let proxy = Proxy::http(&format!("http://u:p@{http}")).unwrap();
        let answer = adapter.ask(&connector.clone().proxy(proxy)).await;
        assert_eq!(answer.unwrap(), "hello", "{adapter:?}");
        let (host, credentials) = (format!("localhost:{}", addr.port()), "dTpw");
        assert_eq!(
            heads.recv_timeout(Duration::from_secs(50)).unwrap(),
            format!(
                "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: Basic \
                 {credentials}\r\n\r\n"
            )
        );
        let proxy = Proxy::socks5(&format!("socks5://u:p@{socks}")).unwrap();
        let answer = adapter.ask(&connector.clone().proxy(proxy)).await;
        assert_eq!(answer.unwrap(), "hello", "{adapter:?}");
    }
}

/// What comes in one piece with the answer of the proxy is the server's.
#[tokio::test]
async fn bytes_behind_the_answer() {
    const BUSY: &[u8] = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nlate";
    let http = serve(|mut stream| {
        head(&mut stream);
        stream.write_all(&[b"HTTP/1.0 200 OK\r\n\r\n", BUSY].concat()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let socks = serve(|mut stream| {
        take(&mut stream, 3);
        stream.write_all(b"\x05\0").unwrap();
        take(&mut stream, 5 + 1 + 2);
        stream.write_all(&[b"\x05\0\0\x01\0\0\0\0\0\0", BUSY].concat()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let connector = Connector::new("ws://h/").unwrap();
    for proxy in [
        Proxy::http(&format!("http://{http}")).unwrap(),
        Proxy::socks5(&format!("socks5://{socks}")).unwrap(),
    ] {
        for adapter in BOTH {
            let error = adapter.fails(&connector.clone().proxy(proxy.clone())).await;
            let Error::Refused(refused) = &error else { panic!("{adapter:?}: {error:?}") };
            assert_eq!((refused.status(), refused.body()), (503, &b"late"[..]), "{adapter:?}");
            let delay = refused.retry_after().unwrap().delay(Duration::ZERO);
            assert_eq!(delay, Duration::from_secs(7));
        }
    }
}

/// One time for all, and what was said by then counts.
#[tokio::test]
async fn slow_proxies() {
    let silent = serve(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let endless = serve(|mut stream| {
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 407 x\r\nContent-Length: 99\r\n\r\nwho").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let config = Config::new().handshake_timeout(Duration::from_millis(400));
    let connector = Connector::new("ws://h/").unwrap().config(config);
    for adapter in BOTH {
        for proxy in [
            Proxy::http(&format!("http://{silent}")).unwrap(),
            Proxy::socks5(&format!("socks5://{silent}")).unwrap(),
        ] {
            let error = adapter.fails(&connector.clone().proxy(proxy)).await;
            assert!(matches!(error, Error::HandshakeTimeout), "{adapter:?}: {error:?}");
        }
        // however busy the machine is, there is a time in which the beginning of the answer comes
        let mut seconds = [1, 3, 9, 27].into_iter();
        let error = loop {
            let limit = Duration::from_secs(seconds.next().expect("the answer is lost"));
            let config = Config::new().handshake_timeout(limit);
            let proxy = Proxy::http(&format!("http://{endless}")).unwrap();
            match adapter.fails(&connector.clone().proxy(proxy).config(config)).await {
                Error::HandshakeTimeout => {}
                error => break error,
            }
        };
        let ProxyFailure::Refused(refused) = failure(&error).failure() else { panic!("{error}") };
        assert_eq!(refused.status(), 407, "{adapter:?}");
        assert!(b"who".starts_with(refused.body()), "{adapter:?}: {refused:?}");
    }
}

#[tokio::test]
async fn proxies_that_are_not_there() {
    let closed = serve(|mut stream| {
        let _ = stream.read(&mut [0; 1024]);
    });
    let connector = Connector::new("ws://h/").unwrap();
    for adapter in BOTH {
        let closed_port = Closed::new();
        let port = closed_port.port;
        for (proxy, name) in [
            (Proxy::http(&format!("http://u:p@127.0.0.1:{port}")), "http"),
            (Proxy::socks5(&format!("socks5://u:p@127.0.0.1:{port}")), "socks5"),
        ] {
            let error = adapter.fails(&connector.clone().proxy(proxy.unwrap())).await;
            let ProxyFailure::Unreachable(_) = failure(&error).failure() else { panic!("{error}") };
            let name = format!("{name}://127.0.0.1:{port}");
            assert_eq!(failure(&error).proxy(), name);
            let text = error.to_string();
            assert!(text.starts_with(&format!("the proxy {name} cannot be reached: ")), "{text}");
        }
        let proxy = Proxy::http(&format!("http://{closed}")).unwrap();
        let error = adapter.fails(&connector.clone().proxy(proxy)).await;
        assert!(matches!(failure(&error).failure(), ProxyFailure::Disconnected(_)), "{error:?}");
        assert!(error.is_disconnect());
    }
}

/// What is excepted is connected to directly.
#[tokio::test]
async fn exceptions() {
    let target = Target::start();
    let closed = Closed::new();
    let proxy = Proxy::http(&format!("http://127.0.0.1:{}", closed.port)).unwrap();
    for adapter in BOTH {
        let direct = target.connector().proxy(proxy.clone().no_proxy("x, localhost"));
        assert_eq!(adapter.ask(&direct).await.unwrap(), "hello", "{adapter:?}");
        let error = adapter.fails(&target.connector().proxy(proxy.clone().no_proxy("x"))).await;
        assert!(matches!(failure(&error).failure(), ProxyFailure::Unreachable(_)), "{error:?}");
    }
}
