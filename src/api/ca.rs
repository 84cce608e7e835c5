//! The appliance's own certificate authority.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a client has to trust, and how people compare it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaView {
    /// Where the certificate is on the appliance's host.
    pub path: PathBuf,
    /// `AB:CD:…`
    pub sha256: String,
    pub pem: String,
}
