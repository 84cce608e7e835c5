//! `Gather`: small writes are put together until somebody flushes, so that the head and the body of an
//! answer leave in one record and one packet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What does not fit is not held back.
const HELD_BYTES: usize = 4 << 10;

/// Of most heads, with a small body: one allocation is enough for both.
const HEAD_BYTES: usize = 1 << 10;

/// A stream that holds back small writes, once it is told to.
#[derive(Debug)]
pub(super) struct Gather<T> {
    inner: T,
    is_on: bool,
    /// Empty, and without memory, between two answers.
    held: Vec<u8>,
    written: usize,
    /// Somebody came to read with something still held back.
    is_awaited: bool,
}

impl<T> Gather<T> {
    pub(super) fn new(inner: T) -> Self {
        Self {
            inner,
            is_on: false,
            held: Vec::new(),
            written: 0,
            is_awaited: false,
        }
    }

    pub(super) fn turn_on(&mut self) {
        self.is_on = true;
    }

    pub(super) fn inner(&self) -> &T {
        &self.inner
    }
}

impl<T: AsyncWrite + Unpin> Gather<T> {
    /// Whatever was held back is on its way.
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.held.get(self.written..) {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        self.held = Vec::new();
        self.written = 0;
        self.is_awaited = false;
        Poll::Ready(Ok(()))
    }

    /// The server wants to read. What is held back then is the beginning of an answer whose rest is
    /// slow, unless that comes in this very turn of the task: so it leaves with the next one.
    fn release_awaited(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.is_awaited, true) {
            cx.waker().wake_by_ref();
            return Ok(());
        }
        match self.poll_release(cx)? {
            Poll::Ready(()) => self.poll_flush_inner(cx),
            Poll::Pending => Ok(()),
        }
    }

    /// TLS holds back as well; what it cannot send now goes with the next write.
    fn poll_flush_inner(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match Pin::new(&mut self.inner).poll_flush(cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gather<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.release_awaited(cx)?;
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gather<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_on && self.held.len() + bytes.len() > HELD_BYTES {
            ready!(self.poll_release(cx))?;
        }
        if !self.is_on || bytes.len() > HELD_BYTES {
            return Pin::new(&mut self.inner).poll_write(cx, bytes);
        }
        if self.held.is_empty() {
            self.held.reserve(HEAD_BYTES.max(bytes.len()));
        }
        self.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        !self.is_on && self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn gather<T>(inner: T) -> Gather<T> {
        let mut gather = Gather::new(inner);
        gather.turn_on();
        gather
    }

    /// What is there to be read at this moment.
    async fn at_hand(wire: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
        let mut bytes = vec![0; 64 << 10];
        tokio::select! {
            biased;
            read = wire.read(&mut bytes) => bytes.truncate(read.unwrap()),
            () = std::future::ready(()) => bytes.clear(),
        }
        bytes
    }

    #[tokio::test]
    async fn head_and_body_leave_together_with_the_flush() {
        let (near, mut far) = duplex(64 << 10);
        let mut near = gather(near);
        near.write_all(b"head ").await.unwrap();
        near.write_all(b"body").await.unwrap();
        assert_eq!(at_hand(&mut far).await, b"");
        near.flush().await.unwrap();
        assert_eq!(at_hand(&mut far).await, b"head body");
        assert_eq!(near.held.capacity(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_does_not_wait_for_a_slow_body() {
        let (near, mut far) = duplex(64 << 10);
        let mut near = gather(near);
        near.write_all(b"head").await.unwrap();
        let waiting = async {
            near.read_u8().await.ok();
        };
        let mut head = [0; 4];
        tokio::select! {
            () = waiting => panic!("nothing was sent"),
            read = far.read_exact(&mut head) => assert_eq!(read.unwrap(), 4),
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_turned_round(
            writes in prop::collection::vec((0_usize..9_000, any::<bool>()), 1..20),
            room in 1_usize..5_000,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (sent, received) = runtime.block_on(async {
                let (near, mut far) = duplex(room);
                let mut near = gather(near);
                let mut sent = Vec::new();
                let writing = async {
                    for (number, (len, is_flushed)) in (0_u8..).zip(writes) {
                        let bytes = vec![number; len];
                        near.write_all(&bytes).await.unwrap();
                        sent.extend(bytes);
                        if is_flushed {
                            near.flush().await.unwrap();
                        }
                    }
                    near.shutdown().await.unwrap();
                };
                let mut received = Vec::new();
                let (read, ()) = tokio::join!(far.read_to_end(&mut received), writing);
                read.unwrap();
                (sent, received)
            });
            prop_assert_eq!(sent, received);
        }
    }
}
