//! Proves that the core of `sansws` needs an allocator and nothing else.
//!
//! This program defines what std would define: the global allocator and the panic handler. The
//! second is why it proves something: if any crate below linked std, there would be two panic
//! handlers, and it would not compile. It does a handshake and an echo in memory and exits with 0.
#![no_std]
#![no_main]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int, c_void};
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::handshake::{client, server};
use sansws::proto::Connection;
use sansws::{Config, Event};

/// What the start files of C call.
#[cfg_attr(not(target_family = "wasm"), unsafe(no_mangle))]
#[cfg_attr(target_family = "wasm", unsafe(export_name = "__main_argc_argv"))]
pub extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    let config = Config::new();
    let mut client = End::new();
    let mut server = End::new();
    let (mut client_conn, mut server_conn) = handshake(&config, &mut client, &mut server);
    echo(&mut client_conn, &mut server_conn, &mut client, &mut server);
    print(b"handshake and echo without std: ok\n");
    0
}

/// The two buffers of one end.
struct End {
    rx: RecvBuffer,
    tx: SendBuffer,
}

impl End {
    fn new() -> Self {
        Self { rx: RecvBuffer::new(), tx: SendBuffer::new() }
    }

    /// The network: everything that was sent arrives.
    fn deliver(&mut self, to: &mut Self) {
        while let Some(chunk) = self.tx.take_chunk() {
            to.rx.extend_from_slice(&chunk);
        }
    }
}

fn handshake(config: &Config, client: &mut End, server: &mut End) -> (Connection, Connection) {
    let request = client::Request::new("ws://example.com/chat").unwrap();
    let mut asking = client::Handshake::start(&request, [7; 16], config, &mut client.tx).unwrap();
    client.deliver(server);

    let mut answering = server::Handshake::new(config);
    let request = answering.read_request(&mut server.rx, &mut server.tx).unwrap().unwrap();
    assert_eq!(request.path(), "/chat");
    let accept = server::Accept::default();
    let server_conn = request.accept(&accept, config, &mut server.tx).unwrap();
    server.deliver(client);

    let Some(client::Response::Accepted(accepted)) = asking.read_response(&mut client.rx).unwrap()
    else {
        panic!("the handshake did not succeed")
    };
    (accepted.into_connection([9; 32]), server_conn)
}

fn echo(
    client_conn: &mut Connection,
    server_conn: &mut Connection,
    client: &mut End,
    server: &mut End,
) {
    client_conn.feed(&mut client.tx, "κόσμε").unwrap();
    client.deliver(server);

    let event = server_conn.poll_event(&mut server.rx, &mut server.tx).unwrap().unwrap();
    let message = event.as_message_ref().expect("a message");
    server_conn.feed(&mut server.tx, message).unwrap();
    server.deliver(client);

    match client_conn.poll_event(&mut client.rx, &mut client.tx).unwrap() {
        Some(Event::Text(text)) => assert_eq!(text.as_str(), "κόσμε"),
        other => panic!("{other:?} instead of the echo"),
    }
}

/// Hands out a fixed piece of memory once and takes nothing back.
struct Bump {
    memory: UnsafeCell<[u8; Self::SIZE]>,
    used: AtomicUsize,
}

impl Bump {
    const SIZE: usize = 1024 * 1024;
}

// SAFETY: `alloc` hands out every byte of `memory` at most once, as `used` only grows.
unsafe impl Sync for Bump {}

// SAFETY: the blocks do not overlap, are aligned, and live as long as the program.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.memory.get().cast::<u8>();
        let take = |used: usize| {
            let address =
                start.addr().checked_add(used)?.checked_next_multiple_of(layout.align())?;
            let end = (address - start.addr()).checked_add(layout.size())?;
            (end <= Self::SIZE).then_some(end)
        };
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            // SAFETY: `take` has found room for the block between the old and the new end.
            Ok(used) => unsafe { start.add(take(used).unwrap_or(used) - layout.size()) },
            Err(_) => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump =
    Bump { memory: UnsafeCell::new([0; Bump::SIZE]), used: AtomicUsize::new(0) };

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    print(b"panicked\n");
    // SAFETY: `abort` takes nothing and does not return.
    unsafe { abort() }
}

// The `alloc` that comes with the compiler was built to unwind, and without optimisation it still
// names these two. Nothing calls them: this program aborts instead.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    panic!("unwinding")
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    panic!("unwinding")
}

fn print(text: &[u8]) {
    // SAFETY: the pointer and the length are those of a slice.
    let _ = unsafe { write(1, text.as_ptr().cast(), text.len()) };
}

#[link(name = "c")]
unsafe extern "C" {
    fn write(file: c_int, bytes: *const c_void, length: usize) -> isize;
    fn abort() -> !;
}
