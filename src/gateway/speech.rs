//! `Voice` and `listen`: an answer that is told while it is made, in the task of the request.
//!
//! What tells the answer is a future that the answer's body carries. Whoever drops the body, because the
//! client has gone, drops the future and everything it holds: the place in the queue, the slot, the
//! connection to the model, the reservation.
//!
//! A client that stays and does not read holds them as well, and nothing in the future can run then. So
//! a watch beside it, which goes with the body, ends it from outside.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::poll_fn;
use http_body::Frame;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

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

/// Nobody listened to a stream for this long, which says something every ten seconds: whatever it holds
/// is for others.
const UNHEARD_MAX: Duration = Duration::from_mins(1);

/// The longest answer, heard or not.
const ANSWER_MAX: Duration = Duration::from_hours(1);

/// How often the watch looks.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// How long an answer may take to say that its key was withdrawn.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What ends an answer from outside.
pub(super) struct Rules {
    pub(super) revoked: CancellationToken,
    /// It is told piece by piece, and nothing is silent for long.
    pub(super) is_stream: bool,
    /// Where the watch runs.
    pub(super) tasks: TaskTracker,
}

/// The body of an answer that is being told.
struct Speech {
    told: Arc<Mutex<Told>>,
    said: mpsc::Receiver<Said>,
    _watch: AbortOnDropHandle<()>,
}

struct Told {
    telling: Option<Telling>,
    /// When somebody listened last.
    heard: Instant,
}

impl Speech {
    fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Option<Said>> {
        if let Poll::Ready(said) = self.said.poll_recv(cx) {
            return Poll::Ready(said);
        }
        let mut told = self.told.lock();
        told.heard = Instant::now();
        if let Some(telling) = &mut told.telling
            && telling.as_mut().poll(cx).is_ready()
        {
            told.telling = None;
        }
        drop(told);
        self.said.poll_recv(cx)
    }
}

/// Ends an answer that nobody hears, that takes too long, or whose key is withdrawn.
async fn watch(told: Arc<Mutex<Told>>, rules: Rules) {
    let Rules {
        revoked, is_stream, ..
    } = rules;
    let over = async {
        let end = Instant::now() + ANSWER_MAX;
        loop {
            sleep(WATCH_EVERY).await;
            let is_unheard = is_stream && told.lock().heard.elapsed() > UNHEARD_MAX;
            if is_unheard || Instant::now() > end {
                return;
            }
        }
    };
    tokio::select! {
        () = over => {}
        () = async { revoked.cancelled().await; sleep(LAST_WORDS).await; } => {}
    }
    let telling = told.lock().telling.take();
    drop(telling);
}

/// Listens until the head has been said. `None`: nothing was said at all.
pub(super) async fn listen<F>(tell: impl FnOnce(Voice) -> F, rules: Rules) -> Option<Response>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, said) = mpsc::channel(1);
    let voice = Voice {
        said: sender,
        is_begun: false,
    };
    let told = Arc::new(Mutex::new(Told {
        telling: Some(Box::pin(tell(voice))),
        heard: Instant::now(),
    }));
    let tasks = rules.tasks.clone();
    let watching = tasks.spawn(watch(Arc::clone(&told), rules));
    let mut speech = Speech {
        told,
        said,
        _watch: AbortOnDropHandle::new(watching),
    };
    match poll_fn(|cx| speech.poll_said(cx)).await? {
        Said::Head(head) => Some(head.map(|()| Body::new(speech))),
        // A voice begins before it says anything.
        Said::Bytes(_) => None,
    }
}

impl Drop for Speech {
    /// At once, and not when the watch has noticed.
    fn drop(&mut self) {
        let telling = self.told.lock().telling.take();
        drop(telling);
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

    fn rules() -> Rules {
        Rules {
            revoked: CancellationToken::new(),
            is_stream: true,
            tasks: TaskTracker::new(),
        }
    }

    #[tokio::test]
    async fn an_answer_is_heard_as_it_is_told() {
        let tell = |mut voice: Voice| async move {
            voice.begin(Response::new(())).await;
            for word in ["one ", "two ", "three"] {
                tokio::task::yield_now().await;
                voice.say(Bytes::from_static(word.as_bytes())).await;
            }
        };
        let body = listen(tell, rules()).await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "one two three");
    }

    /// An answer that holds something and never ends.
    async fn endless(rules: Rules) -> (Arc<()>, Response) {
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let tell = |mut voice: Voice| async move {
            voice.begin(Response::new(())).await;
            std::future::pending::<()>().await;
            drop(holds);
        };
        (held, listen(tell, rules).await.unwrap())
    }

    #[tokio::test]
    async fn whoever_stops_listening_ends_what_tells() {
        let (held, answer) = endless(rules()).await;
        assert_eq!(Arc::strong_count(&held), 2);
        drop(answer);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_stays_and_does_not_read_holds_nothing_for_long() {
        let (held, answer) = endless(rules()).await;
        sleep(UNHEARD_MAX / 2).await;
        assert_eq!(Arc::strong_count(&held), 2);
        sleep(UNHEARD_MAX / 2 + 3 * WATCH_EVERY).await;
        assert_eq!(Arc::strong_count(&held), 1);
        drop(answer);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_withdrawn_ends_also_what_nobody_reads() {
        let rules = rules();
        let revoked = rules.revoked.clone();
        let (held, answer) = endless(rules).await;
        revoked.cancel();
        sleep(LAST_WORDS + WATCH_EVERY).await;
        assert_eq!(Arc::strong_count(&held), 1);
        drop(answer);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_one_piece_may_be_silent_for_long() {
        let rules = Rules {
            is_stream: false,
            ..rules()
        };
        let (held, answer) = endless(rules).await;
        sleep(10 * UNHEARD_MAX).await;
        assert_eq!(Arc::strong_count(&held), 2);
        sleep(ANSWER_MAX).await;
        assert_eq!(Arc::strong_count(&held), 1);
        drop(answer);
    }

    #[tokio::test]
    async fn nobody_is_told_more_than_they_take() {
        let told = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let tell = |mut voice: Voice| async move {
            voice.begin(Response::new(())).await;
            loop {
                voice.say(Bytes::from_static(b"x")).await;
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        };
        let mut body = listen(tell, rules()).await.unwrap().into_body();
        for taken in 1..10 {
            body.frame().await.unwrap().unwrap();
            assert!(told.load(std::sync::atomic::Ordering::Relaxed) <= taken + 1);
        }
    }
}
