//! The participant's cookie: how it is set, found in a request, and kept from sandboxes.

/// `__Host-`: only our own origin, over TLS and for every path, can set it. A sandbox's script
/// cannot make one for another path or domain.
pub const PARTICIPANT: &str = "__Host-thon";

/// Every cookie of ours begins with one of these; none of them ever reaches a sandbox, and no
/// sandbox may set one.
pub const RESERVED_PREFIXES: [&str; 2] = ["__Host-", "__Secure-"];

/// How long a browser keeps the cookie, in seconds. The server ends sessions long before.
const MAX_AGE_S: u32 = 30 * 24 * 3600;

/// The value of `Set-Cookie` that signs a browser in.
pub fn set(token: &str) -> String {
    format!("{PARTICIPANT}={token}; Path=/; Max-Age={MAX_AGE_S}; Secure; HttpOnly; SameSite=Lax")
}

/// The value of `Set-Cookie` that signs it out.
pub fn clear() -> String {
    format!("{PARTICIPANT}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")
}

/// The first value of our cookie in a `Cookie` header. What stands in other cookies does not matter,
/// not even whether it is text: any page of the host may have set them.
pub fn find(header: &[u8]) -> Option<&str> {
    header
        .split(|byte| *byte == b';')
        .filter_map(|pair| std::str::from_utf8(pair).ok())
        .find_map(|pair| pairs(pair).find(|(name, _)| *name == PARTICIPANT))
        .map(|(_, value)| value)
}

/// Is this name ours?
pub fn is_reserved(name: &str) -> bool {
    // Browsers compare the prefixes without case.
    RESERVED_PREFIXES.iter().any(|prefix| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    })
}

/// Adds the header's cookies to `list`, without ours and without `dropped`.
pub fn push_others(list: &mut String, header: &str, dropped: &str) {
    for (name, value) in pairs(header) {
        if !is_reserved(name) && name != dropped {
            push(list, name, value);
        }
    }
}

/// Adds one cookie to the value of a `Cookie` header.
pub fn push(list: &mut String, name: &str, value: &str) {
    if !list.is_empty() {
        list.push_str("; ");
    }
    for part in [name, "=", value] {
        list.push_str(part);
    }
}

fn pairs(header: &str) -> impl Iterator<Item = (&str, &str)> {
    header.split(';').filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        Some((name.trim(), value.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_cookie_is_found_among_others() {
        assert_eq!(find(b"a=1; __Host-thon=tok; b=2"), Some("tok"));
        assert_eq!(find(b"a=1;__Host-thon=tok"), Some("tok"));
        assert_eq!(find("a=\u{e9}; __Host-thon=tok".as_bytes()), Some("tok"));
        assert_eq!(find(b"a=\xe9; __Host-thon=tok"), Some("tok"));
        assert_eq!(find(b"x__Host-thon=tok"), None);
        assert_eq!(find(b""), None);
    }

    #[test]
    fn a_sandbox_never_sees_a_cookie_of_ours() {
        let mut seen = String::new();
        push_others(
            &mut seen,
            "a=1; __Host-thon=tok; __host-x=1; __Secure-y=2; code-server-session=z",
            "code-server-session",
        );
        assert_eq!(seen, "a=1");
    }
}
