//! uWebSockets by its C interface, from a library that was made elsewhere: see `LIBRARY`.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ushort, c_void};
use std::io;
use std::ptr::null;

/// Names the library: the Python package `socketify` has it as `libsocketify_linux_amd64.so`. It
/// is uWebSockets 20 at `-O3` on libuv, which has to be installed.
const LIBRARY: &str = "UWEBSOCKETS";

const NO_COMPRESSION: c_int = 0;
/// With takeover where the client allows it, in the largest window.
const COMPRESSION: c_int = (15 << 4 | 8) | 15 << 8;

/// Where the clients of a broadcast are.
const TOPIC: &[u8] = b"all";

pub fn plain() -> io::Result<()> {
    serve(NO_COMPRESSION, echo::<false>)
}

pub fn deflate() -> io::Result<()> {
    serve(COMPRESSION, echo::<true>)
}

pub fn broadcast() -> io::Result<()> {
    serve(NO_COMPRESSION, publish)
}

/// What the callbacks need.
struct Api {
    app: *mut c_void,
    send: extern "C" fn(c_int, *mut c_void, *const c_char, usize, c_int, bool, bool) -> c_int,
    subscribe: extern "C" fn(c_int, *mut c_void, *const u8, usize) -> bool,
    publish: Publish,
    local_port: extern "C" fn(c_int, *mut c_void) -> c_int,
}

type Publish =
    extern "C" fn(c_int, *mut c_void, *const u8, usize, *const c_char, usize, c_int, bool) -> bool;
type Handler = extern "C" fn(*mut c_void, *const Api);
type OnMessage = extern "C" fn(*mut c_void, *const c_char, usize, c_int, *const Api);
type OnListen = extern "C" fn(*mut c_void, ListenConfig, *const Api);

/// `uws_socket_behavior_t`
#[repr(C)]
struct Behavior {
    compression: c_int,
    max_payload_length: c_uint,
    idle_timeout: c_ushort,
    max_backpressure: c_uint,
    close_on_backpressure_limit: bool,
    reset_idle_timeout_on_send: bool,
    send_pings_automatically: bool,
    max_lifetime: c_ushort,
    upgrade: *const c_void,
    open: Handler,
    message: OnMessage,
    drain: *const c_void,
    ping: *const c_void,
    pong: *const c_void,
    close: extern "C" fn(*mut c_void, c_int, *const c_char, usize, *const Api),
    subscription: *const c_void,
}

/// `us_socket_context_options_t`
#[repr(C)]
struct ContextOptions {
    files: [*const c_char; 6],
    prefer_low_memory: c_int,
}

/// `uws_app_listen_config_t`
#[repr(C)]
struct ListenConfig {
    port: c_int,
    host: *const c_char,
    options: c_int,
}

fn serve(compression: c_int, message: OnMessage) -> io::Result<()> {
    let library = Library::open()?;
    // SAFETY: the types are those of the library's header; `api` lives as long as the loop runs
    unsafe {
        let create: extern "C" fn(c_int, ContextOptions) -> *mut c_void =
            library.get(c"uws_create_app")?;
        let ws: extern "C" fn(c_int, *mut c_void, *const c_char, Behavior, *const Api) =
            library.get(c"uws_ws")?;
        let listen: extern "C" fn(c_int, *mut c_void, ListenConfig, OnListen, *const Api) =
            library.get(c"uws_app_listen_with_config")?;
        let run: extern "C" fn(c_int, *mut c_void) = library.get(c"uws_app_run")?;

        let app = create(0, ContextOptions { files: [null(); 6], prefer_low_memory: 0 });
        let api = Api {
            app,
            send: library.get(c"uws_ws_send_with_options")?,
            subscribe: library.get(c"uws_ws_subscribe")?,
            publish: library.get(c"uws_publish")?,
            local_port: library.get(c"us_socket_local_port")?,
        };
        let behavior = Behavior {
            compression,
            max_payload_length: 16 << 20,
            idle_timeout: 120,
            max_backpressure: 64 << 20,
            close_on_backpressure_limit: false,
            reset_idle_timeout_on_send: false,
            send_pings_automatically: true,
            max_lifetime: 0,
            upgrade: null(),
            open,
            message,
            drain: null(),
            ping: null(),
            pong: null(),
            close,
            subscription: null(),
        };
        ws(0, app, c"/*".as_ptr(), behavior, &raw const api);
        let config = ListenConfig { port: 0, host: c"127.0.0.1".as_ptr(), options: 0 };
        listen(0, app, config, on_listen, &raw const api);
        run(0, app);
    }
    Err(io::Error::other("the loop ended"))
}

extern "C" fn on_listen(socket: *mut c_void, _: ListenConfig, api: *const Api) {
    // SAFETY: what was given to the library in `serve`
    let api = unsafe { &*api };
    let port = (!socket.is_null()).then(|| (api.local_port)(0, socket));
    let port = port.and_then(|port| u16::try_from(port).ok());
    let announced = port.map(|port| super::announce(([127, 0, 0, 1], port).into()));
    if !matches!(announced, Some(Ok(()))) {
        std::process::exit(1);
    }
}

extern "C" fn open(ws: *mut c_void, api: *const Api) {
    // SAFETY: what was given to the library in `serve`
    let api = unsafe { &*api };
    (api.subscribe)(0, ws, TOPIC.as_ptr(), TOPIC.len());
}

extern "C" fn echo<const COMPRESS: bool>(
    ws: *mut c_void,
    message: *const c_char,
    len: usize,
    opcode: c_int,
    api: *const Api,
) {
    // SAFETY: what was given to the library in `serve`
    let api = unsafe { &*api };
    (api.send)(0, ws, message, len, opcode, COMPRESS, true);
}

extern "C" fn publish(
    _: *mut c_void,
    message: *const c_char,
    len: usize,
    opcode: c_int,
    api: *const Api,
) {
    // SAFETY: what was given to the library in `serve`
    let api = unsafe { &*api };
    (api.publish)(0, api.app, TOPIC.as_ptr(), TOPIC.len(), message, len, opcode, false);
}

extern "C" fn close(_: *mut c_void, _: c_int, _: *const c_char, _: usize, _: *const Api) {}

/// A library that stays loaded.
struct Library(*mut c_void);

impl Library {
    fn open() -> io::Result<Self> {
        let path = std::env::var(LIBRARY).map_err(|_| missing())?;
        let path = CString::new(path)?;
        // SAFETY: a library without requirements on when it is loaded
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        if handle.is_null() { Err(missing()) } else { Ok(Self(handle)) }
    }

    /// # Safety
    ///
    /// `F` is the type of the function with this name.
    unsafe fn get<F: Copy>(&self, name: &CStr) -> io::Result<F> {
        assert_eq!(size_of::<F>(), size_of::<*mut c_void>());
        // SAFETY: the library is open
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        if address.is_null() {
            return Err(missing());
        }
        // SAFETY: as the caller promised
        Ok(unsafe { std::mem::transmute_copy(&address) })
    }
}

fn missing() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{LIBRARY} does not name the library"))
}
