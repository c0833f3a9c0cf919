//! A page in Chromium that reaches axum through HTTP/2, over TLS.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use sansws_test::certificates::Authority;
use sansws_test::process::{Process, START, Server, skip};

#[test]
fn chromium_at_axum_through_http_2() {
    let test = "chromium_at_axum_through_http_2";
    let program = env::var_os("CHROMIUM").unwrap_or_else(|| "chromium".into());
    let probe = Command::new(&program).arg("--version").stdin(Stdio::null()).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return skip(test, "there is no chromium; CHROMIUM names another program");
    }
    let Some(authority) = Authority::new(env!("CARGO_TARGET_TMPDIR"), test) else { return };
    let leaf = authority.leaf("server", "IP:127.0.0.1");
    let mut command = Command::new(env!("CARGO_BIN_EXE_axum"));
    command.arg("127.0.0.1:0").args(leaf.files());
    let mut server = Server::listening("axum", Process::spawn(&mut command));

    let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join("profile");
    let _ = fs::remove_dir_all(&profile); // there may be none
    let mut command = Command::new(&program);
    command
        // Root has no sandbox, and there is no GPU and no network.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
        .args(["--disable-component-update", "--disable-dev-shm-usage"])
        // the authority exists for this test alone
        .arg("--ignore-certificate-errors")
        .arg("--remote-debugging-port=0") // so that it stays
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("https://{}/", server.addr));
    let browser = Process::spawn(&mut command);

    // The server says it: the page has opened a WebSocket over HTTP/2, and got its message back.
    for expected in [
        r#"open: HTTP/2.0, subprotocol Some("echo"), compressed: true"#,
        "message: hello from a page",
        "message: back: hello from a page",
        "closed",
    ] {
        assert_eq!(server.process.stdout_line(START), expected);
    }
    drop(browser);
    let _ = fs::remove_dir_all(&profile);
}
