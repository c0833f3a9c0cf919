//! Redirections that are followed, and those that are not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use sansws::Error;
use sansws::client::{Connector, RedirectError};

use super::support::{BOTH, echo_plain, head, serve};

/// A server that redirects by its path, echoes at `/end`, and keeps the heads of all requests.
struct Redirecting {
    addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Redirecting {
    fn start(locations: &'static [(&'static str, &'static str)], other: &str) -> Self {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (kept, other) = (Arc::clone(&heads), other.to_owned());
        let addr = serve(move |mut stream| {
            let head = head(&mut stream);
            kept.lock().unwrap().push(head.clone());
            let path = head.split(' ').nth(1).unwrap();
            let location = locations.iter().find(|(from, _)| *from == path);
            match location {
                None => echo_plain(stream, head),
                Some((_, to)) => redirect(stream, &to.replace("OTHER", &other)),
            }
        });
        Self { addr, heads }
    }

    fn connector(&self, path: &str) -> Connector {
        Connector::new(&format!("ws://{}{path}", self.addr)).unwrap()
    }

    fn take_heads(&self) -> Vec<String> {
        core::mem::take(&mut *self.heads.lock().unwrap())
    }
}

fn redirect(mut stream: TcpStream, location: &str) {
    let body = "moved";
    let len = body.len();
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: {len}\r\n");
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    let _ = stream.read(&mut [0; 16]);
}

/// C-12
#[tokio::test]
async fn followed() {
    let other = Redirecting::start(&[], "");
    let locations = &[
        ("/a", "/b?x"),
        ("/b?x", "deep/c"),
        ("/deep/c", "../d"),
        ("/d", "http://OTHER/there/../end"),
    ];
    let server = Redirecting::start(locations, &other.addr.to_string());
    let connector = server.connector("/a").bearer_auth("secret").cookie("a", "secret");
    let connector = connector.header("Proxy-Authorization", "secret").header("X-Any", "any");
    for adapter in BOTH {
        let answer = adapter.ask(&connector.clone().follow_redirects(4)).await;
        assert_eq!(answer.unwrap(), "hello", "{adapter:?}");
        let heads = server.take_heads();
        let paths: Vec<_> = heads.iter().map(|it| it.split(' ').nth(1).unwrap()).collect();
        assert_eq!(paths, ["/a", "/b?x", "/deep/c", "/d"]);
        assert!(heads.iter().all(|head| head.matches("secret").count() == 3), "{heads:?}");
        let heads = other.take_heads();
        assert_eq!(heads.len(), 1);
        assert!(heads[0].starts_with("GET /end HTTP/1.1\r\n") && !heads[0].contains("secret"));
        assert!(heads[0].contains(&format!("\r\nHost: {}\r\n", other.addr)));
        assert!(heads[0].contains("\r\nX-Any: any\r\n"));

        let error = adapter.fails(&connector.clone().follow_redirects(3)).await;
        let Error::Redirect(RedirectError::TooMany { limit: 3, .. }) = &error else {
            panic!("{adapter:?}: {error:?}")
        };
        assert_eq!(
            error.to_string(),
            format!(
                "the server redirects to http://{}/there/../end, which is one more than the 3 that \
                 `follow_redirects` allows",
                other.addr
            )
        );
        assert_eq!(server.take_heads().len(), 4);
        assert_eq!(other.take_heads().len(), 0);
    }
}

/// C-12: by default the answer is the error, and says where to.
#[tokio::test]
async fn not_followed() {
    let server = Redirecting::start(&[("/a", "/b"), ("/x", "gopher://x"), ("/l", "/l")], "");
    for adapter in BOTH {
        let error = adapter.fails(&server.connector("/a")).await;
        let Error::Refused(refused) = &error else { panic!("{adapter:?}: {error:?}") };
        assert_eq!((refused.status(), refused.header("location")), (302, Some("/b")));
        assert_eq!(
            error.to_string(),
            "server answered 302 Found instead of 101 Switching Protocols (Location: /b): moved"
        );
        assert_eq!(server.take_heads().len(), 1);

        let error = adapter.fails(&server.connector("/x").follow_redirects(9)).await;
        assert!(matches!(error, Error::Redirect(RedirectError::Location { .. })), "{error:?}");
        assert_eq!(server.take_heads().len(), 1);

        // a loop ends
        let error = adapter.fails(&server.connector("/l").follow_redirects(9)).await;
        assert!(matches!(error, Error::Redirect(RedirectError::TooMany { .. })), "{error:?}");
        assert_eq!(server.take_heads().len(), 10);
    }
}

/// To where there is TLS, and never back.
#[cfg(feature = "rustls")]
#[tokio::test]
async fn with_tls() {
    use super::certificates::{authority, start, trusting};

    let Some(authority) = authority("redirects_with_tls") else { return };
    let leaf = authority.leaf("leaf", "DNS:localhost");
    let tls = sansws::server::Tls::from_pem_files(&leaf.certificate, &leaf.key).unwrap();
    let (handle, port) = start(tls).await;
    let server = Redirecting::start(&[("/", "https://OTHER/")], &format!("localhost:{port}"));
    let connector = server.connector("/").tls(trusting(&authority)).follow_redirects(1);
    for adapter in BOTH {
        assert_eq!(adapter.ask(&connector).await.unwrap(), "hello", "{adapter:?}");
    }
    handle.abort();
}

/// Without the feature, the text says what is missing.
#[cfg(not(feature = "rustls-no-provider"))]
#[tokio::test]
async fn to_tls_without_the_feature() {
    let server = Redirecting::start(&[("/", "https://OTHER/")], "localhost:1");
    for adapter in BOTH {
        let error = adapter.fails(&server.connector("/").follow_redirects(1)).await;
        assert!(matches!(error, Error::Tls(_)), "{adapter:?}: {error:?}");
    }
}
