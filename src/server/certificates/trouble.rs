//! What can be wrong with the certificate, each with its stable code, and what to do about it.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::domain::health::Health;
use crate::server::catalogue as code;
use crate::server::trouble::{self, Entry};
use crate::tls::Names;
use crate::tls::provided::Unusable;
use crate::tls::renewal::Standing;

const NEW_AUTHORITY: &str = "stop the appliance, run `thon ca rotate`, start it; every browser then has to trust the new authority";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) enum Trouble {
    /// Names that visitors use are not in it.
    LeftOut(Names),
    /// The files do not say what the settings say.
    NotFor {
        path: PathBuf,
        names: Names,
    },
    /// The files changed, or cannot be looked at, and what was there before goes on.
    NotRead {
        why: Unusable,
        until: Timestamp,
    },
    /// Its time: never `Valid`.
    Authority {
        standing: Standing,
        at: Timestamp,
    },
    File {
        path: PathBuf,
        standing: Standing,
        at: Timestamp,
    },
    NotRenewed(String),
}

impl Trouble {
    fn entry(&self) -> &'static Entry {
        match self {
            Self::LeftOut(_) | Self::NotFor { .. } => &code::CERT_NAMES,
            Self::NotRead { .. } | Self::NotRenewed(_) => &code::CERT_UNUSABLE,
            Self::Authority { standing, .. } | Self::File { standing, .. } => match standing {
                Standing::Valid | Standing::EndsSoon => &code::CERT_ENDS,
                Standing::NotYet | Standing::Ended => &code::CERT_TIME,
            },
        }
    }

    pub(super) fn health(self) -> Health {
        Health::degraded(self.entry().code, self.words())
    }

    /// For somebody who looks while no appliance runs.
    pub(in crate::server) fn told(&self) -> trouble::Trouble {
        self.entry().says(self.words())
    }

    fn words(&self) -> String {
        match self {
            Self::LeftOut(names) => format!(
                "the authority was made before this host was {names} and may not sign for it, so browsers warn there: {NEW_AUTHORITY}"
            ),
            Self::NotFor { path, names } => {
                format!(
                    "{} is not for {names}, so browsers warn there",
                    path.display()
                )
            }
            Self::NotRead { why, until } if why.is_forbidden => format!(
                "{why}: the certificate that was read as root at the start is served until {}; let the user that the appliance runs as read the file (`setfacl`, or copies made by a deploy hook: see docs/operating.md)",
                day(*until)
            ),
            Self::NotRead { why, until } => {
                format!(
                    "{why}: the certificate from before is served until {}",
                    day(*until)
                )
            }
            Self::Authority { standing, at } => authority(*standing, *at),
            Self::File { path, standing, at } => {
                let (path, at) = (path.display(), day(*at));
                match standing {
                    Standing::NotYet => {
                        format!("{path} is not valid before {at}: is this host's clock right?")
                    }
                    Standing::Valid | Standing::EndsSoon => {
                        format!("{path} ends on {at}: renew it; the appliance reads it by itself")
                    }
                    Standing::Ended => {
                        format!("{path} ended on {at}: renew it; the appliance reads it by itself")
                    }
                }
            }
            Self::NotRenewed(why) => format!("the certificate was not renewed: {why}"),
        }
    }
}

fn authority(standing: Standing, at: Timestamp) -> String {
    let at = day(at);
    match standing {
        Standing::NotYet => format!(
            "the authority is not valid before {at}: is this host's clock right? Nothing was changed"
        ),
        Standing::Valid | Standing::EndsSoon => {
            format!("the authority ends on {at}. Between two events, {NEW_AUTHORITY}")
        }
        Standing::Ended => format!("the authority ended on {at}: {NEW_AUTHORITY}"),
    }
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}
