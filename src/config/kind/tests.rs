//! What each kind accepts.

use super::*;

const PORT: Kind = Kind::Integer {
    min: 0,
    max: 65_535,
};
const CORES: Kind = Kind::Decimal {
    min: 0.1,
    max: 1024.0,
};
const WORDS: Kind = Kind::Words(&["owner", "open"]);

/// What a kind accepts, and what it does not.
const TABLE: &[(Kind, &[&str], &[&str])] = &[
    (
        Kind::Flag,
        &["true", "Yes", "1", "no", "OFF"],
        &["2", "maybe", "y"],
    ),
    (
        PORT,
        &["0", "8100", "65535"],
        &["-1", "65536", "8e3", "many", ""],
    ),
    (CORES, &["0.1", "2", "1.5"], &["0", "NaN", "inf", "2 cores"]),
    (WORDS, &["owner", "OPEN"], &["all", ""]),
    (Kind::Address, &["203.0.113.7", "::1"], &["here", "1.2.3"]),
    (
        Kind::Listen,
        &["0.0.0.0:443", "[::]:443"],
        &["443", ":443", "host:1"],
    ),
    (
        Kind::Domain,
        &["thon.example.org", "localhost"],
        &["a b", "-a.org", "a..b", ""],
    ),
    (
        Kind::Email,
        &["ann@example.org"],
        &["ann", "@example.org", "a b@example.org"],
    ),
    (
        Kind::Url,
        &["https://cloud.langfuse.com", "http://[::1]:3000"],
        &["cloud", "ftp://a", "https://"],
    ),
    (
        Kind::Bridge,
        &["thon0"],
        &["", "a-name-that-is-too-long", "a b"],
    ),
    (
        Kind::Subnet,
        &["10.201.0.0/20"],
        &["10.0.0.1/8", "10.0.0.0/30"],
    ),
    (Kind::AbsolutePath, &["/srv/thon"], &["srv", "~/thon"]),
    (
        Kind::Text,
        &["anything, really"],
        &["two\nlines", "\u{1b}[2J"],
    ),
    (
        Kind::Networks,
        &["10.0.0.0/24", "192.0.2.7", "::1"],
        &["0.0.0.0/0", "::/0", "ten"],
    ),
];

#[test]
fn each_kind_accepts_what_it_says_and_nothing_else() {
    for (kind, good, bad) in TABLE {
        for text in *good {
            assert!(kind.checked(text).is_some(), "{kind:?} refuses {text}");
        }
        for text in *bad {
            assert_eq!(kind.checked(text), None, "{kind:?} accepts {text}");
        }
    }
    assert_eq!(WORDS.checked("OPEN").as_deref(), Some("open"));
    assert_eq!(
        Kind::Networks.checked("192.0.2.7").as_deref(),
        Some("192.0.2.7/32")
    );
    assert_eq!(Kind::Text.checked(&"x".repeat(5000)), None);
}

#[test]
fn sizes_are_written_with_or_without_a_unit() {
    assert_eq!(bytes("2GiB"), Some(2 << 30));
    assert_eq!(bytes("512 MiB"), Some(512 << 20));
    assert_eq!(bytes("1024"), Some(1024));
    assert_eq!(bytes("2 parsecs"), None);
    assert_eq!(bytes("99999999999GiB"), None);
}
