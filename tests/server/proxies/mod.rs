//! The event server behind the proxies that most stand in front of: nginx and haproxy, each test
//! with a process of its own and the configuration from the documentation.
//!
//! Without nginx or haproxy the tests say that they have not run, and fail where `CI=true` is set.

mod proxy;
mod scenarios;

use sansws::Config;
use sansws::server::{ProxyHeaders, Response, handler_fn};
use sansws::tokio::client;
use tokio::net::TcpSocket;

use crate::proxies::proxy::{Kind, Snippet};
use crate::proxies::scenarios::{LOCALHOST, behind, page, record};
use crate::support::{Log, bind, text, within};

/// The same for both.
macro_rules! behind_both {
    ($($(#[$attribute:meta])* $scenario:ident)+) => {
        mod nginx {
            $($(#[$attribute])*
            #[tokio::test]
            async fn $scenario() {
                crate::proxies::scenarios::$scenario(crate::proxies::proxy::Kind::Nginx).await;
            })+
        }

        mod haproxy {
            $($(#[$attribute])*
            #[tokio::test]
            async fn $scenario() {
                crate::proxies::scenarios::$scenario(crate::proxies::proxy::Kind::Haproxy).await;
            })+
        }
    };
}

behind_both! {
    messages_pass
    #[cfg(feature = "deflate")]
    compressed_messages_pass
    bytes_pass_as_they_are
    closing_passes_both_ways
    pages_pass
    a_prefix_is_taken_off
    who_asks_is_passed_on
    sites_of_any_name_pass
    many_connections
    keep_alive_keeps_a_tunnel_open
    a_tunnel_that_is_cut_is_told_to_both_ends
    the_end_of_the_proxy_ends_each_connection_once
    a_shutdown_reaches_everybody
    a_full_server_says_so
    a_server_that_drains_says_so
    the_server_may_be_replaced
    a_slow_client_is_closed
}

/// What nginx does where nothing is said: HTTP/1.0, and no `Upgrade`. The client reads what to
/// write.
#[tokio::test]
async fn a_bare_proxy_pass_is_answered_with_what_is_missing() {
    let server = bind().await.route("/", handler_fn()).page("/", Response::html("<h1>Hello</h1>"));
    let snippet = Snippet::nginx_location("proxy_pass http://127.0.0.1:8181;");
    let Some((server, _proxy)) = behind(snippet, server).await else { return };
    let (status, body) = server.refused(&server.request("/")).await;
    assert_eq!(status, 505, "{body}"); // it is the version that rules an upgrade out
    for line in [
        "proxy_http_version 1.1",
        "proxy_set_header Upgrade $http_upgrade",
        "proxy_set_header Connection $connection_upgrade",
    ] {
        assert!(body.contains(line), "{line} in {body}");
    }
    // pages are served in that version too
    let answer = page(&server, "/").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("<h1>Hello</h1>"), "{answer}");
}

/// Each line of the configuration in the documentation is needed, and who leaves it out is told.
#[tokio::test]
async fn each_line_is_needed() {
    for (line, status, told) in [
        ("proxy_http_version 1.1;", 505, "proxy_http_version 1.1"),
        ("proxy_set_header Upgrade ", 426, "proxy_set_header Upgrade $http_upgrade;"),
        ("proxy_set_header Connection ", 426, "proxy_set_header Connection $connection_upgrade"),
    ] {
        let snippet = Kind::Nginx.documented().without(line);
        let server = bind().await.route("/", handler_fn());
        let Some((server, _proxy)) = behind(snippet, server).await else { return };
        let (refused, body) = server.refused(&server.request("/")).await;
        assert!(refused == status && body.contains(told), "without {line}: {refused} {body}");
        server.stop().await;
    }
}

/// Without `Host`, nginx names itself what it was told to connect to: no origin is that.
#[tokio::test]
async fn an_origin_needs_the_host() {
    for (host, refused) in [
        (None, true),
        // without the port, which is in the origin
        (Some("$host"), true),
        (Some("$http_host"), false),
    ] {
        let readme = Kind::Nginx.documented();
        let snippet = match host {
            None => readme.without("proxy_set_header Host "),
            Some(host) => readme.replace("header Host $http_host", &format!("header Host {host}")),
        };
        let server = bind().await.route("/", handler_fn());
        let upstream = server.local_addr().unwrap();
        let Some((server, proxy)) = behind(snippet, server).await else { return };
        let origin = format!("http://{}", proxy.addr);
        let request = server.request("/").origin(&origin);
        if refused {
            let (status, body) = server.refused(&request).await;
            assert_eq!(status, 403, "{host:?}: {body}");
            let seen = if host.is_none() { upstream.to_string() } else { LOCALHOST.to_owned() };
            // what was compared, and what to do
            for told in [
                &format!("{origin:?}"),
                &format!("{seen:?}"),
                "Server::allow_origins",
                "proxy_set_header Host $http_host;",
            ] {
                assert!(body.contains(told), "{told} in {body}");
            }
        } else {
            server.try_connect(&request).await.unwrap();
        }
        // programs that are no browsers send no origin
        server.connect("/").await;
        server.stop().await;
    }
}

#[tokio::test]
async fn what_the_client_says_of_itself_is_its_own() {
    scenarios::what_the_client_says_of_itself_is_its_own(Kind::Nginx).await;
}

/// Where the proxy cannot be changed: the sites by name.
#[tokio::test]
async fn a_list_of_origins_needs_no_host() {
    let snippet = Kind::Nginx.documented().without("proxy_set_header Host ");
    let allowed = "https://example.com";
    let server = bind().await.route("/", handler_fn()).allow_origins([allowed]);
    let Some((server, _proxy)) = behind(snippet, server).await else { return };
    server.try_connect(&server.request("/").origin(allowed)).await.unwrap();
    let foreign = server.request("/").origin("https://example.org");
    assert_eq!(server.refused(&foreign).await.0, 403);
    server.stop().await;
}

/// The other way to say which host the page is from.
#[tokio::test]
async fn a_forwarded_host_is_compared_with_the_origin() {
    for (proxies, refused) in [(0, true), (1, false)] {
        let snippet = Kind::Nginx.documented().without("proxy_set_header Host ");
        let server = bind().await.route("/", handler_fn()).trusted_proxies(proxies);
        let Some((server, proxy)) = behind(snippet, server).await else { return };
        let origin = format!("http://{}", proxy.addr);
        let request = server.request("/").origin(&origin);
        match refused {
            true => assert_eq!(server.refused(&request).await.0, 403),
            false => drop(server.try_connect(&request).await.unwrap()),
        }
        server.stop().await;
    }
}

/// The mode of haproxy in which it closes its connections to servers after each request.
#[tokio::test]
async fn haproxy_may_close_after_requests() {
    let mode = "mode http\n    option http-server-close";
    let snippet = Kind::Haproxy.documented().replace("mode http", mode);
    let log = Log::default();
    let server = record(bind().await, &log).page("/", Response::text("a page"));
    let Some((server, _proxy)) = behind(snippet, server).await else { return };
    assert!(page(&server, "/").await.ends_with("\r\n\r\na page"));
    let mut ws = server.connect("/echo").await;
    assert_eq!(text(&mut ws).await, "hello");
    ws.send("through").await.unwrap();
    assert_eq!(text(&mut ws).await, "through");
    server.stop().await;
}

/// The health check that the documentation gives: a server that drains gets no new clients, and
/// keeps its own.
#[tokio::test]
async fn haproxy_checks_the_health() {
    const UPSTREAM: &str = "server sansws 127.0.0.1:8181";
    let check = "option httpchk GET /health";
    assert!(proxy::DOCUMENTATION.contains(&format!("`{check}`")));
    let snippet = Kind::Haproxy
        .documented()
        .replace(UPSTREAM, &format!("{check}\n    {UPSTREAM} check inter 50ms fall 1 rise 1"));
    let server = record(bind().await, &Log::default()).health("/health");
    let server = server.page("/page", Response::text("a page"));
    let Some((server, _proxy)) = behind(snippet, server).await else { return };
    let mut ws = server.connect("/echo").await;
    assert_eq!(text(&mut ws).await, "hello");
    assert!(page(&server, "/page").await.ends_with("\r\n\r\na page"));
    server.handle.drain();
    // pages are served on, so this is haproxy's word
    within(async { while !page(&server, "/page").await.starts_with("HTTP/1.1 503 ") {} }).await;
    ws.send("still here").await.unwrap();
    assert_eq!(text(&mut ws).await, "still here");
    server.handle.resume();
    within(async { while !page(&server, "/page").await.ends_with("\r\n\r\na page") {} }).await;
    server.stop().await;
}

/// A proxy that passes on bytes says who the client is before them; its health checks are its own.
#[tokio::test]
async fn haproxy_sends_the_proxy_protocol() {
    const UPSTREAM: &str = "server sansws 127.0.0.1:8181";
    for word in ["send-proxy", "send-proxy-v2"] {
        let check = "check inter 50ms fall 1 rise 1 check-send-proxy";
        let snippet = Kind::Haproxy.documented().replace("mode http", "mode tcp");
        let http = ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "replace-path"];
        let snippet = http.into_iter().fold(snippet, Snippet::without);
        let snippet = snippet.replace(UPSTREAM, &format!("{UPSTREAM} {word} {check}"));
        let log = Log::default();
        let to = log.clone();
        let server = record(bind().await, &Log::default())
            .proxy_protocol(["127.0.0.0/8"])
            .on_log(move |event| to.add(event.to_string()));
        let Some((server, _proxy)) = behind(snippet, server).await else { return };
        let mut ws = server.connect("/echo").await;
        assert_eq!(text(&mut ws).await, "hello");
        let client = server.hub.all().clients().remove(0);
        assert_eq!(client.info().peer_addr(), ws.get_ref().tcp().local_addr().unwrap(), "{word}");
        ws.send("through").await.unwrap();
        assert_eq!(text(&mut ws).await, "through");
        assert!(!log.lines().iter().any(|line| line.contains("no PROXY header: the bytes")));
        server.stop().await;
    }
}

/// The header of RFC 7239, as both append it to what the client has made up.
#[tokio::test]
async fn forwarded_says_who_asks() {
    let nginx = "proxy_set_header Forwarded \
                 '$http_forwarded, for=$remote_addr;proto=$scheme;host=\"$http_host\"';";
    let nginx = Kind::Nginx
        .documented()
        .replace("proxy_http_version 1.1;", &format!("proxy_http_version 1.1;\n{nginx}"));
    let haproxy = "http-request set-header Forwarded \
                   \"%[req.hdr(Forwarded)], for=%[src];proto=http;host=\\\"%[req.hdr(Host)]\\\"\"";
    let upstream = "server sansws 127.0.0.1:8181";
    let haproxy =
        Kind::Haproxy.documented().replace(upstream, &format!("{haproxy}\n    {upstream}"));
    for snippet in [nginx, haproxy] {
        let server = record(bind().await, &Log::default());
        let server = server.trusted_networks(["127.0.0.1"]).proxy_headers(ProxyHeaders::Forwarded);
        let Some((server, proxy)) = behind(snippet, server).await else { return };
        let made_up = "for=6.6.6.6;host=evil.example;proto=https, for=\"";
        let request = server.request("/echo").header("Forwarded", made_up);
        // browsers of another address: the proxy's own is a trusted one
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
        let stream = socket.connect(proxy.addr).await.unwrap();
        let mut ws = within(client(stream, &request, &Config::new())).await.unwrap();
        assert_eq!(text(&mut ws).await, "hello");
        let client = server.hub.all().clients().remove(0);
        let info = client.info();
        assert_eq!(info.remote_ip().to_string(), "127.0.0.2");
        assert_eq!((info.host(), info.is_secure()), (&*proxy.addr.to_string(), false));
        server.stop().await;
    }
}
