//! Wire types of the admin API, shared by the server and the command line.
//!
//! Times are RFC 3339 in UTC. Participants are written `group/user` where one word names them.
//! Clients must ignore fields that they do not know; requests with unknown fields are refused.

pub mod ca;
pub mod error;
pub mod gateway;
pub mod instance;
pub mod invite;
pub mod key;
pub mod status;
pub mod usage;

pub use ca::CaView;
pub use error::{ErrorBody, ErrorEnvelope};
pub use gateway::{
    BackendState, BackendView, BalanceList, BalanceView, GatewayView, LimitsView, ModelView,
    QueueList, QueuedView,
};
pub use instance::{
    CleanupResponse, InstanceList, InstanceView, LaunchRequest, LaunchResponse, LeftView, LogsView,
    PasswordView,
};
pub use invite::{CreateInvitesRequest, InviteList, InviteView, NewInviteList, NewInviteView};
pub use key::{
    CreateKeyRequest, KeyHolder, KeyList, KeyState, KeyView, NewKeyView, RotateKeyRequest,
};
pub use status::{HealthView, Listener, PartView, Status, Verdict};
pub use usage::{By, Every, RequestList, RequestQuery, UsageList, UsageQuery, UsageRow, UsageSum};
