use std::net::TcpListener;

use serde_json::Value;

use crate::support::{echo, piped, serve};

#[test]
fn an_echo_server() {
    let url = serve(echo);
    let arguments = ["bench", &url, "-c", "5", "-d", "0.3", "-s", "1000"];
    let (code, stdout, stderr) = piped(&[&arguments[..], &["--json"]].concat(), b"");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let report: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!((&report["connections"], &report["failed"]), (&5.into(), &0.into()));
    let number = |value: &Value| value.as_f64().unwrap();
    let messages = number(&report["messages"]);
    let rate = number(&report["messages_per_second"]);
    assert!(messages >= 5.0 && rate > 0.0, "{report}");
    assert!((rate - messages / number(&report["seconds"])).abs() < rate / 100.0, "{report}");
    let mega = number(&report["megabytes_per_second"]);
    assert!((mega - rate / 1000.0).abs() < 0.01, "{report}");
    let times = ["p50", "p90", "p99", "p99.9", "max"];
    let times = times.map(|name| number(&report["round_trip_us"][name]));
    assert!(times[0] > 0.0 && times.is_sorted(), "{report}");

    let (code, stdout, stderr) = piped(&arguments, b"");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let stdout = String::from_utf8(stdout).unwrap();
    for text in ["connections  5, 0 failed", "of 1000 bytes in 0.", " messages/s, ", "p99.9"] {
        assert!(stdout.contains(text), "{stdout}");
    }
}

#[test]
fn what_cannot_be_measured() {
    // of documentation: nobody is there
    let (code, _, stderr) = piped(&["bench", "ws://192.0.2.1/"], b"");
    assert_eq!(code, Some(2));
    assert!(stderr.contains("is not this machine") && stderr.contains("--force"), "{stderr}");
    for arguments in [&["bench"][..], &["bench", "ws://localhost", "-c", "0"], &["bench", "-s"]] {
        let (code, ..) = piped(arguments, b"");
        assert_eq!(code, Some(2), "{arguments:?}");
    }

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, stdout, stderr) = piped(&["bench", &format!("ws://{free}/"), "-d", "0.1"], b"");
    assert_eq!(code, Some(3), "{stderr}");
    assert!(String::from_utf8(stdout).unwrap().contains("connections  0, 100 failed"));

    let url = serve(|mut ws| {
        ws.send("welcome")?;
        echo(ws)
    });
    let (code, _, stderr) = piped(&["bench", &url, "-c", "2", "-d", "60"], b"");
    assert_eq!(code, Some(4));
    assert!(stderr.contains("it is no echo"), "{stderr}");
}
