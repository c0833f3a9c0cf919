//! The example that is restarted: while one process takes the place of another, clients come all
//! the time, and each of them is served.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sansws::tokio::connect;
use sansws::{CloseCode, Message};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use sansws_test::process::{Process, Server, example, skip};
use sansws_test::within;

/// The new process listens as well, before the old one stops (`SO_REUSEPORT`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_after_the_other_on_a_port() {
    let mut old = Server::start("service", &[]);
    let crowd = Crowd::start(&old);
    let mut guest = within(connect(&old.url("/"))).await.unwrap();
    for _ in 0..3 {
        let new = Server::start_at(&old.addr, "service", &[]);
        crowd.goes_on().await;
        old.process.terminate();
        while within(guest.recv()).await.unwrap().is_some() {}
        assert_eq!(guest.close_info().unwrap().code, 1012);
        ends_well(&mut old);
        // who was told so comes back, and nobody else is there
        guest = within(connect(&new.url("/"))).await.unwrap();
        assert_eq!(hello(guest.recv().await.unwrap()), format!("this is process {}", id(&new)));
        crowd.goes_on().await;
        old = new;
    }
    crowd.leaves().await;
    old.process.interrupt();
    ends_well(&mut old);
}

/// Somebody else has the socket and passes it on as number 3: the old process ends before the new
/// one starts, and who comes in between waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_stays() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = || {
        let socket = OwnedFd::from(listener.try_clone().unwrap());
        let mut shell = Command::new("sh");
        // as systemd does: sd_listen_fds(3)
        let script = "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" 3<&0 </dev/null";
        shell.args(["-c", script]).arg(example("service"));
        Server::listening("service", Process::spawn_on(socket, &mut shell))
    };
    let mut old = start();
    assert_eq!(old.addr, listener.local_addr().unwrap().to_string());
    let crowd = Crowd::start(&old);
    for _ in 0..3 {
        crowd.goes_on().await;
        old.process.terminate();
        ends_well(&mut old);
        sleep(Duration::from_millis(100)).await; // some come meanwhile
        old = start();
    }
    crowd.goes_on().await;
    crowd.leaves().await;
    old.process.terminate();
    ends_well(&mut old);
}

/// The same by what systemd has for trying it out.
#[tokio::test]
async fn systemd_passes_its_socket_on() {
    const PROGRAM: &str = "systemd-socket-activate";
    let addr = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().to_string()
    };
    if Command::new(PROGRAM).arg("--version").output().is_err() {
        return skip("systemd_passes_its_socket_on", "there is no systemd-socket-activate");
    }
    let mut command = Command::new(PROGRAM);
    command.args(["-l", &addr]).arg(example("service")).arg("127.0.0.1:1"); // is not taken
    let mut activator = Process::spawn(&mut command);
    activator
        .stderr_line(Duration::from_secs(20), |line| line.starts_with("Listening").then_some(()));
    // this starts the program, and is its first client
    let mut ws = within(connect(&format!("ws://{addr}/"))).await.unwrap();
    let mut server = Server::listening("service", activator);
    assert_eq!(server.addr, addr);
    assert_eq!(hello(ws.recv().await.unwrap()), format!("this is process {}", id(&server)));
    server.process.terminate();
    while within(ws.recv()).await.unwrap().is_some() {}
    assert_eq!(ws.close_info().unwrap().code, 1012);
    ends_well(&mut server);
}

/// Clients that connect, hear which process it is, and leave, again and again.
struct Crowd {
    served: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn start(server: &Server) -> Self {
        let served = Arc::new(AtomicUsize::new(0));
        let client = |_| {
            let (url, served) = (server.url("/"), Arc::clone(&served));
            tokio::spawn(async move {
                loop {
                    // a failure is the end of the test
                    let mut ws = within(connect(&url)).await.unwrap();
                    // closed before anything was said, if the process was just ending
                    if let Some(message) = within(ws.recv()).await.unwrap() {
                        assert!(hello(Some(message)).starts_with("this is process "));
                    }
                    let _ = ws.close(CloseCode::NORMAL, "").await;
                    while let Ok(Some(_)) = within(ws.recv()).await {}
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        Self { clients: (0..4).map(client).collect(), served }
    }

    /// Waits until some more have been served.
    async fn goes_on(&self) {
        let before = self.served.load(Ordering::Relaxed);
        within(async {
            while self.served.load(Ordering::Relaxed) < before + 40 {
                assert!(self.clients.iter().all(|it| !it.is_finished()), "a client has failed");
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    async fn leaves(self) {
        for client in self.clients {
            client.abort();
            assert!(within(client).await.unwrap_err().is_cancelled());
        }
    }
}

fn hello(message: Option<Message>) -> String {
    match message {
        Some(Message::Text(text)) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

fn id(server: &Server) -> u32 {
    server.process.id()
}

fn ends_well(server: &mut Server) {
    let finished = server.process.finish(Duration::from_secs(20));
    assert!(finished.status.success(), "{finished:?}");
}
