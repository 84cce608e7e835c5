//! Balances that several appliances share: asked before each request, told afterwards, and what happens
//! while they cannot be reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::limiter::redis::{BadPlace, Gone, Part, Place, Redis, Reply, Verb};

/// What is still to be told; what comes then is lost, and counted.
const WAITING_MAX: usize = 4_096;

/// Between two tries.
const RETRY: Duration = Duration::from_millis(500);

/// What could not be told for so long is given up: Redis forgets what it heard, and would count twice.
const TOLD_WITHIN: Duration = Duration::from_mins(10);

/// For what is still to be told when the appliance ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Whether the balances can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// They are this appliance's own.
    Off,
    Fine,
    Away {
        since: Timestamp,
    },
}

/// What happens to requests while they cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenAway {
    /// Nobody gets more than the limits, not even for minutes.
    Refuse,
    /// This appliance goes on with the balances that it saw last, and tells what it spent later.
    #[default]
    GoOn,
}

#[derive(Clone, Debug)]
pub struct Sharing {
    pub place: Place,
    /// Appliances of one event have the same; others on the same Redis do not meet.
    pub event: String,
    /// Tells this appliance's requests from another's.
    pub appliance: String,
    pub when_away: WhenAway,
}

/// The way to them.
#[derive(Debug)]
pub struct Remote {
    link: Arc<Link>,
    untold: mpsc::Sender<Message>,
    when_away: WhenAway,
    prefix: String,
    mark: String,
    requests: AtomicU64,
}

#[derive(Debug)]
struct Link {
    redis: Redis,
    away: Mutex<Option<Timestamp>>,
    lost: AtomicU64,
}

/// Something to tell about a request.
#[derive(Debug)]
struct Message {
    verb: Verb,
    mark: String,
    parts: Vec<Part>,
    at: Instant,
}

impl Link {
    async fn tell(&self, word: &Message) -> Result<Reply, Gone> {
        let said = self
            .redis
            .tell(word.verb, &word.mark, &word.parts, None)
            .await;
        self.heard(said.as_ref().err());
        said
    }

    fn heard(&self, gone: Option<&Gone>) {
        let mut away = self.away.lock();
        match (gone, *away) {
            (Some(error), None) => {
                *away = Some(Timestamp::now());
                tracing::warn!(limits.error = %error, "the shared balances cannot be reached");
            }
            (None, Some(since)) => {
                *away = None;
                tracing::info!(limits.away_since = %since, "the shared balances are back");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    fn lose(&self) {
        let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
        if lost.is_power_of_two() {
            tracing::warn!(limits.lost = lost, "what requests cost could not be told");
        }
    }

    fn is_away(&self) -> bool {
        self.away.lock().is_some()
    }
}

impl Remote {
    /// With the one that tells what is settled, which somebody has to run.
    pub fn new(sharing: &Sharing) -> Result<(Self, Settler), BadPlace> {
        let link = Arc::new(Link {
            redis: Redis::new(&sharing.place).map_err(BadPlace)?,
            away: Mutex::new(None),
            lost: AtomicU64::new(0),
        });
        let (untold, words) = mpsc::channel(WAITING_MAX);
        // The braces keep an event's keys together where Redis is a cluster.
        let prefix = format!("thon:{{{}}}", sharing.event);
        let began = Timestamp::now().as_microsecond();
        let remote = Self {
            link: link.clone(),
            untold,
            when_away: sharing.when_away,
            mark: format!("{prefix}:request:{}:{began}", sharing.appliance),
            prefix,
            requests: AtomicU64::new(0),
        };
        let settler = Settler {
            link,
            words,
            waiting: None,
        };
        Ok((remote, settler))
    }

    pub fn state(&self) -> Shared {
        match *self.link.away.lock() {
            None => Shared::Fine,
            Some(since) => Shared::Away { since },
        }
    }

    pub fn when_away(&self) -> WhenAway {
        self.when_away
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Settlements that were given up.
    pub fn lost(&self) -> u64 {
        self.link.lost.load(Ordering::Relaxed)
    }

    /// What a request is known by.
    pub fn mark(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{}:{number}", self.mark)
    }

    /// Takes all parts or none. Dropped on the way, or without an answer, it is taken back.
    pub async fn reserve(&self, mark: &str, parts: Vec<Part>) -> Result<Reply, Gone> {
        if self.link.is_away() {
            return Err(Gone::Late);
        }
        let word = Message::new(Verb::Reserve, mark, parts);
        let mut doubt = Doubt {
            remote: self,
            word: Some(word),
        };
        let Some(word) = &doubt.word else {
            return Err(Gone::Late);
        };
        let reply = self.link.tell(word).await?;
        doubt.word = None;
        Ok(reply)
    }

    /// Says it as soon as it can be said.
    pub fn tell(&self, verb: Verb, mark: &str, parts: Vec<Part>) {
        // Closing says all that extending said.
        if verb == Verb::Extend && self.link.is_away() {
            return;
        }
        let word = Message::new(verb, mark, parts);
        if self.untold.try_send(word).is_err() && verb == Verb::Close {
            self.link.lose();
        }
    }
}

impl Message {
    fn new(verb: Verb, mark: &str, parts: Vec<Part>) -> Self {
        Self {
            verb,
            mark: mark.to_owned(),
            parts,
            at: Instant::now(),
        }
    }
}

/// A reservation of which nobody knows whether it was made.
struct Doubt<'r> {
    remote: &'r Remote,
    word: Option<Message>,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if let Some(mut word) = self.word.take() {
            for part in &mut word.parts {
                part.amount = 0;
            }
            self.remote.tell(Verb::Close, &word.mark, word.parts);
        }
    }
}

/// Tells what is settled, in order, and looks whether the balances are back.
#[derive(Debug)]
#[must_use = "somebody has to run it"]
pub struct Settler {
    link: Arc<Link>,
    words: mpsc::Receiver<Message>,
    waiting: Option<Message>,
}

impl Settler {
    /// Until it is told to stop, or the limiter is gone; what is waiting then is told first, if that can
    /// be done soon.
    pub async fn run(mut self, stop: CancellationToken) {
        let told = stop.run_until_cancelled(self.go_on()).await;
        if told.is_none() {
            self.words.close();
            let rest = async { while self.step().await {} };
            if tokio::time::timeout(LAST_WORDS, rest).await.is_err() {
                tracing::warn!("what was settled last could not be told");
            }
        }
    }

    async fn go_on(&mut self) {
        // Whether they are there is known, and the connection made, before anybody asks for anything.
        self.look().await;
        while self.step().await {}
    }

    async fn look(&self) {
        let back = self.link.redis.ping().await;
        self.link.heard(back.as_ref().err());
    }

    /// One message, or one look at whether they are back. `false` when nothing will come any more.
    async fn step(&mut self) -> bool {
        if self.waiting.is_none() {
            tokio::select! {
                word = self.words.recv() => match word {
                    Some(word) => self.waiting = Some(word),
                    None => return false,
                },
                () = tokio::time::sleep(RETRY), if self.link.is_away() => {
                    self.look().await;
                    return true;
                }
            }
        }
        let Some(word) = &self.waiting else {
            return true;
        };
        // It stays until it was heard: whoever stops this future here loses nothing.
        if word.at.elapsed() > TOLD_WITHIN {
            self.link.lose();
        } else if self.link.tell(word).await.is_err() {
            tokio::time::sleep(RETRY).await;
            return true;
        }
        self.waiting = None;
        true
    }
}
