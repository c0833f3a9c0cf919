//! Tables for those who know another WebSocket library.
//!
//! Each page has a table "there, here", a program in both, what differs, and what the other has and
//! this crate has not. The names of tungstenite, fastwebsockets, axum, Tornado and uWebSockets are
//! those of their sources in November 2026. The others were not compared with sources: where a page
//! and the manual differ, the manual is right.
//!
//! | you know | in | page |
//! |---|---|---|
//! | tungstenite, tokio-tungstenite | Rust | [`tungstenite`] |
//! | fastwebsockets | Rust | [`fastwebsockets`] |
//! | axum's `ws` | Rust | [`axum`] |
//! | ws | JavaScript | [`ws`] |
//! | Socket.IO | JavaScript | [`socket_io`] |
//! | uWebSockets | C++, JavaScript | [`uwebsockets`] |
//! | Fleck | C# | [`fleck`] |
//! | Tornado | Python | [`tornado`] |
//! | Jakarta WebSocket: Tomcat, Jetty, Tyrus, Undertow | Java | [`jakarta`] |
//! | Gorilla | Go | [`gorilla`] |
//!
//! Whichever it is, the [programs](super::programs) are short and run as they stand.

#[doc = concat!(include_str!("coming_from/axum.md"), include_str!("links.md"))]
pub mod axum {}
#[doc = concat!(include_str!("coming_from/fastwebsockets.md"), include_str!("links.md"))]
pub mod fastwebsockets {}
#[doc = concat!(include_str!("coming_from/fleck.md"), include_str!("links.md"))]
pub mod fleck {}
#[doc = concat!(include_str!("coming_from/gorilla.md"), include_str!("links.md"))]
pub mod gorilla {}
#[doc = concat!(include_str!("coming_from/jakarta.md"), include_str!("links.md"))]
pub mod jakarta {}
#[doc = concat!(include_str!("coming_from/socket_io.md"), include_str!("links.md"))]
pub mod socket_io {}
#[doc = concat!(include_str!("coming_from/tornado.md"), include_str!("links.md"))]
pub mod tornado {}
#[doc = concat!(include_str!("coming_from/tungstenite.md"), include_str!("links.md"))]
pub mod tungstenite {}
#[doc = concat!(include_str!("coming_from/uwebsockets.md"), include_str!("links.md"))]
pub mod uwebsockets {}
#[doc = concat!(include_str!("coming_from/ws.md"), include_str!("links.md"))]
pub mod ws {}
