//! Random tokens and identifiers, and the hash under which tokens are kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::domain::secret::Secret;
use crate::domain::session::TokenHash;

/// Characters of an invite's code: 18 random bytes (144 bits) in base64url.
pub const INVITE_CODE_LEN: usize = 24;

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without randomness nothing that follows is safe: better no answer than a weak one.
    #[expect(
        clippy::expect_used,
        reason = "Linux has had getrandom since 3.17; its failure is a broken host"
    )]
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes
}

/// A session's token, 256 bits.
pub fn session_token() -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(random::<32>()))
}

/// An invite's code, 144 bits: short enough to be printed under a QR code.
pub fn invite_code() -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(random::<18>()))
}

/// What an identifier is made of. Identifiers are not secrets.
pub fn id_bits() -> u64 {
    u64::from_le_bytes(random())
}

/// The key that an appliance derives its editors' passwords from, 256 bits.
pub fn editor_key() -> Secret {
    Secret::new(hex(&random::<32>()))
}

/// Lower-case hexadecimal digits: how a hash is a key of the store.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
            text
        })
}

/// The bytes of 64 hexadecimal digits.
pub fn from_hex(text: &str) -> Option<TokenHash> {
    let mut hash = TokenHash::default();
    if text.len() != 2 * hash.len() {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// What is kept instead of a token. A plain hash is enough: tokens have too many bits to be guessed.
pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_their_length_and_never_repeat() {
        // 32 random bytes in base64url.
        assert_eq!(session_token().expose().len(), 43);
        assert_eq!(invite_code().expose().len(), INVITE_CODE_LEN);
        assert_ne!(session_token(), session_token());
        assert_ne!(id_bits(), id_bits());
    }

    #[test]
    fn a_hash_survives_being_a_key_of_the_store() {
        assert_eq!(from_hex(&hex(&hash("x"))), Some(hash("x")));
        assert_eq!(from_hex("00"), None);
        assert_eq!(from_hex(&"zz".repeat(32)), None);
    }
}
