#![forbid(unsafe_code)]

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

/// The work of a task, in a box that is gone before the next one begins: a connection goes on in
/// the task of its handshake, and holds no memory of that.
///
/// A task of its own for the connection would be one more to make, to schedule and to end.
pub(crate) struct Step(Pin<Box<dyn Future<Output = Option<Self>> + Send>>);

impl Step {
    pub(crate) fn new(work: impl Future<Output = Option<Self>> + Send + 'static) -> Self {
        Self(Box::pin(work))
    }
}

impl Future for Step {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(next) = ready!(self.0.as_mut().poll(cx)) {
            *self = next;
        }
        Poll::Ready(())
    }
}
