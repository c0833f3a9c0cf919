//! What other engines of compression cost, and what they leave of a text: JSON texts of 1 KiB, each
//! compressed on its own, as a server without context takeover sends them (RFC 7692 §7.2.1).

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use libdeflater::{CompressionLvl, Compressor};
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use crate::compression::TEXTS;
use crate::report::{Cell, Grid, median};
use crate::sys;
use crate::texts::text;

const LEN: usize = 1024;
const ROUNDS: usize = 9;

/// Processor time of a turn, at least; all texts are compressed in one.
const SLICE: Duration = Duration::from_millis(10);

/// Puts the payload of a message into an empty buffer.
type Message = Box<dyn FnMut(&[u8], &mut Vec<u8>)>;

struct Engine {
    name: &'static str,
    levels: &'static [u8],
    make: fn(u8) -> Message,
}

/// Each with its state kept from message to message, and reset. `zlib-rs` is what `sansws` uses,
/// the C library what node and python do, `miniz_oxide` is `flate2` with its defaults.
const ENGINES: [Engine; 4] = [
    Engine { name: "zlib-rs", levels: &[1, 2, 3, 4, 5, 6, 9], make: zlib_rs },
    Engine { name: "zlib in C", levels: &[1, 2, 3, 4, 5, 6, 9], make: zlib },
    Engine { name: "libdeflate", levels: &[1, 2, 3, 4, 5, 6, 9, 12], make: libdeflate },
    Engine { name: "miniz_oxide", levels: &[1, 2, 3, 6, 9], make: miniz_oxide },
];

/// What zlib's flush ends with, and RFC 7692 leaves out.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Bytes and microseconds for each engine and level.
pub fn measure(cpu: usize) -> io::Result<Grid> {
    sys::bind_thread(cpu);
    let texts: Vec<_> = (0..TEXTS).map(|at| text(at, LEN).into_bytes()).collect();
    let mut rows = Vec::new();
    for engine in &ENGINES {
        for &level in engine.levels {
            let mut message = (engine.make)(level);
            let bytes = bytes(&texts, &mut message)?;
            rows.push((format!("{}, level {level}", engine.name), bytes, message, Vec::new()));
        }
    }
    for _ in 0..ROUNDS {
        for (_, _, message, figures) in &mut rows {
            figures.push(micros(&texts, message)?);
        }
    }
    let cells = |bytes, figures: &[f64]| vec![Cell::new(bytes, 0), Cell::number(median(figures))];
    Ok(Grid {
        title: "JSON texts of 1 KiB, each compressed on its own".into(),
        columns: vec!["bytes".into(), "µs".into()],
        rows: rows.iter().map(|it| (it.0.clone(), cells(it.1, &it.3))).collect(),
    })
}

/// The bytes of a message on average. Each is what a receiver makes the text of.
fn bytes(texts: &[Vec<u8>], message: &mut Message) -> io::Result<f64> {
    let mut bytes = 0;
    for text in texts {
        let mut out = Vec::new();
        message(text, &mut out);
        bytes += out.len();
        out.extend(TAIL);
        let mut back = Vec::with_capacity(text.len() + 1);
        let mut decompress = Decompress::new(false);
        decompress.decompress_vec(&out, &mut back, FlushDecompress::Sync)?;
        if back != *text {
            return Err(io::Error::other("an engine has lost something"));
        }
    }
    Ok(bytes as f64 / texts.len() as f64)
}

/// Microseconds of processor time for each message.
fn micros(texts: &[Vec<u8>], message: &mut Message) -> io::Result<f64> {
    let mut out = Vec::with_capacity(2 * LEN);
    let start = sys::cpu_time(std::process::id())?;
    let mut count = 0;
    loop {
        for text in texts {
            out.clear();
            message(text, &mut out);
        }
        count += texts.len();
        let took = sys::cpu_time(std::process::id())? - start;
        if took >= SLICE {
            return Ok(took.as_secs_f64() * 1e6 / count as f64);
        }
    }
}

fn zlib_rs(level: u8) -> Message {
    let config = DeflateConfig { window_bits: -15, ..DeflateConfig::new(level.into()) };
    let mut engine = Deflate::new_with_config(config);
    Box::new(move |text, out| {
        engine.reset();
        out.resize(2 * LEN, 0);
        let done = engine.compress(text, out, DeflateFlush::SyncFlush);
        out.truncate(engine.total_out() as usize);
        assert!(done.is_ok(), "there is room");
        strip(out);
    })
}

fn miniz_oxide(level: u8) -> Message {
    let mut engine = Compress::new(Compression::new(level.into()), false);
    Box::new(move |text, out| {
        engine.reset();
        out.reserve(2 * LEN);
        let done = engine.compress_vec(text, out, FlushCompress::Sync);
        assert!(done.is_ok(), "there is room");
        strip(out);
    })
}

/// One message is one stream for this engine, which knows no flush: its last block says that it is
/// the last, and so a byte without one follows (RFC 7692 §7.2.3.4).
fn libdeflate(level: u8) -> Message {
    let level = CompressionLvl::new(level.into()).expect("a level that it has");
    let mut engine = Compressor::new(level);
    Box::new(move |text, out| {
        out.resize(2 * LEN, 0);
        let len = engine.deflate_compress(text, out).expect("there is room");
        out.truncate(len);
        out.push(0);
    })
}

fn zlib(level: u8) -> Message {
    let mut engine = Zlib::new(level);
    Box::new(move |text, out| {
        engine.message(text, out);
        strip(out);
    })
}

/// The library in C, with the settings of node `ws` and python `websockets`. It stays where it is:
/// what it has allocated refers to it. Behind a pointer throughout, as its allocator is null until
/// the library has put its own there.
struct Zlib(Box<MaybeUninit<libz_sys::z_stream>>);

impl Zlib {
    fn new(level: u8) -> Self {
        const MEM_LEVEL: i32 = 8;
        let mut stream = Box::new(MaybeUninit::zeroed());
        // SAFETY: zeros are what the call asks for, and the version and the size are those of the
        // library that this is linked with.
        let result = unsafe {
            libz_sys::deflateInit2_(
                stream.as_mut_ptr(),
                level.into(),
                libz_sys::Z_DEFLATED,
                -15,
                MEM_LEVEL,
                libz_sys::Z_DEFAULT_STRATEGY,
                libz_sys::zlibVersion(),
                size_of::<libz_sys::z_stream>() as i32,
            )
        };
        assert_eq!(result, libz_sys::Z_OK, "there is memory");
        Self(stream)
    }

    fn message(&mut self, text: &[u8], out: &mut Vec<u8>) {
        out.resize(2 * LEN, 0);
        let stream = self.0.as_mut_ptr();
        // SAFETY: the stream was set up by `new`, and both buffers outlive the call, which writes
        // no more than it is told.
        unsafe {
            libz_sys::deflateReset(stream);
            (*stream).next_in = text.as_ptr().cast_mut();
            (*stream).avail_in = text.len() as u32;
            (*stream).next_out = out.as_mut_ptr();
            (*stream).avail_out = out.len() as u32;
            let result = libz_sys::deflate(stream, libz_sys::Z_SYNC_FLUSH);
            assert_eq!(result, libz_sys::Z_OK, "there is room");
            out.truncate((*stream).total_out as usize);
        }
    }
}

impl Drop for Zlib {
    fn drop(&mut self) {
        // SAFETY: `new` has set it up, and nobody uses it any more.
        unsafe { libz_sys::deflateEnd(self.0.as_mut_ptr()) };
    }
}

fn strip(out: &mut Vec<u8>) {
    assert!(out.ends_with(&TAIL), "what a flush ends with");
    out.truncate(out.len() - TAIL.len());
}
