//! Signing browsers in and out, and knowing who is asking.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::auth::token;
use crate::control::clock::{Verdict, Watch};
use crate::control::health::code;
use crate::control::{Control, Error};
use crate::domain::audit::{Actor, AuditEntry};
use crate::domain::health::Health;
use crate::domain::id::{InviteId, SessionId, UserRef};
use crate::domain::invite::{Invite, SESSIONS_PER_INVITE_MAX};
use crate::domain::secret::Secret;
use crate::domain::session::Session;
use crate::routing::{LiveSession, Table};
use crate::store::{Change, Store, StoreError, View};

/// A browser as it presents itself.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    pub address: Option<IpAddr>,
    pub agent: String,
}

/// What signing in gives: the token is told to the browser once and kept as a hash.
#[derive(Debug)]
pub struct SignedIn {
    pub token: Secret,
    pub session: Session,
}

/// How often the sessions' clocks are written down. A crash makes nobody sign in again: it costs a
/// session at most this much of its day.
const FLUSH_EVERY: Duration = Duration::from_mins(1);

/// Clocks that differ by less are as good as written down.
const WORTH_WRITING: SignedDuration = SignedDuration::from_secs(30);

/// Longest description of a browser that is kept, in characters.
const AGENT_CHARS_MAX: usize = 120;

impl Control {
    /// Whose code this is, without using it.
    pub async fn preview_invite(&self, code: &str) -> Result<Invite, Error> {
        let key = code_key(code);
        self.reading(move |view| view.get::<Invite>(&key)?.ok_or_else(unknown_code))
            .await
    }

    /// Signs a browser in with a code. The oldest session of the invite makes room for a sixth.
    pub async fn redeem_invite(
        &self,
        code: &str,
        browser: &Browser,
        now: Timestamp,
    ) -> Result<SignedIn, Error> {
        let (key, browser) = (code_key(code), browser.clone());
        self.blocking(move |store| redeem(store, &key, &browser, now))
            .await
    }

    /// The session that a cookie's token stands for, if it lives; counts as a visit.
    pub fn session(&self, token: &str, now: Instant) -> Option<Arc<LiveSession>> {
        self.table().load().visit(&token::hash(token), now)
    }

    /// A participant's sessions, newest first.
    pub async fn sessions(&self, user: &UserRef) -> Result<Vec<Session>, Error> {
        let (wall, now) = (Timestamp::now(), Instant::now());
        let rows = self.reading(|view| Ok(view.all::<Session>()?)).await?;
        let table = self.table().load();
        let own = rows
            .into_iter()
            .filter(|(_, session)| session.user == *user);
        let living = own.filter_map(|(hash, mut session)| {
            let live = table.session(&token::from_hex(&hash)?)?;
            session.last_seen_at = last_seen(live, wall, now);
            (!live.has_ended(now)).then_some(session)
        });
        let mut sessions: Vec<Session> = living.collect();
        sessions.sort_by_key(|session| std::cmp::Reverse(session.created_at));
        Ok(sessions)
    }

    /// Ends one of a participant's own sessions; open sockets close at once.
    pub async fn end_session(
        &self,
        user: &UserRef,
        session: &SessionId,
        actor: Actor,
    ) -> Result<(), Error> {
        let (user, id) = (user.clone(), session.clone());
        self.blocking(move |store| {
            let entry = AuditEntry::done(Timestamp::now(), actor, "session.end", &user);
            store.change(&entry, |tx| {
                let mut all = tx.all::<Session>()?.into_iter();
                let found = all.find(|(_, session)| session.id == id && session.user == user);
                let (hash, _) = found.ok_or_else(|| Error::Missing {
                    what: "session",
                    name: id.to_string(),
                })?;
                tx.remove::<Session>(&hash)?;
                Ok(())
            })
        })
        .await
    }

    /// Writes the sessions' clocks down once a minute, and at the end; ended sessions go.
    pub async fn keep_sessions(&self, shutdown: CancellationToken) {
        let mut watch = Watch::default();
        loop {
            tokio::select! {
                () = tokio::time::sleep(FLUSH_EVERY) => {}
                () = shutdown.cancelled() => {
                    self.flush_and_log(&mut watch).await;
                    return;
                }
            }
            self.flush_and_log(&mut watch).await;
        }
    }

    async fn flush_and_log(&self, watch: &mut Watch) {
        let (wall, now) = (Timestamp::now(), Instant::now());
        if let Err(error) = self.flush_sessions(watch, wall, now).await {
            tracing::error!("the sessions' clocks were not written: {error}");
        }
    }

    async fn flush_sessions(
        &self,
        watch: &mut Watch,
        wall: Timestamp,
        now: Instant,
    ) -> Result<(), Error> {
        let table = self.table().load_full();
        for live in table.sessions().values().filter(|live| live.is_in_use()) {
            live.touch(now);
        }
        let all = table.sessions().len();
        let ending = table.sessions().values();
        let ending = ending.filter(|live| live.has_idled_out(now)).count();
        let verdict = watch.judge(ending, all, wall, now);
        self.report_clock(verdict, ending, all, wall);
        self.blocking(move |store| {
            // Asked with a look first: most minutes nothing is to be written.
            let stale = stale(&store.view()?, &table, wall, now)?;
            let keep = matches!(verdict, Verdict::Hold(_));
            let stale: Vec<_> = stale
                .into_iter()
                .filter(|(_, now)| now.is_some() || !keep)
                .collect();
            if stale.is_empty() {
                return Ok(());
            }
            Ok(store.note(|tx| write_clocks(tx, &stale))?)
        })
        .await
    }

    fn report_clock(&self, verdict: Verdict, ending: usize, all: usize, wall: Timestamp) {
        let health = match verdict {
            Verdict::End => Health::Ok,
            Verdict::Hold(_) => Health::degraded(
                code::CLOCK_JUMPED,
                format!(
                    "{ending} of {all} sessions would end at once: is the host's clock right? It says {wall:.0}. They are kept until it has run evenly for an hour"
                ),
            ),
        };
        self.report("clock", health);
    }
}

/// When it was used last, by the host's clock as it is now.
fn last_seen(live: &LiveSession, wall: Timestamp, now: Instant) -> Timestamp {
    let idle = SignedDuration::try_from(live.idle(now)).unwrap_or(SignedDuration::MAX);
    wall.saturating_sub(idle).unwrap_or(Timestamp::MIN)
}

/// Sessions whose clocks differ from what is written down, by key; `None` for one that has ended.
fn stale(
    view: &View,
    table: &Table,
    wall: Timestamp,
    now: Instant,
) -> Result<Vec<(String, Option<Timestamp>)>, StoreError> {
    let rows = view.all::<Session>()?.into_iter();
    let stale = rows.filter_map(|(key, session)| {
        let live = table.session(&token::from_hex(&key)?)?;
        if live.has_idled_out(now) {
            return Some((key, None));
        }
        let seen = last_seen(live, wall, now);
        let moved = seen.duration_since(session.last_seen_at).abs();
        (moved > WORTH_WRITING).then_some((key, Some(seen)))
    });
    Ok(stale.collect())
}

fn write_clocks(tx: &Change, stale: &[(String, Option<Timestamp>)]) -> Result<(), StoreError> {
    for (key, seen) in stale {
        match (seen, tx.get::<Session>(key)?) {
            (None, _) => drop(tx.remove::<Session>(key)?),
            (Some(seen), Some(mut session)) => {
                session.last_seen_at = *seen;
                tx.put(key, &session)?;
            }
            // It was revoked meanwhile.
            (Some(_), None) => {}
        }
    }
    Ok(())
}

fn code_key(code: &str) -> String {
    token::hex(&token::hash(code))
}

fn unknown_code() -> Error {
    Error::Missing {
        what: "invite with",
        name: "this code".to_owned(),
    }
}

fn redeem(store: &Store, key: &str, browser: &Browser, now: Timestamp) -> Result<SignedIn, Error> {
    // Without an audit entry: anybody can try codes, and must neither keep the disk busy nor push
    // what really happened out of the log.
    let invite = store.view()?.get::<Invite>(key)?;
    let mut invite = invite.ok_or_else(unknown_code)?;
    let actor = Actor::Participant {
        user: invite.user.clone(),
        address: browser.address,
    };
    let entry = AuditEntry::done(now, actor, "invite.redeem", &invite.user);
    store.change(&entry, |tx| {
        // Looked up again: it may have been revoked since.
        tx.get::<Invite>(key)?.ok_or_else(unknown_code)?;
        make_room(tx, &invite.id)?;
        invite.last_used_at = Some(now);
        tx.put(key, &invite)?;
        let token = token::session_token();
        let session = new_session(&invite, browser, now);
        tx.put(&token::hex(&token::hash(token.expose())), &session)?;
        Ok(SignedIn { token, session })
    })
}

fn new_session(invite: &Invite, browser: &Browser, now: Timestamp) -> Session {
    Session {
        id: SessionId::from_bits(token::id_bits()),
        user: invite.user.clone(),
        invite: invite.id.clone(),
        created_at: now,
        last_seen_at: now,
        agent: browser
            .agent
            .chars()
            .filter(|c| !c.is_control())
            .take(AGENT_CHARS_MAX)
            .collect(),
    }
}

fn make_room(tx: &Change, invite: &InviteId) -> Result<(), StoreError> {
    let mut sessions: Vec<_> = tx
        .all::<Session>()?
        .into_iter()
        .filter(|(_, session)| session.invite == *invite)
        .collect();
    sessions.sort_by_key(|(_, session)| session.last_seen_at);
    let surplus = (sessions.len() + 1).saturating_sub(SESSIONS_PER_INVITE_MAX);
    for (hash, _) in sessions.iter().take(surplus) {
        tx.remove::<Session>(hash)?;
    }
    Ok(())
}
