//! `Aside`: a future that is polled when it was woken itself, not whenever its task is.
//!
//! A connection's task is woken for every packet. What may end the connection is woken hardly ever, and
//! looking at it takes locks that all connections share.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

pub(super) struct Aside<F> {
    future: F,
    bell: Arc<Bell>,
    /// Of `bell`, made once.
    waker: Waker,
}

struct Bell {
    has_rung: AtomicBool,
    task: AtomicWaker,
}

impl<F: Future> Aside<F> {
    pub(super) fn new(future: F) -> Self {
        let bell = Arc::new(Bell {
            has_rung: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        Self {
            future,
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }
}

impl<F: Future + Unpin> Future for Aside<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        // Before the look, so that a bell in between wakes the task once more.
        this.bell.task.register(cx.waker());
        if !this.bell.has_rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.waker))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use tokio_util::sync::CancellationToken;

    #[tokio::test(start_paused = true)]
    async fn it_is_left_alone_while_others_are_woken_and_ends_when_it_is_woken() {
        let polls = AtomicUsize::new(0);
        let token = CancellationToken::new();
        let mut end = Box::pin(token.cancelled());
        let counted = std::future::poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            end.as_mut().poll(cx)
        });
        let busy = async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert_eq!(polls.load(Ordering::Relaxed), 1);
            token.cancel();
            std::future::pending::<()>().await;
        };
        let aside = Aside::new(counted);
        let raced = async {
            tokio::select! {
                biased;
                () = aside => {}
                () = busy => {}
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(1), raced).await;
        assert!(ended.is_ok());
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }
}
