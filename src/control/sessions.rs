//! Signing browsers in and out, and knowing who is asking.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::auth::token;
use crate::control::{Control, Error};
use crate::domain::audit::{Actor, AuditEntry};
use crate::domain::id::{InviteId, SessionId, UserRef};
use crate::domain::invite::{Invite, SESSIONS_PER_INVITE_MAX};
use crate::domain::secret::Secret;
use crate::domain::session::Session;
use crate::routing::LiveSession;
use crate::store::{Change, Store, StoreError};

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
        let signed_in = self
            .blocking(move |store| redeem(store, &key, &browser, now))
            .await?;
        self.publish()?;
        Ok(signed_in)
    }

    /// The session that a cookie's token stands for, if it lives; counts as a visit.
    pub fn session(&self, token: &str, now: Timestamp) -> Option<Arc<LiveSession>> {
        let table = self.table.load();
        let session = table.session(&token::hash(token))?;
        if session.has_ended(now) {
            return None;
        }
        session.touch(now);
        Some(Arc::clone(session))
    }

    /// A participant's sessions, newest first.
    pub async fn sessions(&self, user: &UserRef) -> Result<Vec<Session>, Error> {
        let now = Timestamp::now();
        let rows = self.reading(|view| Ok(view.all::<Session>()?)).await?;
        let table = self.table.load();
        let mut sessions: Vec<Session> = rows
            .into_iter()
            .filter(|(_, session)| session.user == *user)
            .map(|(hash, mut session)| {
                let live = token::from_hex(&hash).and_then(|hash| table.session(&hash).cloned());
                session.last_seen_at = live.map_or(session.last_seen_at, |live| live.last_seen());
                session
            })
            .filter(|session| !session.has_ended(now))
            .collect();
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
        .await?;
        self.publish()
    }

    /// Writes the sessions' clocks down once a minute, and at the end; ended sessions go.
    pub async fn keep_sessions(&self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(FLUSH_EVERY) => {}
                () = shutdown.cancelled() => {
                    self.flush_and_log().await;
                    return;
                }
            }
            self.flush_and_log().await;
        }
    }

    async fn flush_and_log(&self) {
        if let Err(error) = self.flush_sessions(Timestamp::now()).await {
            tracing::error!("the sessions' clocks were not written: {error}");
        }
    }

    async fn flush_sessions(&self, now: Timestamp) -> Result<(), Error> {
        let table = self.table.load_full();
        for live in table.sessions().values().filter(|live| live.is_in_use()) {
            live.touch(now);
        }
        let ended = self
            .blocking(move |store| {
                Ok(store.note(|tx| {
                    let mut ended = 0_usize;
                    for (key, mut session) in tx.all::<Session>()? {
                        let live =
                            token::from_hex(&key).and_then(|hash| table.session(&hash).cloned());
                        let seen = live.map_or(session.last_seen_at, |live| live.last_seen());
                        let moved = seen > session.last_seen_at;
                        session.last_seen_at = session.last_seen_at.max(seen);
                        if session.has_ended(now) {
                            tx.remove::<Session>(&key)?;
                            ended += 1;
                        } else if moved {
                            tx.put(&key, &session)?;
                        }
                    }
                    Ok(ended)
                })?)
            })
            .await?;
        if ended > 0 { self.publish() } else { Ok(()) }
    }
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
        let session = new_session(&invite, browser, now)?;
        tx.put(&token::hex(&token::hash(token.expose())), &session)?;
        Ok(SignedIn { token, session })
    })
}

fn new_session(invite: &Invite, browser: &Browser, now: Timestamp) -> Result<Session, Error> {
    Ok(Session {
        id: token::random_id()
            .parse()
            .map_err(|_| Error::Internal("a fresh id was not one".to_owned()))?,
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
    })
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
