//! Keys for the language model: made, read from what a request shows, and derived for containers.
//!
//! The key of a container is derived, as its editor's password is: one key in the store, a different
//! one for every generation of every instance. So it can be put into the container whenever that is
//! made, and the store keeps its hash like everybody's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::auth::token;
use crate::domain::id::{InstanceId, KeyId};
use crate::domain::key::{Credential, PREFIX};
use crate::domain::secret::Secret;

/// Hexadecimal digits of the identifier.
const ID_LEN: usize = 16;

/// 32 bytes in base64url.
const SECRET_LEN: usize = 43;

/// Every key has this length.
pub const LEN: usize = PREFIX.len() + ID_LEN + 1 + SECRET_LEN;

/// A new identifier.
pub fn fresh_id() -> KeyId {
    KeyId::from_bits(token::id_bits())
}

/// A new key in full, with 256 random bits.
pub fn fresh(id: &KeyId) -> Secret {
    written(id, token::session_token().expose())
}

/// Which key it is, and the hash of all of it. `None` is no key of ours, whoever made it.
pub fn read(shown: &str) -> Option<Credential> {
    if shown.len() != LEN {
        return None;
    }
    let (id, secret) = shown.strip_prefix(PREFIX)?.split_at_checked(ID_LEN)?;
    let secret = secret.strip_prefix('-')?;
    let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let id = id.parse().ok()?;
    secret.bytes().all(is_ours).then(|| Credential {
        id,
        hash: token::hash(shown),
    })
}

/// The identifier of the key of one generation of an instance.
pub fn id_of(store_key: &Secret, instance: &InstanceId, generation: u64) -> KeyId {
    let bytes = derived(store_key, b"instance key id\0", instance, generation);
    let bits = bytes.first_chunk().copied().unwrap_or_default();
    KeyId::from_bits(u64::from_be_bytes(bits))
}

/// The key of one generation of an instance, in full.
pub fn of_instance(store_key: &Secret, instance: &InstanceId, generation: u64) -> Secret {
    let bytes = derived(store_key, b"instance key\0", instance, generation);
    let id = id_of(store_key, instance, generation);
    written(&id, &URL_SAFE_NO_PAD.encode(bytes))
}

fn written(id: &KeyId, secret: &str) -> Secret {
    Secret::new(format!("{PREFIX}{id}-{secret}"))
}

fn derived(store_key: &Secret, what: &[u8], instance: &InstanceId, generation: u64) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac =
        Hmac::<Sha256>::new_from_slice(store_key.expose().as_bytes()).expect("any length");
    mac.update(what);
    mac.update(instance.as_str().as_bytes());
    mac.update(&generation.to_be_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn instance(digit: &str) -> InstanceId {
        digit.repeat(16).parse().unwrap()
    }

    #[test]
    fn a_key_has_one_length_names_itself_and_never_repeats() {
        let id = fresh_id();
        let (first, second) = (fresh(&id), fresh(&id));
        assert_ne!(first, second);
        assert_eq!(first.expose().len(), LEN);
        let shown = read(first.expose()).unwrap();
        assert_eq!((shown.id, shown.hash), (id, token::hash(first.expose())));
    }

    #[test]
    fn every_generation_of_every_instance_has_its_own_key() {
        let store = Secret::new("k");
        let key = |digit, generation| of_instance(&store, &instance(digit), generation);
        assert_eq!(key("a", 1), key("a", 1));
        assert_ne!(key("a", 1), key("a", 2));
        assert_ne!(key("a", 1), key("b", 1));
        assert_ne!(
            key("a", 1),
            of_instance(&Secret::new("l"), &instance("a"), 1)
        );
        let shown = read(key("a", 1).expose()).unwrap();
        assert_eq!(shown.id, id_of(&store, &instance("a"), 1));
    }

    #[test]
    fn what_is_no_key_is_none() {
        let good = fresh(&fresh_id()).expose().to_owned();
        let mut short = good.clone();
        short.pop();
        let mut shorter = short.clone();
        shorter.pop();
        for bad in [
            "",
            PREFIX,
            &short,
            &good.replacen("sk-thon-", "SK-THON-", 1),
            &good.replacen('-', "_", 3),
            &format!("{good}x"),
            &format!(" {short}"),
            &format!("{short}\n"),
            &format!("{shorter}é"),
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_shown_is_read_without_harm(shown in "\\PC{0,100}", tail in ".{60}") {
            prop_assert!(read(&shown).is_none());
            let _ = read(&format!("{PREFIX}{tail}"));
        }
    }
}
