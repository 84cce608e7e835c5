//! Who may open which sandbox. Pure: every rule is a line of the table in the tests.
//!
//! In path mode all sandboxes share one origin, so the browser does not separate them: a page below
//! `/w/red/alice/` can ask for any path with whatever cookie the browser holds. The proxy is the only
//! wall, and it is simple: a browser that holds a participant's session gets that participant's
//! sandbox and no other one, whatever their owners allow. Two things it cannot tell apart are a page
//! of alice's sandbox and code-server itself in alice's browser: both are hers.

use std::sync::Arc;

use crate::domain::instance::Access;
use crate::routing::{LiveSession, Route};

#[derive(Clone, Copy, Debug)]
pub(super) enum Visitor<'a> {
    Anonymous,
    Participant(&'a Arc<LiveSession>),
}

/// What matters about a request besides whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) kind: Kind,
    pub(super) initiator: Initiator,
}

/// What the answer will be used for, and so which form a refusal takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A page that somebody looks at.
    Navigation,
    /// A script's request, an asset, a program.
    Fetch,
    Upgrade,
}

/// Who made the browser send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Initiator {
    /// Our own origin, or a program that is no browser.
    Ours,
    /// Another site, and the request could change something.
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// The editor's cookie is put on the request.
    Editor,
    /// The editor's own log-in page decides.
    Password,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// Sign in first; the path is shown again afterwards.
    SignIn,
    /// The same for a request that is not a page.
    Unauthorized,
    /// Signed in as somebody else.
    NotYours,
    /// Signed in as the owner, and there is no instance.
    NoInstance,
    /// Another site's page is behind it.
    Foreign,
}

/// `owner` is the raw `group/user` of the path; `route` what the table knows of it.
pub(super) fn decide(
    visitor: Visitor<'_>,
    owner: &str,
    route: Option<&Route>,
    ask: Ask,
) -> Result<Entry, Denied> {
    let entry = match visitor {
        Visitor::Participant(session) => participant(session, owner, route)?,
        Visitor::Anonymous => anonymous(route, ask.kind)?,
    };
    match ask.initiator {
        Initiator::Ours => Ok(entry),
        Initiator::Foreign => Err(Denied::Foreign),
    }
}

fn participant(session: &LiveSession, owner: &str, route: Option<&Route>) -> Result<Entry, Denied> {
    let is_owner = owner.split_once('/').is_some_and(|(group, user)| {
        session.user.group.as_str() == group && session.user.user.as_str() == user
    });
    match (is_owner, route) {
        (false, _) => Err(Denied::NotYours),
        (true, None) => Err(Denied::NoInstance),
        (true, Some(_)) => Ok(Entry::Editor),
    }
}

/// A participant who does not exist looks like one whose door is closed.
fn anonymous(route: Option<&Route>, kind: Kind) -> Result<Entry, Denied> {
    match route.map_or(Access::Owner, |route| route.access) {
        Access::Open => Ok(Entry::Editor),
        Access::Password => Ok(Entry::Password),
        Access::Owner if kind == Kind::Navigation => Err(Denied::SignIn),
        Access::Owner => Err(Denied::Unauthorized),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instance::Phase;
    use crate::routing::{Activity, State};

    fn session(user: &str) -> Arc<LiveSession> {
        let id = "0123456789abcdef".parse().unwrap();
        Arc::new(LiveSession::new(
            id,
            user.parse().unwrap(),
            std::time::Duration::ZERO,
            tokio::time::Instant::now(),
        ))
    }

    fn route(owner: &str, access: Access) -> Route {
        Route {
            owner: owner.parse().unwrap(),
            prefix: format!("/w/{owner}"),
            instance: "0123456789abcdef".parse().unwrap(),
            access,
            state: State::Waiting {
                phase: Phase::Starting,
                reason: None,
            },
            activity: Arc::new(Activity::default()),
        }
    }

    fn ask(kind: Kind) -> Ask {
        Ask {
            kind,
            initiator: Initiator::Ours,
        }
    }

    const KINDS: [Kind; 3] = [Kind::Navigation, Kind::Fetch, Kind::Upgrade];
    const ACCESSES: [Access; 3] = [Access::Owner, Access::Password, Access::Open];

    #[test]
    fn the_owner_gets_in_whatever_the_access() {
        let alice = session("red/alice");
        for access in ACCESSES {
            let route = route("red/alice", access);
            for kind in KINDS {
                let entry = decide(
                    Visitor::Participant(&alice),
                    "red/alice",
                    Some(&route),
                    ask(kind),
                );
                assert_eq!(entry, Ok(Entry::Editor), "{access:?} {kind:?}");
            }
        }
        let none = decide(
            Visitor::Participant(&alice),
            "red/alice",
            None,
            ask(Kind::Fetch),
        );
        assert_eq!(none, Err(Denied::NoInstance));
    }

    #[test]
    fn another_participant_never_gets_in_and_never_learns_whether_there_is_something() {
        for other in ["red/bob", "blue/alice", "red/alice-2", "red/a"] {
            let other = session(other);
            for kind in KINDS {
                for access in ACCESSES {
                    let route = route("red/alice", access);
                    let denied = decide(
                        Visitor::Participant(&other),
                        "red/alice",
                        Some(&route),
                        ask(kind),
                    );
                    assert_eq!(denied, Err(Denied::NotYours));
                }
                let denied = decide(Visitor::Participant(&other), "red/alice", None, ask(kind));
                assert_eq!(denied, Err(Denied::NotYours));
            }
        }
    }

    #[test]
    fn a_visitor_without_a_session_is_asked_to_sign_in_or_treated_as_the_access_says() {
        let owner = route("red/alice", Access::Owner);
        for route in [Some(&owner), None] {
            let page = decide(
                Visitor::Anonymous,
                "red/alice",
                route,
                ask(Kind::Navigation),
            );
            assert_eq!(page, Err(Denied::SignIn));
            for kind in [Kind::Fetch, Kind::Upgrade] {
                let denied = decide(Visitor::Anonymous, "red/alice", route, ask(kind));
                assert_eq!(denied, Err(Denied::Unauthorized));
            }
        }
        for kind in KINDS {
            let password = route("red/alice", Access::Password);
            let open = route("red/alice", Access::Open);
            let entry = |route| decide(Visitor::Anonymous, "red/alice", Some(route), ask(kind));
            assert_eq!(entry(&password), Ok(Entry::Password));
            assert_eq!(entry(&open), Ok(Entry::Editor));
        }
    }

    #[test]
    fn another_site_s_page_gets_nothing_even_in_the_owner_s_browser() {
        let alice = session("red/alice");
        let foreign = Ask {
            kind: Kind::Upgrade,
            initiator: Initiator::Foreign,
        };
        for access in ACCESSES {
            let route = route("red/alice", access);
            let denied = decide(
                Visitor::Participant(&alice),
                "red/alice",
                Some(&route),
                foreign,
            );
            assert_eq!(denied, Err(Denied::Foreign));
        }
        let open = route("red/alice", Access::Open);
        let denied = decide(Visitor::Anonymous, "red/alice", Some(&open), foreign);
        assert_eq!(denied, Err(Denied::Foreign));
    }
}
