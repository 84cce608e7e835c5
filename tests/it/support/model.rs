//! A language model's server that does as it is told: llama.cpp's or Lemonade's, well-behaved unless a
//! test has something else in mind for a request.

mod answers;
mod reply;
mod status;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::client::within;
use super::origin::spawn;
pub(crate) use answers::Words;
pub(crate) use reply::{Pace, Reply};
pub(crate) use status::Health;

/// What becomes of the answer that a well-behaved server would give.
type Change = Box<dyn Fn(Reply, &Asked) -> Reply + Send + Sync>;

/// Whose ways it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Answers by the model it has, whatever name it is asked for.
    Llama,
    /// Knows models by their names, and says `200` to a stream before it knows whether there will be one.
    Lemonade,
}

/// One request that wanted something of the model.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    /// `Null` if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests that wait for their answer, or for the rest of it.
    pub(crate) open: usize,
    pub(crate) open_most: usize,
    /// Answers that were given as they were meant.
    pub(crate) over: usize,
    /// Clients that left before.
    pub(crate) left: usize,
    /// Parts of answers, whoever heard them.
    pub(crate) parts: usize,
    /// Questions about health, slots and models.
    pub(crate) looks: usize,
}

pub(crate) struct Model {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: Option<AbortOnDropHandle<()>>,
}

struct Shared {
    kind: Kind,
    names: Vec<String>,
    setting: Mutex<Setting>,
    asked: Mutex<Vec<Asked>>,
    counts: watch::Sender<Counts>,
}

struct Setting {
    key: Option<String>,
    slots: usize,
    health: Health,
    words: Words,
    next: VecDeque<Change>,
    always: Option<Change>,
}

impl Model {
    pub(crate) async fn llama(name: &str) -> Self {
        Self::start(Kind::Llama, &[name]).await
    }

    pub(crate) async fn lemonade(names: &[&str]) -> Self {
        Self::start(Kind::Lemonade, names).await
    }

    async fn start(kind: Kind, names: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            kind,
            names: names.iter().map(|&name| name.to_owned()).collect(),
            setting: Mutex::new(Setting {
                key: None,
                slots: 4,
                health: Health::Ready,
                words: Words::default(),
                next: VecDeque::new(),
                always: None,
            }),
            asked: Mutex::default(),
            counts: watch::Sender::default(),
        });
        let task = Some(serve(listener, &shared));
        Self {
            address,
            shared,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Who does not bring it is turned away.
    pub(crate) fn lock(&self, key: &str) {
        self.shared.setting.lock().key = Some(key.to_owned());
    }

    pub(crate) fn has_slots(&self, slots: usize) {
        self.shared.setting.lock().slots = slots;
    }

    pub(crate) fn is(&self, health: Health) {
        self.shared.setting.lock().health = health;
    }

    /// What its answers are long and cost.
    pub(crate) fn says(&self, words: Words) {
        self.shared.setting.lock().words = words;
    }

    /// Of the next request that has no change yet.
    pub(crate) fn next(&self, change: impl Fn(Reply, &Asked) -> Reply + Send + Sync + 'static) {
        self.shared.setting.lock().next.push_back(Box::new(change));
    }

    /// Of every request that has no change of its own.
    pub(crate) fn always(&self, change: impl Fn(Reply, &Asked) -> Reply + Send + Sync + 'static) {
        self.shared.setting.lock().always = Some(Box::new(change));
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }

    pub(crate) fn last(&self) -> Asked {
        self.shared.asked.lock().last().unwrap().clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits for it.
    pub(crate) async fn until(&self, is_so: impl Fn(&Counts) -> bool) -> Counts {
        let mut counts = self.shared.counts.subscribe();
        *within(counts.wait_for(is_so)).await.unwrap()
    }

    /// As `kill -9`: every connection ends, and nobody listens.
    pub(crate) async fn kill(&mut self) {
        drop(self.task.take());
        self.until(|counts| counts.open == 0).await;
    }

    pub(crate) async fn revive(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.task = Some(serve(listener, &self.shared));
    }
}

fn serve(listener: TcpListener, shared: &Arc<Shared>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(spawn(accept(listener, Arc::clone(shared))))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                stream.set_nodelay(true).unwrap();
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let answer = service_fn(|request| answer(request, Arc::clone(&shared)));
                    let io = TokioIo::new(stream);
                    let connection = hyper::server::conn::http1::Builder::new();
                    connection.serve_connection(io, answer).await.ok();
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> io::Result<Response<reply::Body>> {
    let (head, body) = request.into_parts();
    if !shared.lets_in(&head) {
        return shared.stranger().send(Open::unseen()).await;
    }
    if let Some(reply) = shared.look(&head) {
        shared.counts.send_modify(|counts| counts.looks += 1);
        return reply.send(Open::unseen()).await;
    }
    // It counts from its head: its client may never come to its body's end.
    let open = Open::new(&shared);
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let asked = Asked {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body,
    };
    let reply = shared.reply(&asked);
    shared.asked.lock().push(asked);
    reply.send(open).await
}

impl Shared {
    fn lets_in(&self, head: &Parts) -> bool {
        let setting = self.setting.lock();
        let Some(key) = &setting.key else {
            return true;
        };
        let shown = head.headers.get("authorization");
        let public = ["/health", "/v1/health", "/models", "/v1/models"];
        let is_public = self.kind == Kind::Llama && public.contains(&head.uri.path());
        is_public || shown.is_some_and(|shown| *shown == format!("Bearer {key}"))
    }

    fn reply(&self, asked: &Asked) -> Reply {
        let mut setting = self.setting.lock();
        let reply = self.well_behaved(asked, &setting.words);
        match (setting.next.pop_front(), &setting.always) {
            (Some(change), _) => change(reply, asked),
            (None, Some(change)) => change(reply, asked),
            (None, None) => reply,
        }
    }
}

/// One request that is being answered; says how it ended when it goes.
struct Open {
    shared: Option<Arc<Shared>>,
    is_over: Mutex<bool>,
}

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.counts.send_modify(|counts| {
            counts.open += 1;
            counts.open_most = counts.open_most.max(counts.open);
        });
        Self {
            shared: Some(Arc::clone(shared)),
            is_over: Mutex::new(false),
        }
    }

    /// Of a look, which is nobody's work.
    fn unseen() -> Self {
        Self {
            shared: None,
            is_over: Mutex::new(false),
        }
    }

    fn is_over(&self) {
        *self.is_over.lock() = true;
    }

    fn sent_one(&self) {
        if let Some(shared) = &self.shared {
            shared.counts.send_modify(|counts| counts.parts += 1);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        let is_over = *self.is_over.lock();
        shared.counts.send_modify(|counts| {
            counts.open -= 1;
            counts.over += usize::from(is_over);
            counts.left += usize::from(!is_over);
        });
    }
}
