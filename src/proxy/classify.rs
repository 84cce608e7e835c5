//! Where a request goes, from its raw path alone. Nothing is decoded and nothing is normalised: what
//! does not match byte for byte is not a sandbox.

use crate::domain::id::UserRef;

/// The owner's segments are names, so a path that could be read in two ways never gets this far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Destination<'a> {
    Sandbox {
        /// `group/user`, exactly as in the path: the key of the routing table.
        owner: &'a str,
        /// What follows, with its query. Empty when the final slash is missing.
        rest: &'a str,
    },
    Gateway,
    Portal,
    /// Looks like a sandbox's path and is none.
    Nowhere,
}

/// `target` is path and query as the client wrote them.
pub(super) fn classify(target: &str) -> Destination<'_> {
    if let Some(inside) = target.strip_prefix("/w/") {
        return sandbox(inside).unwrap_or(Destination::Nowhere);
    }
    let path = path_of(target);
    if is_model_path(path) {
        return Destination::Gateway;
    }
    if resembles_sandbox(path) {
        return Destination::Nowhere;
    }
    Destination::Portal
}

fn path_of(target: &str) -> &str {
    let end = target.bytes().position(|byte| byte == b'?');
    end.and_then(|end| target.get(..end)).unwrap_or(target)
}

fn is_model_path(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/") || path.starts_with("/api/v1/")
}

/// `/w`, `/W/…` and the like: no page of ours begins so, and a proxy in front that folds case or
/// slashes must not turn a request for the portal into one for a sandbox.
fn resembles_sandbox(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next();
    first.is_some_and(|first| first.eq_ignore_ascii_case("w"))
}

fn sandbox(inside: &str) -> Option<Destination<'_>> {
    let path = path_of(inside);
    let mut slashes = path.bytes().enumerate().filter(|(_, byte)| *byte == b'/');
    slashes.next()?;
    let owner_end = slashes.next().map_or(path.len(), |(at, _)| at);
    let owner = inside.get(..owner_end)?;
    // Two valid names and one slash: no dots, no percent signs, no upper case, no empty segment.
    if !UserRef::is_valid(owner) {
        return None;
    }
    let rest = inside.get(owner.len()..)?;
    is_plain(path.get(owner_end..)?).then_some(Destination::Sandbox { owner, rest })
}

/// Is every reader's idea of this path the same? A dot segment, in whatever spelling, means another
/// place to a browser or a server than to us; so does a backslash, or a second slash at the start.
fn is_plain(path: &str) -> bool {
    !path.starts_with("//")
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !has_dot_segment(path)
}

fn has_dot_segment(path: &str) -> bool {
    // In most paths nothing could be or hide one.
    if !path.contains("/.") && !path.contains('%') && !path.starts_with('.') {
        return false;
    }
    let folded = path.to_ascii_lowercase();
    let dotted = folded.replace("%2e", ".");
    let split = dotted.replace("%2f", "/").replace("%5c", "/");
    split
        .split('/')
        // `..;x` is a dot segment to servers that strip path parameters.
        .map(|segment| segment.split_once(';').map_or(segment, |(name, _)| name))
        .any(|segment| segment == "." || segment == "..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at<'a>(owner: &'a str, rest: &'a str) -> Destination<'a> {
        Destination::Sandbox { owner, rest }
    }

    #[test]
    fn a_sandbox_is_named_by_two_exact_segments() {
        for (target, owner, rest) in [
            ("/w/red/alice/", "red/alice", "/"),
            ("/w/red/alice", "red/alice", ""),
            ("/w/red/alice?folder=/x", "red/alice", "?folder=/x"),
            ("/w/red/alice/?a=../..", "red/alice", "/?a=../.."),
            (
                "/w/red/alice/proxy/3000/a%2Fb",
                "red/alice",
                "/proxy/3000/a%2Fb",
            ),
            ("/w/red/alice/%20x//y", "red/alice", "/%20x//y"),
            (
                "/w/red/alice/.vscode/..x/a..b",
                "red/alice",
                "/.vscode/..x/a..b",
            ),
        ] {
            assert_eq!(classify(target), at(owner, rest), "{target}");
        }
    }

    #[test]
    fn whatever_only_resembles_a_sandbox_leads_nowhere() {
        for target in [
            "/w",
            "/w/",
            "/W/red/alice/",
            "//w/red/alice/",
            "/w//red/alice/",
            "/w/red",
            "/w/red/",
            "/w/red//alice/",
            "/w/red/alice//x",
            "/w/Red/alice/",
            "/w/red/alice%2f",
            "/w/red/%61lice/",
            "/w/red/alice;x/",
            "/w/../w/red/alice/",
            "/w/red/alice/../bob/",
            "/w/red/alice/..",
            "/w/red/alice/./x",
            "/w/red/alice/%2e%2e/bob/",
            "/w/red/alice/.%2E/bob/",
            "/w/red/alice/x%2f..%2fbob",
            "/w/red/alice/x%5c%2e%2e%5cbob",
            "/w/red/alice/..;/bob/",
            "/w/red/alice/..\\bob",
            "/w/red/alice/\u{1}",
            "/w/red/alice/\u{e9}",
            "/w?red/alice/",
        ] {
            assert_eq!(classify(target), Destination::Nowhere, "{target}");
        }
    }

    #[test]
    fn models_and_pages_have_their_own_paths() {
        for target in ["/v1", "/v1?x", "/v1/models", "/api/v1/chat/completions"] {
            assert_eq!(classify(target), Destination::Gateway, "{target}");
        }
        for target in [
            "/",
            "/me/x",
            "/v1x",
            "/api/v2",
            "/%77/red/alice/",
            "/wx/red/alice/",
            "*",
        ] {
            assert_eq!(classify(target), Destination::Portal, "{target}");
        }
    }

    /// Text built from the pieces that attacks are made of, around real owners.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/",
            "//",
            "w",
            "W",
            "red",
            "alice",
            "bob",
            "blue",
            ".",
            "..",
            "%2e",
            "%2E",
            "%2f",
            "%5C",
            "\\",
            ";",
            "?",
            "#",
            "%00",
            "%",
            "w/red/bob",
            "/w/red/alice/",
            "é",
            " ",
            "-",
        ]);
        prop::collection::vec(piece, 0..14).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn no_path_leads_to_a_sandbox_but_the_one_it_spells(target in hostile()) {
            if let Destination::Sandbox { owner, rest } = classify(&target) {
                prop_assert_eq!(format!("/w/{owner}{rest}"), target.clone());
                let mut segments = target.split(['/', '?']).skip(2);
                let spelled = format!("{}/{}", segments.next().unwrap(), segments.next().unwrap());
                prop_assert_eq!(owner, spelled);
                prop_assert!(rest.is_empty() || rest.starts_with(['/', '?']));
            }
        }

        #[test]
        fn a_changed_path_never_reaches_the_neighbour(
            at in 0_usize..40,
            junk in "[\\PC]{0,3}",
            cut in 0_usize..4,
        ) {
            let good = "/w/red/alice/proxy/3000/index.html";
            let before: String = good.chars().take(at).collect();
            let after: String = good.chars().skip(at + cut).collect();
            let changed = format!("{before}{junk}{after}");
            if let Destination::Sandbox { owner, .. } = classify(&changed) {
                let prefix = format!("/w/{owner}");
                let rest = changed.strip_prefix(&prefix);
                prop_assert!(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?'])));
            }
        }

        #[test]
        fn any_text_is_classified_without_panic(target in "\\PC*") {
            classify(&target);
        }
    }
}
