//! What a browser calls itself, in the few words that help its owner to tell two of them apart.

/// Longest description that is kept of a browser we do not know, in characters.
const UNKNOWN_CHARS_MAX: usize = 60;

/// Order matters: Edge and Opera also say Chrome, Chrome also says Safari.
const BROWSERS: [(&str, &str); 6] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

/// Android also says Linux, an iPhone also says Mac.
const SYSTEMS: [(&str, &str); 7] = [
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

/// "Firefox on Linux", or the start of what it said.
pub(super) fn describe(user_agent: &str) -> String {
    match (browser(user_agent), system(user_agent)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        _ => unknown(user_agent),
    }
}

/// The browser and the system alone, of those that we know.
pub(super) fn browser(user_agent: &str) -> Option<&'static str> {
    first_of(&BROWSERS, user_agent)
}

pub(super) fn system(user_agent: &str) -> Option<&'static str> {
    first_of(&SYSTEMS, user_agent)
}

fn first_of(known: &[(&'static str, &'static str)], text: &str) -> Option<&'static str> {
    known
        .iter()
        .find(|(mark, _)| text.contains(mark))
        .map(|(_, name)| *name)
}

fn unknown(user_agent: &str) -> String {
    let shown: String = user_agent
        .chars()
        .filter(|c| !c.is_control())
        .take(UNKNOWN_CHARS_MAX)
        .collect();
    if shown.trim().is_empty() {
        "a browser".to_owned()
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_named_by_what_its_owner_calls_it() {
        for (agent, name) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/141.0 Safari/537.36 Edg/141.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1",
                "Safari on iPhone",
            ),
            ("curl/8.5.0", "curl/8.5.0"),
            ("", "a browser"),
        ] {
            assert_eq!(describe(agent), name);
        }
        assert_eq!(describe(&"x".repeat(500)).len(), UNKNOWN_CHARS_MAX);
    }
}
