//! `Voice` and `listen`: an answer that is told while it is made, in the task of the request.
//!
//! What tells the answer is a future that the answer's body carries. Whoever drops the body, because the
//! client has gone, drops the future and everything it holds: the place in the queue, the slot, the
//! connection to the model, the reservation. There is no task that could outlive its request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::poll_fn;
use http_body::Frame;
use tokio::sync::mpsc;

enum Said {
    Head(Response<()>),
    Bytes(Bytes),
}

/// Tells one answer: its head, then its body.
pub(super) struct Voice {
    said: mpsc::Sender<Said>,
    is_begun: bool,
}

impl Voice {
    /// From here on the status is said and cannot be taken back.
    pub(super) async fn begin(&mut self, head: Response<()>) {
        if !std::mem::replace(&mut self.is_begun, true) {
            self.tell(Said::Head(head)).await;
        }
    }

    pub(super) fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// Waits until the client took what was said before.
    pub(super) async fn say(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.tell(Said::Bytes(bytes)).await;
        }
    }

    async fn tell(&mut self, said: Said) {
        // Nobody listens only when the whole answer has been dropped, and we with it.
        self.said.send(said).await.ok();
    }
}

type Telling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body of an answer that is being told.
struct Speech {
    telling: Option<Telling>,
    said: mpsc::Receiver<Said>,
}

impl Speech {
    fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Option<Said>> {
        if let Poll::Ready(said) = self.said.poll_recv(cx) {
            return Poll::Ready(said);
        }
        let Some(telling) = &mut self.telling else {
            return Poll::Pending;
        };
        if telling.as_mut().poll(cx).is_ready() {
            self.telling = None;
        }
        self.said.poll_recv(cx)
    }
}

/// Listens until the head has been said. `None`: nothing was said at all.
pub(super) async fn listen<F>(tell: impl FnOnce(Voice) -> F) -> Option<Response>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, said) = mpsc::channel(1);
    let voice = Voice {
        said: sender,
        is_begun: false,
    };
    let mut speech = Speech {
        telling: Some(Box::pin(tell(voice))),
        said,
    };
    match poll_fn(|cx| speech.poll_said(cx)).await? {
        Said::Head(head) => Some(head.map(|()| Body::new(speech))),
        // A voice begins before it says anything.
        Said::Bytes(_) => None,
    }
}

impl http_body::Body for Speech {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            match ready!(self.poll_said(cx)) {
                Some(Said::Bytes(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Said::Head(_)) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn an_answer_is_heard_as_it_is_told() {
        let answer = listen(|mut voice| async move {
            voice.begin(Response::new(())).await;
            for word in ["one ", "two ", "three"] {
                tokio::task::yield_now().await;
                voice.say(Bytes::from_static(word.as_bytes())).await;
            }
        });
        let body = answer.await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "one two three");
    }

    #[tokio::test]
    async fn whoever_stops_listening_ends_what_tells() {
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let answer = listen(|mut voice| async move {
            let _holds = holds;
            voice.begin(Response::new(())).await;
            std::future::pending::<()>().await;
        });
        let answer = answer.await.unwrap();
        assert_eq!(Arc::strong_count(&held), 2);
        drop(answer);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test]
    async fn nobody_is_told_more_than_they_take() {
        let told = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let answer = listen(|mut voice| async move {
            voice.begin(Response::new(())).await;
            loop {
                voice.say(Bytes::from_static(b"x")).await;
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        let mut body = answer.await.unwrap().into_body();
        for taken in 1..10 {
            body.frame().await.unwrap().unwrap();
            assert!(told.load(std::sync::atomic::Ordering::Relaxed) <= taken + 1);
        }
    }
}
