//! The appliance's own certificate authority.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a client has to trust, and how people compare it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaView {
    /// Where the certificate is on the appliance's host.
    pub path: PathBuf,
    /// `AB:CD:…`
    pub sha256: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Names, each with everything below it, and addresses or ranges of them that it may sign for.
    /// `null`: any, as authorities of the first version may.
    pub permits: Option<Vec<String>>,
    pub pem: String,
}
