//! The password of each instance's editor, so that a fault in the network is not a break-in.
//!
//! It is derived, not stored: one key in the store, a different password for every generation of
//! every instance. The editor is told only its hash, and the proxy shows that hash as the session
//! cookie that code-server would have set after a log-in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::auth::token;
use crate::domain::id::InstanceId;
use crate::domain::secret::Secret;

/// The password of one generation of an instance: 256 bits in base64url.
pub fn password(key: &Secret, instance: &InstanceId, generation: u64) -> Secret {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("any length");
    mac.update(b"editor password\0");
    mac.update(instance.as_str().as_bytes());
    mac.update(&generation.to_be_bytes());
    Secret::new(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// What code-server calls the hashed password, and also the value of its session cookie. A plain
/// SHA-256 is enough for a password of 256 random bits.
pub fn hashed(password: &Secret) -> Secret {
    Secret::new(token::hex(&Sha256::digest(password.expose().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generation_of_every_instance_has_its_own_password() {
        let key = Secret::new("k");
        let a: InstanceId = "00000000000000aa".parse().unwrap();
        let b: InstanceId = "00000000000000bb".parse().unwrap();
        assert_eq!(password(&key, &a, 1), password(&key, &a, 1));
        assert_ne!(password(&key, &a, 1), password(&key, &a, 2));
        assert_ne!(password(&key, &a, 1), password(&key, &b, 1));
        assert_eq!(hashed(&password(&key, &a, 1)).expose().len(), 64);
    }
}
