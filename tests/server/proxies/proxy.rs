//! A proxy of its own for each test: nginx or haproxy, with the configuration that the
//! documentation gives.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use sansws_test::process::{Process, START, skip};

use crate::support::free_addr;

pub const DOCUMENTATION: &str = include_str!("../../../src/guide/proxies.md");

/// What listens there: the proxy, and the server behind it.
const NGINX_LISTENS: &str = "listen 80;";
const HAPROXY_LISTENS: &str = "bind :80";
const UPSTREAM: &str = "127.0.0.1:8181";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Haproxy,
}

impl Kind {
    /// The configuration in the documentation.
    pub fn documented(self) -> Snippet {
        let fence = match self {
            Self::Nginx => "```nginx\n",
            Self::Haproxy => "```haproxy\n",
        };
        let (_, rest) = DOCUMENTATION.split_once(fence).expect("a configuration");
        let (text, _) = rest.split_once("```").expect("its end");
        Snippet { kind: self, text: text.to_owned() }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    /// The program, if it is installed. Debian puts it where only root's path leads.
    fn program(self) -> Option<PathBuf> {
        let candidates = [PathBuf::from(self.name()), Path::new("/usr/sbin").join(self.name())];
        candidates.into_iter().find(|program| {
            let mut probe = Command::new(program);
            probe.arg("-v").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            probe.status().is_ok_and(|status| status.success())
        })
    }
}

/// A configuration, to be changed where a test needs it.
#[derive(Clone)]
pub struct Snippet {
    kind: Kind,
    text: String,
}

impl Snippet {
    /// Any other configuration of nginx, from `location` on: what stands in books.
    pub fn nginx_location(location: &str) -> Self {
        let text = format!("server {{\n{NGINX_LISTENS}\nlocation / {{\n{location}\n}}\n}}\n");
        Self { kind: Kind::Nginx, text }
    }

    /// Replaces a text that stands there once.
    pub fn replace(mut self, old: &str, new: &str) -> Self {
        assert_eq!(self.text.matches(old).count(), 1, "{old:?} in\n{}", self.text);
        self.text = self.text.replace(old, new);
        self
    }

    /// Takes out the one line that holds this.
    pub fn without(mut self, part: &str) -> Self {
        let (out, kept): (Vec<_>, Vec<_>) = self.text.lines().partition(|line| line.contains(part));
        assert_eq!(out.len(), 1, "{part:?} in\n{}", self.text);
        self.text = kept.join("\n");
        self
    }

    /// How long the proxy lets a tunnel idle, instead of what the documentation says.
    pub fn idle(self, time: Duration) -> Self {
        let ms = time.as_millis();
        match self.kind {
            Kind::Nginx => {
                self.replace("proxy_read_timeout 60s;", &format!("proxy_read_timeout {ms}ms;"))
            }
            Kind::Haproxy => self.replace("timeout tunnel 60s", &format!("timeout tunnel {ms}ms")),
        }
    }

    /// Everything that a file of it needs.
    fn complete(&self, addr: SocketAddr, upstream: SocketAddr, directory: &str) -> String {
        assert!(self.text.contains(UPSTREAM), "{UPSTREAM} in\n{}", self.text);
        let here = self.clone();
        match self.kind {
            Kind::Nginx => {
                let text = here.replace(NGINX_LISTENS, &format!("listen {addr};")).text;
                let text = text.replace(UPSTREAM, &upstream.to_string());
                let temp_paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .iter()
                    .map(|of| format!("{of}_temp_path \"{directory}/{of}\";\n"))
                    .collect();
                format!(
                    "daemon off;\nmaster_process off;\npid \"{directory}/pid\";\n\
                     error_log stderr;\nevents {{ worker_connections 1024; }}\n\
                     http {{\naccess_log off;\n{temp_paths}{text}}}\n"
                )
            }
            Kind::Haproxy => {
                let text = here.replace(HAPROXY_LISTENS, &format!("bind {addr}")).text;
                text.replace(UPSTREAM, &upstream.to_string()) + "\n"
            }
        }
    }

    /// Starts the proxy before a server; `None` after a word about it if it is not installed and
    /// need not be.
    pub fn start(self, upstream: SocketAddr) -> Option<Proxy> {
        let Some(program) = self.kind.program() else {
            let test = thread::current().name().unwrap_or("a test behind a proxy").to_owned();
            let name = self.kind.name();
            skip(
                &test,
                &format!("{name} does not start; install it (Debian: apt-get install {name})"),
            );
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory =
            sansws_test::target_dir!().join(format!("proxies/{}-{number}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        let addr = free_addr();
        let text = self.complete(addr, upstream, directory.to_str().unwrap());
        let config = directory.join("config");
        fs::write(&config, text).unwrap();
        let mut proxy = Proxy { kind: self.kind, program, addr, process: None, directory };
        proxy.start();
        Some(proxy)
    }
}

/// A proxy that runs; stopped when it is dropped.
pub struct Proxy {
    kind: Kind,
    program: PathBuf,
    pub addr: SocketAddr,
    process: Option<Process>,
    directory: PathBuf,
}

impl Proxy {
    /// Starts it, or starts it again.
    pub fn start(&mut self) {
        let mut command = Command::new(&self.program);
        let config = self.directory.join("config");
        match self.kind {
            Kind::Nginx => {
                // the log file is opened before the configuration is read
                command.args(["-e", "stderr", "-p"]).arg(&self.directory).arg("-c").arg(config)
            }
            Kind::Haproxy => command.args(["-db", "-f"]).arg(config),
        };
        let mut process = Process::spawn(&mut command);
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.addr).is_err() {
            assert!(process.is_running(), "{} does not run on {}", self.kind.name(), self.addr);
            assert!(Instant::now() < deadline, "{} does not listen", self.kind.name());
            thread::sleep(Duration::from_millis(5));
        }
        self.process = Some(process);
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Ends it as a service is ended. (Not by an interrupt: haproxy pays no heed to that where the
    /// shell that started the tests has told its children not to.)
    pub fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        process.terminate();
        process.finish(Duration::from_secs(10));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.process = None;
        let _ = fs::remove_dir_all(&self.directory);
    }
}

static NUMBER: AtomicU16 = AtomicU16::new(0);
