//! Every settings file in the repository, and every YAML block in the documents, is valid.

use std::fs;
use std::path::{Path, PathBuf};

use thon::config;
use thon::config::env::FixedVars;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn check(text: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thon.yaml");
    fs::write(&path, text).unwrap();
    let vars = FixedVars {
        root: true,
        ..FixedVars::default()
    };
    config::load(Some(&path), &vars)
        .map(drop)
        .map_err(|problems| problems.to_string())
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
fn every_settings_file_is_valid() {
    let root = root();
    let found = [
        files(&root.join("config"), "yaml"),
        files(&root.join("config/examples"), "yaml"),
    ]
    .concat();
    assert!(!found.is_empty());
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(check(&text), Ok(()), "{}", path.display());
    }
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
            assert_eq!(check(&block), Ok(()), "{}:{line}", path.display());
            blocks += 1;
        }
    }
    assert!(blocks > 0, "the documents show no settings");
}
