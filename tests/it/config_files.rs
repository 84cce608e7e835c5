//! Every settings file in the repository, and every YAML block in the documents, is valid.

use std::fs;
use std::path::{Path, PathBuf};

use thon::config::env::FixedVars;
use thon::config::{self, Config, reference};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// In the environment that the repository is read in: nobody's.
fn load(path: &Path) -> Result<Config, String> {
    let vars = FixedVars {
        root: true,
        ..FixedVars::default()
    };
    config::load(Some(path), &vars).map_err(|problems| problems.to_string())
}

fn check(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thon.yaml");
    fs::write(&path, text).unwrap();
    load(&path)
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

/// The blocks that are marked `yaml`, with the line they begin on.
fn yaml_blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        match (&mut open, line.trim_start()) {
            (None, "```yaml") => open = Some((at + 1, String::new())),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some((_, block)), _) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

#[test]
fn every_settings_file_is_valid_and_only_the_original_s_has_warnings() {
    let root = root();
    let found = [
        files(&root.join("config"), "yaml"),
        files(&root.join("config/examples"), "yaml"),
    ]
    .concat();
    assert!(found.len() > 6, "{found:?}");
    for path in found {
        let config = load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        let original = path.ends_with("examples/original.yaml");
        assert_eq!(config.warnings.is_empty(), !original, "{}", path.display());
    }
}

/// What is committed, and what the code says it must be; written anew if that is asked for.
fn is_rendered(path: &str, expected: &str) {
    let file = root().join(path);
    #[expect(
        clippy::disallowed_methods,
        reason = "the switch of a developer, not a setting"
    )]
    if std::env::var("RENDER").is_ok() {
        fs::write(&file, expected).unwrap();
    }
    assert!(
        fs::read_to_string(&file).unwrap_or_default() == expected,
        "{path} is not what src/config/keys says; render it again:\n    RENDER=1 cargo test --test it rendered"
    );
}

#[test]
fn the_reference_file_is_rendered_from_the_code() {
    is_rendered("config/thon.yaml", &reference::file());
}

#[test]
fn the_tables_of_the_page_are_rendered_from_the_code() {
    const BEGIN: &str = "<!-- rendered from src/config/keys -->\n";
    const END: &str = "<!-- end of what is rendered -->\n";
    let page = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}\n{}\n{END}{after}", reference::tables());
    is_rendered("docs/configuration.md", &expected);
}

/// Without the first `#` of each line.
fn uncommented() -> String {
    let lines = reference::file();
    let lines = lines
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_reference_file_uncommented_means_what_no_file_means() {
    let vars = FixedVars {
        root: true,
        ..FixedVars::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let shown = |text: &str| {
        let path = dir.path().join("thon.yaml");
        fs::write(&path, text).unwrap();
        let settings = config::Settings::load(Some(&path), &vars).unwrap();
        assert_eq!(settings.warnings(), []);
        settings.to_json()
    };
    assert_eq!(shown(&uncommented()), shown(""));
}

#[test]
fn every_yaml_block_in_the_documents_is_valid() {
    let root = root();
    let documents = [
        files(&root, "md"),
        files(&root.join("docs"), "md"),
        files(&root.join("docs/decisions"), "md"),
    ];
    let mut blocks = 0;
    for path in documents.concat() {
        for (line, block) in yaml_blocks(&fs::read_to_string(&path).unwrap()) {
            let checked = check(&block).map(|config| config.warnings);
            assert_eq!(checked, Ok(Vec::new()), "{}:{line}", path.display());
            blocks += 1;
        }
    }
    assert!(blocks > 0, "the documents show no settings");
}
