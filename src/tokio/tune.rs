use std::io;

use tokio::net::{TcpSocket, TcpStream};

/// Sets what a WebSocket wants of a TCP socket: `TCP_NODELAY`, and on Linux that the kernel takes
/// no more than 32 KiB ahead of what it has sent (`TCP_NOTSENT_LOWAT`).
///
/// The event server and [`connect`](super::connect) do it by themselves. Without the first, a small
/// message waits for the acknowledgement of the one before. The second costs small messages
/// nothing, and one of 1 MiB a few more writes (over loopback a sixth of its processor time). Of a
/// peer that reads slowly it shows soon that it reads, and a keep-alive ping or a Close does not
/// lie behind megabytes in the kernel.
///
/// # Errors
///
/// That of the operating system, if there is no `TCP_NODELAY`.
pub fn tune(stream: &TcpStream) -> io::Result<()> {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    {
        // older than the option (Linux 3.12), or not allowed: it works without
        let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(MAX_NOT_SENT);
    }
    stream.set_nodelay(true)
}

/// Sets the same on a socket that is going to listen, before it does. Returns whether the streams
/// that it accepts have it from there: on Linux, where that saves each of them two system calls;
/// where they have not, [`tune`] each. A listener that listens already is too late: those who wait
/// in its queue would go without.
///
/// The event server does it with the listeners that it makes.
///
/// # Errors
///
/// That of the operating system, as for [`tune`].
pub fn tune_listener(socket: &TcpSocket) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::SockRef::from(socket);
        let _ = socket.set_tcp_notsent_lowat(MAX_NOT_SENT); // as in `tune`
        socket.set_tcp_nodelay(true)?;
    }
    let _ = socket;
    Ok(cfg!(target_os = "linux"))
}

/// In bytes: the kernel asks for more at half of it. As much as two TLS records, and what a reader
/// of 1 KB/s takes in half a minute.
#[cfg(any(target_os = "android", target_os = "linux"))]
const MAX_NOT_SENT: u32 = 32 * 1024;
