//! A device that does not exist: a byte at a time through a register, a clock in another. It is
//! there to be linked, so that the size of the program can be looked at.

use core::alloc::{GlobalAlloc, Layout};
use core::convert::Infallible;
use core::future::{Future, poll_fn};
use core::hint::spin_loop;
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::Poll;
use core::time::Duration;

use embassy_futures::block_on;
use embedded_io_async::{ErrorType, Read, Write};
use sansws_embedded::{Clock, echo, small_config};

/// What the processor runs first.
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    loop {
        let _ = block_on(echo(&mut Device, &mut Device, &Device, &small_config()));
    }
}

const RECEIVED: *mut u32 = 0x4000_0000 as *mut u32;
const SENT: *mut u32 = 0x4000_0004 as *mut u32;
const MILLISECONDS: *mut u32 = 0x4000_0008 as *mut u32;

struct Device;

impl ErrorType for Device {
    type Error = Infallible;
}

impl Read for Device {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        // SAFETY: a register of the device.
        buf[0] = unsafe { RECEIVED.read_volatile() } as u8;
        Ok(1)
    }
}

impl Write for Device {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        // SAFETY: a register of the device.
        unsafe { SENT.write_volatile(u32::from(buf[0])) };
        Ok(1)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Clock for Device {
    fn now(&self) -> Duration {
        // SAFETY: a register of the device.
        Duration::from_millis(u64::from(unsafe { MILLISECONDS.read_volatile() }))
    }

    fn sleep_until(&self, time: Duration) -> impl Future<Output = ()> {
        poll_fn(move |cx| {
            if self.now() >= time {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }
}

/// Hands out memory once and takes nothing back: use the crate `embedded-alloc` in earnest.
struct Bump(AtomicUsize);

const HEAP: usize = 0x2000_0000;
const HEAP_END: usize = HEAP + 128 * 1024;

// SAFETY: the blocks do not overlap, are aligned, and lie in memory that nothing else uses.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.0.load(Ordering::Relaxed).next_multiple_of(layout.align());
        if start + layout.size() > HEAP_END {
            return ptr::null_mut();
        }
        self.0.store(start + layout.size(), Ordering::Relaxed);
        start as *mut u8
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump(AtomicUsize::new(HEAP));

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    loop {
        spin_loop();
    }
}
