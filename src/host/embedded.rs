//! The sandbox image's sources, as they were when this binary was built.

/// Path in the build's context, and contents.
pub(super) const FILES: [(&str, &str); 6] = [
    ("Dockerfile", include_str!("../../Dockerfile")),
    (
        "config/extensions.txt",
        include_str!("../../config/extensions.txt"),
    ),
    (
        "config/sandbox/code-server",
        include_str!("../../config/sandbox/code-server"),
    ),
    (
        "config/sandbox/install-extensions",
        include_str!("../../config/sandbox/install-extensions"),
    ),
    (
        "config/sandbox/settings.json",
        include_str!("../../config/sandbox/settings.json"),
    ),
    (
        "config/sandbox/trust-host-ca",
        include_str!("../../config/sandbox/trust-host-ca"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The sandbox stages copy nothing that we do not carry.
    #[test]
    fn everything_that_the_sandbox_copies_is_embedded() {
        let (_, dockerfile) = FILES[0];
        let sandbox = dockerfile.split("AS sandbox\n").nth(1).unwrap();
        let until_next = sandbox.split("\nFROM ").next().unwrap();
        let build = dockerfile.split("AS sandbox-build").nth(1).unwrap();
        let build = build.split("\nFROM ").next().unwrap();
        for line in [build, until_next].iter().flat_map(|stage| stage.lines()) {
            let Some(copied) = line.strip_prefix("COPY ") else {
                continue;
            };
            if copied.contains("--from=") {
                continue;
            }
            let words: Vec<&str> = copied.split(' ').filter(|w| !w.starts_with("--")).collect();
            for source in &words[..words.len() - 1] {
                let known = source.starts_with("host-ca")
                    || FILES.iter().any(|(path, _)| path.starts_with(source));
                assert!(known, "{source} of `{line}` is not in FILES");
            }
        }
    }
}
