//! Random tokens and identifiers, and the hash under which tokens are kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::domain::secret::Secret;
use crate::domain::session::TokenHash;

/// Characters of a token: 32 random bytes in base64url.
pub const TOKEN_LEN: usize = 43;

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

/// Sixteen hexadecimal digits for an identifier. Identifiers are not secrets.
pub fn random_id() -> String {
    random::<8>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Thirty-two random bytes, for a key that lives in a file.
pub fn random_key() -> [u8; 32] {
    random()
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
        assert_eq!(session_token().expose().len(), TOKEN_LEN);
        assert_eq!(invite_code().expose().len(), INVITE_CODE_LEN);
        assert_ne!(session_token(), session_token());
        assert_eq!(random_id().len(), 16);
    }
}
