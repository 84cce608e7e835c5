//! Secrets: where they may be, who may read them, and that nobody else does.

use std::fs;

use super::Desk;
use crate::config::Config;

#[test]
fn a_secret_may_be_in_a_file_of_its_own() {
    let desk = Desk::with("");
    let key = desk.file("key", "from-file\n", 0o600);
    let text = format!("lemonade: {{api_key_file: {}}}", key.display());
    desk.file("thon.yaml", &text, 0o600);
    let secret = |config: Config| config.lemonade.api_key.unwrap().expose().to_owned();
    assert_eq!(secret(desk.config()), "from-file");
    // The environment wins, and then the file is not even looked at.
    fs::remove_file(&key).unwrap();
    assert_eq!(
        secret(desk.set("LEMONADE_API_KEY", "from-env").config()),
        "from-env"
    );
}

#[test]
fn a_secret_and_its_file_are_one_too_many() {
    let desk = Desk::with("");
    let key = desk.file("key", "k", 0o600).display().to_string();
    desk.file(
        "thon.yaml",
        &format!("lemonade: {{api_key: k, api_key_file: {key}}}"),
        0o600,
    );
    assert_eq!(
        desk.problems(),
        [
            "thon.yaml:1: lemonade.api_key_file: `lemonade.api_key` is written as well: keep one of them"
        ]
    );
    let both = Desk::with("")
        .set("LEMONADE_API_KEY", "k")
        .set("LEMONADE_API_KEY_FILE", &key);
    assert_eq!(
        both.problems(),
        [
            "LEMONADE_API_KEY_FILE: lemonade.api_key: LEMONADE_API_KEY is set as well: keep one of them"
        ]
    );
    let by_file = Desk::with("lemonade: {api_key: k}")
        .set("LEMONADE_API_KEY_FILE", &key)
        .config();
    assert_eq!(by_file.lemonade.api_key.unwrap().expose(), "k");
}

#[test]
fn a_secret_that_everybody_can_read_is_warned_of() {
    let desk = Desk::with("");
    desk.file("thon.yaml", "gateway: {redis_password: hunter2}", 0o644);
    assert!(
        desk.warnings()
            .iter()
            .any(|line| line.contains("everybody on this host may read this secret"))
    );
    let key = desk.file("key", "hunter2", 0o644).display().to_string();
    desk.file(
        "thon.yaml",
        &format!("gateway: {{redis_password_file: {key}}}"),
        0o644,
    );
    assert!(
        desk.warnings()
            .iter()
            .any(|line| line.contains("everybody on this host may read that file"))
    );
    desk.file("thon.yaml", "gateway: {redis_password: hunter2}", 0o640);
    assert!(desk.warnings().is_empty());
}

#[test]
fn a_settings_file_that_everybody_can_write_is_warned_of() {
    let desk = Desk::with("");
    desk.file("thon.yaml", "demo: true\n", 0o646);
    assert_eq!(
        desk.warnings(),
        ["thon.yaml: everybody on this host may write it: chmod 600 the file"]
    );
}

#[test]
fn no_secret_is_repeated_in_a_message_or_a_debug_output() {
    let text = "auth: {github: {client_id: x, client_secret: \"hunter2\\n\"}}\n";
    let said = Desk::with(text).problems().concat();
    assert!(
        said.contains("client_secret: the value is not accepted"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
    let config = Desk::with("gateway: {redis_password: hunter2, redis_host: localhost}").config();
    assert!(config.gateway.redis.as_ref().unwrap().password.is_some());
    assert!(!format!("{config:?}").contains("hunter2"));
}
