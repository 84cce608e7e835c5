//! Where to go after signing in: a path of an instance on this origin, or nowhere.

/// Longest path that is carried through a sign-in.
const LEN_MAX: usize = 2048;

/// A checked path, or nothing. It is compared as written: whatever a browser could read as another
/// host (`//`, a backslash) or climb out of `/w/` with (dot segments, also encoded) is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Next(Option<String>);

impl Next {
    pub(super) fn parse(text: Option<&str>) -> Self {
        Self(text.filter(|text| is_inside(text)).map(str::to_owned))
    }

    /// The value for a form's hidden field; empty for nowhere.
    pub(super) fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Where a signed-in browser goes.
    pub(super) fn or_home(&self) -> &str {
        self.0.as_deref().unwrap_or("/")
    }
}

fn is_inside(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    text.len() <= LEN_MAX
        && text.starts_with("/w/")
        && !text.contains("//")
        && !text.contains('\\')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !path.split('/').any(is_dots)
}

/// `.` and `..`, also percent-encoded.
fn is_dots(segment: &str) -> bool {
    matches!(
        segment.to_ascii_lowercase().replace("%2e", ".").as_str(),
        "." | ".."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_an_instance_is_kept() {
        for good in ["/w/red/alice/", "/w/red/alice/?folder=/workspace/a.b..c"] {
            assert_eq!(Next::parse(Some(good)).or_home(), good);
        }
    }

    #[test]
    fn whatever_leads_elsewhere_leads_home() {
        for bad in [
            "",
            "/",
            "/join/abc",
            "//evil.example/w/",
            "/w//evil.example",
            "/\\evil.example",
            "/w/\\evil",
            "https://evil.example/w/",
            "javascript:alert(1)",
            "/w/../join/x",
            "/w/red/%2E%2e/%2e./x",
            "/w/a b",
            "/w/ä",
            "/w/a\r\nSet-Cookie: x=1",
            &format!("/w/{}", "x".repeat(LEN_MAX)),
        ] {
            assert_eq!(Next::parse(Some(bad)).or_home(), "/", "{bad}");
        }
        assert_eq!(Next::parse(None).or_home(), "/");
    }
}
