//! A broker of its own for each test: Redis or NATS on free ports.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sansws::server::backplane::{Backplane, ConnectError};
use sansws_test::certificates::Leaf;
use sansws_test::process::{Process, START, skip};

use crate::support::free_addr;

/// What there is a test of.
pub trait Kind: Sized + 'static {
    type Engine: Backplane;

    const NAME: &'static str;

    /// Its name in messages.
    #[allow(dead_code)] // only tests of TLS need it
    const TITLE: &'static str;

    /// The program.
    fn program() -> Command;

    /// Gives it what it needs to listen on a port of its own, and on one for those who look after
    /// it.
    fn set_up(broker: &Broker<Self>, command: &mut Command);

    async fn connect(url: &str) -> Result<Self::Engine, ConnectError>;

    fn max_queued(engine: Self::Engine, bytes: usize) -> Self::Engine;

    /// The subjects of rooms that anybody has subscribed to, by what the broker says.
    fn rooms(broker: &Broker<Self>) -> Vec<String>;

    /// How many connections there are to the broker.
    fn connections(broker: &Broker<Self>) -> usize;

    /// Commands by which a text is published to a subject.
    fn publishers(broker: &Broker<Self>, subject: &str, text: &str) -> Vec<Command>;
}

pub struct Broker<K> {
    pub addr: SocketAddr,
    #[cfg_attr(not(feature = "nats"), allow(dead_code))] // Redis has one port for everything
    pub admin: SocketAddr,
    pub password: Option<&'static str>,
    pub tls: Option<Tls>,
    /// Where it keeps what is to last.
    pub data: Option<PathBuf>,
    process: Option<Process>,
    kind: std::marker::PhantomData<K>,
}

/// The certificates of a broker.
pub struct Tls {
    /// Its own.
    pub certificate: Leaf,
    /// Those of the authority that has to have signed the ones of clients.
    pub clients: Option<PathBuf>,
}

/// No test takes that long.
const LIFETIME: Duration = Duration::from_secs(300);

impl<K: Kind> Broker<K> {
    /// Starts one; `None` after a word about it if it is not installed and need not be.
    pub fn start(password: Option<&'static str>) -> Option<Self> {
        Self::start_at(password, None, None)
    }

    /// Starts one that keeps what it has in files.
    pub fn start_lasting() -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (name, number) = (K::NAME, NEXT.fetch_add(1, Ordering::Relaxed));
        let name = format!("sansws-{name}-{}-{number}", std::process::id());
        let data = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&data).unwrap();
        Self::start_at(None, None, Some(data))
    }

    /// Starts one that speaks nothing but TLS.
    #[allow(dead_code)] // Redis without `rustls` has none
    pub fn start_tls(password: &'static str, tls: Tls) -> Option<Self> {
        Self::start_at(Some(password), Some(tls), None)
    }

    fn start_at(
        password: Option<&'static str>,
        tls: Option<Tls>,
        data: Option<PathBuf>,
    ) -> Option<Self> {
        let (addr, admin, kind) = (free_addr(), free_addr(), std::marker::PhantomData);
        let mut this = Self { addr, admin, password, tls, data, process: None, kind };
        if K::program().arg("--version").output().is_err() {
            let test = thread::current().name().unwrap_or("a test of a broker").to_owned();
            let name = K::NAME;
            skip(&test, &format!("install {name}-server (Debian: apt-get install {name}-server)"));
            return None;
        }
        this.restart();
        Some(this)
    }

    /// Starts it again at the same address.
    pub fn restart(&mut self) {
        self.process = None;
        let mut command = K::program();
        K::set_up(self, &mut command);
        let mut process = Process::spawn_for(LIFETIME, &mut command);
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.addr).is_err() {
            assert!(process.is_running(), "{} does not run on {}", K::NAME, self.addr);
            assert!(Instant::now() < deadline, "{} does not listen", K::NAME);
            thread::sleep(Duration::from_millis(5));
        }
        self.process = Some(process);
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Deletes what one that was killed has kept.
    pub fn forget(&self) {
        let data = self.data.as_ref().unwrap();
        std::fs::remove_dir_all(data).unwrap();
        std::fs::create_dir_all(data).unwrap();
    }

    pub fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    pub fn url(&self) -> String {
        let scheme = K::NAME;
        let login = self.password.map_or(String::new(), |it| format!("somebody:{it}@"));
        format!("{scheme}://{login}{}", self.addr)
    }

    pub async fn engine(&self) -> K::Engine {
        K::connect(&self.url()).await.unwrap()
    }

    /// A program of python with the port and these arguments.
    pub fn python(&self, script: &str, arguments: &[&str]) -> Command {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/backplane");
        let mut command = Command::new("python3");
        command.arg(directory.join(script)).arg(self.addr.port().to_string()).args(arguments);
        command
    }
}

impl<K> Drop for Broker<K> {
    fn drop(&mut self) {
        self.process = None;
        if let Some(data) = &self.data {
            let _ = std::fs::remove_dir_all(data);
        }
    }
}

/// What a program answers to this until it closes.
pub fn ask(addr: SocketAddr, question: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(START)).unwrap();
    stream.write_all(question.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
