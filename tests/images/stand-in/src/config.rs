//! The command line and the configuration file, read by code-server's rules.

use std::collections::HashMap;
use std::{env, fs};

pub struct Config {
    pub bind: String,
    /// The value of a valid session cookie; none means `auth: none`.
    pub hashed_password: Option<String>,
    pub cookie: String,
}

/// code-server's rules: the command line wins over the file, `auth` is `password` unless said otherwise, and secrets
/// come from the file or the environment only.
pub fn configure(arguments: Vec<String>) -> Result<Config, String> {
    let mut given: HashMap<String, String> = HashMap::new();
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        let Some(option) = argument.strip_prefix("--") else {
            continue;
        };
        if option.is_empty() {
            break;
        }
        let (key, value) = match option.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None if option.starts_with("disable-")
                || matches!(option, "ignore-last-opened" | "skip-auth-preflight") =>
            {
                (option.to_owned(), String::new())
            }
            None => (
                option.to_owned(),
                arguments
                    .next_if(|next| !next.starts_with('-'))
                    .unwrap_or_default(),
            ),
        };
        if matches!(key.as_str(), "password" | "hashed-password") {
            return Err(format!("--{key} can only be set in the config file"));
        }
        given.insert(key, value);
    }
    if let Some(path) = given.get("config").cloned() {
        let text =
            fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (key, value) = line
                .split_once(':')
                .ok_or_else(|| format!("{path}: not a YAML mapping: {line}"))?;
            let value = value.trim();
            let quoted = ['"', '\'']
                .into_iter()
                .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
            given
                .entry(key.trim().to_owned())
                .or_insert_with(|| quoted.unwrap_or(value).to_owned());
        }
    }
    if let Ok(value) = env::var("HASHED_PASSWORD") {
        given.insert("hashed-password".to_owned(), value);
    }
    if let Ok(value) = env::var("CODE_SERVER_COOKIE_SUFFIX") {
        given.insert("cookie-suffix".to_owned(), value);
    }
    let hashed_password = match given.get("auth").map_or("password", String::as_str) {
        "none" => None,
        "password" => Some(
            given
                .get("hashed-password")
                .cloned()
                .ok_or("this stand-in knows no password but hashed-password")?,
        ),
        other => {
            return Err(format!(
                "--auth valid values: [password, none], not {other}"
            ));
        }
    };
    let cookie = match given
        .get("cookie-suffix")
        .filter(|suffix| !suffix.is_empty())
    {
        Some(suffix) => {
            let clean = |c: char| {
                if c.is_ascii_alphanumeric() || c == '-' {
                    c
                } else {
                    '-'
                }
            };
            format!(
                "code-server-session-{}",
                suffix.chars().map(clean).collect::<String>()
            )
        }
        None => "code-server-session".to_owned(),
    };
    Ok(Config {
        bind: given
            .remove("bind-addr")
            .unwrap_or_else(|| "127.0.0.1:8080".to_owned()),
        hashed_password,
        cookie,
    })
}
