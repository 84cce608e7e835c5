//! Settings from a file and an environment: what is accepted, what it means, and what is said.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::config::env::FixedVars;

mod gateway;
mod hostile;
mod secrets;

/// A directory with a settings file in it, and an environment.
struct Desk {
    dir: tempfile::TempDir,
    vars: FixedVars,
}

impl Desk {
    fn with(text: &str) -> Self {
        let desk = Self {
            dir: tempfile::tempdir().unwrap(),
            vars: FixedVars {
                root: true,
                ..FixedVars::default()
            },
        };
        desk.file("thon.yaml", text, 0o600);
        desk
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.vars.values.insert(name.into(), value.into());
        self
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn load(&self) -> Result<Config, Problems> {
        load(Some(&self.dir.path().join("thon.yaml")), &self.vars)
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// Without the directory, which is another one each time.
    fn problems(&self) -> Vec<String> {
        let problems = self.load().err().unwrap_or_default();
        self.lines(&problems.to_string())
    }

    fn warnings(&self) -> Vec<String> {
        let lines: Vec<String> = self
            .config()
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect();
        self.lines(&lines.join("\n"))
    }

    fn lines(&self, text: &str) -> Vec<String> {
        let dir = format!("{}/", self.dir.path().display());
        text.lines().map(|line| line.replace(&dir, "")).collect()
    }
}

fn problems(text: &str) -> Vec<String> {
    Desk::with(text).problems()
}

fn config(text: &str) -> Config {
    Desk::with(text).config()
}

#[test]
fn nothing_written_means_the_documented_defaults() {
    let config = config("");
    assert_eq!(config.proxy.https_listen.to_string(), "0.0.0.0:443");
    assert_eq!(config.proxy.http_listen.to_string(), "0.0.0.0:80");
    assert_eq!(config.proxy.certificates, Certificates::Own);
    assert_eq!(config.dashboard.listen.to_string(), "0.0.0.0:8100");
    assert_eq!(config.gateway.listen.to_string(), "127.0.0.1:9080");
    assert_eq!(config.state_dir.to_str(), Some("/var/lib/thon"));
    assert_eq!(config.sandbox.resources, Resources::DEFAULT);
    assert_eq!(config.sandbox.access, Access::Owner);
    assert_eq!(config.sandbox.sudo, Sudo::Deny);
    assert_eq!(config.workspace.mode, WorkspaceMode::Volume);
    assert_eq!(config.warnings, []);
    let models: Vec<&str> = config
        .lemonade
        .chat_models
        .iter()
        .map(|model| model.name.as_str())
        .collect();
    assert_eq!(models, ["gemma-4-31b-it", "qwen3.6-27b"]);
    assert_eq!(config.lemonade.llamacpp.main_gpu, None);
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_file() {
    let said = Desk::with(
        "log_level: LOUD\nexternal_ip: here\ngroups: {Red: [alice], green: [x, x]}\nproxy: {https_listen: '443', domain: 'a b', trusted_proxies: [0.0.0.0/0]}\nsandbox: {subnet: 10.0.0.1/8, bridge: a-name-that-is-too-long, memory: 1MiB, cpus: 0, pids: 1}\nworkspace: {mode: bind}\nstate_dir: here\nlemonade: {llamacpp: {ctk: q9}, chat_models: [{name: x, contxt: 1}, {name: y}]}\nlangfuse: {base_url: cloud}\nauth: {enabled: yes}\ngateway: on\n",
    )
    .set("DASHBOARD_PORT", "many")
    .set("DOCKER_HOST", "tcp://192.0.2.1")
    .problems();
    let keys = said
        .iter()
        .map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" "));
    let expected = [
        "thon.yaml:1 log_level",
        "thon.yaml:2 external_ip",
        "thon.yaml:3 groups.Red",
        "thon.yaml:3 groups.green",
        "thon.yaml:4 proxy.https_listen",
        "thon.yaml:4 proxy.domain",
        "thon.yaml:4 proxy.trusted_proxies[0]",
        "thon.yaml:5 sandbox.subnet",
        "thon.yaml:5 sandbox.bridge",
        "thon.yaml:5 sandbox.memory",
        "thon.yaml:5 sandbox.cpus",
        "thon.yaml:5 sandbox.pids",
        "thon.yaml:6 workspace.dir",
        "thon.yaml:7 state_dir",
        "thon.yaml:8 lemonade.llamacpp.ctk",
        "thon.yaml:8 lemonade.chat_models[0].contxt",
        "thon.yaml:8 lemonade.chat_models[1].checkpoint",
        "thon.yaml:9 langfuse.base_url",
        "thon.yaml:10 auth.enabled",
        "thon.yaml:11 gateway",
        "DASHBOARD_PORT dashboard.port",
        "DOCKER_HOST `tcp://192.0.2.1` is not accepted",
    ];
    assert_eq!(keys.collect::<Vec<_>>(), expected, "{said:#?}");
}

#[test]
fn a_flag_is_written_in_many_words() {
    for (word, sudo) in [
        ("yes", Sudo::Allow),
        ("'1'", Sudo::Allow),
        ("TRUE", Sudo::Allow),
        ("no", Sudo::Deny),
        ("0", Sudo::Deny),
    ] {
        assert_eq!(
            config(&format!("sandbox: {{sudo: {word}}}")).sandbox.sudo,
            sudo,
            "{word}"
        );
    }
    assert_eq!(
        problems("sandbox: {sudo: maybe}"),
        ["thon.yaml:1: sandbox.sudo: `maybe` is not accepted: write true or false"]
    );
}

#[test]
fn the_environment_wins_over_the_file_and_an_empty_variable_is_not_set() {
    let config = Desk::with("external_ip: 203.0.113.1\nproxy: {external_ip: 203.0.113.2}\ndashboard: {port: 9000}\nlog_level: debug\ngateway: {enabled: true}\n")
        .set("EXTERNAL_IP", "203.0.113.9")
        .set("DASHBOARD_PORT", "0")
        .set("THON_LOG_LEVEL", "")
        .set("GATEWAY_ENABLED", "no")
        .set("GATEWAY_MODE", "per-group")
        .config();
    assert_eq!(config.external_ip, Some("203.0.113.9".parse().unwrap()));
    assert_eq!(config.dashboard.listen.port(), 0);
    assert_eq!(config.log_level, LogLevel::Debug);
    assert!(!config.gateway.enabled);
    assert_eq!(config.gateway.mode, KeyMode::PerGroup);
}

#[test]
fn a_value_of_the_environment_is_refused_by_the_name_of_its_variable() {
    let said = Desk::with("").set("THON_DOMAIN", "a b\u{1b}[2J").problems();
    assert_eq!(
        said,
        [
            "THON_DOMAIN: proxy.domain: `a b\\u{1b}[2J` is not accepted: write a host name, for example thon.example.org"
        ]
    );
}

#[test]
fn the_old_name_of_a_section_means_the_new_one() {
    let desk = Desk::with("nginx: {domain: thon.example.org, ssl_provider: mkcert}\n");
    assert_eq!(
        desk.config().proxy.domain.as_deref(),
        Some("thon.example.org")
    );
    assert_eq!(
        desk.warnings(),
        ["thon.yaml:1: nginx: the old name of `proxy`: rename the section"]
    );
    let said = problems("nginx:\n  domain: a.example.org\nproxy:\n  domain: b.example.org\n");
    assert_eq!(
        said,
        [
            "thon.yaml:2: nginx.domain: `proxy.domain` is written as well: keep `proxy.domain` and remove this one"
        ]
    );
    assert!(problems("nginx: {port: 1}")[0].starts_with("thon.yaml:1: nginx.port: unknown key"));
}

#[test]
fn certificates_of_ones_own_are_two_files_or_a_directory() {
    let files = |text: &str| {
        config(&format!("proxy: {{ssl_provider: files, {text}}}"))
            .proxy
            .certificates
    };
    let expected = |dir: &str, certificate: &str, key: &str| Certificates::Files {
        certificate: Path::new(dir).join(certificate),
        key: Path::new(dir).join(key),
    };
    assert_eq!(
        files("ssl_dir: /tls"),
        expected("/tls", "fullchain.pem", "privkey.pem")
    );
    assert_eq!(
        files("ssl_certificate: /a/c.pem, ssl_certificate_key: /a/k.pem"),
        expected("/a", "c.pem", "k.pem")
    );
    assert_eq!(
        files("ssl_dir: /tls, ssl_certificate_key: /tls/k.pem"),
        expected("/tls", "fullchain.pem", "k.pem")
    );
    assert_eq!(problems("proxy: {ssl_provider: files}").len(), 2);
    let said = problems(
        "proxy: {ssl_provider: files, ssl_certificate: c.pem, ssl_certificate_key: /k.pem}",
    );
    assert_eq!(
        said,
        ["thon.yaml:1: proxy.ssl_certificate: `c.pem` is not accepted: write an absolute path"]
    );
    let unused = Desk::with("proxy: {ssl_certificate: /c.pem}").warnings();
    assert_eq!(
        unused,
        ["thon.yaml:1: proxy.ssl_certificate: is read with `ssl_provider: files` only"]
    );
}

#[test]
fn plain_http_needs_somebody_in_front_who_has_tls() {
    let said = problems("proxy: {ssl_provider: none}");
    assert!(
        said[0].contains("loopback address") && said[0].contains("trusted_proxies"),
        "{said:?}"
    );
    for text in [
        "https_listen: '127.0.0.1:8443'",
        "https_listen: '[::1]:8443'",
        "trusted_proxies: 192.0.2.7",
    ] {
        let config = config(&format!("proxy: {{ssl_provider: none, {text}}}"));
        assert_eq!(config.proxy.certificates, Certificates::Off, "{text}");
    }
    // What is wrong is said once, where it is wrong.
    assert_eq!(
        problems("proxy: {ssl_provider: none, https_listen: x}").len(),
        1
    );
}

#[test]
fn a_trusted_proxy_is_an_address_or_a_range_and_never_everybody() {
    let config = config(
        "proxy: {trusted_proxies: [10.0.0.0/24, 192.0.2.7, '::1', '::ffff:192.0.2.8', '::ffff:10.1.0.0/112']}",
    );
    let written: Vec<String> = config
        .proxy
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    let read = [
        "10.0.0.0/24",
        "192.0.2.7/32",
        "::1/128",
        "192.0.2.8/32",
        "10.1.0.0/16",
    ];
    assert_eq!(written, read);
    for everybody in ["0.0.0.0/0", "'::/0'", "'::ffff:0:0/96'", "everybody"] {
        assert_eq!(
            problems(&format!("proxy: {{trusted_proxies: [{everybody}]}}")).len(),
            1
        );
    }
}

#[test]
fn two_listeners_in_one_place_and_a_socket_s_path_that_is_too_long_are_refused() {
    let said = problems("proxy: {https_listen: '127.0.0.1:443', http_listen: '0.0.0.0:443'}");
    assert_eq!(said.len(), 1);
    assert!(
        said[0].contains("what `proxy.https_listen` listens on"),
        "{said:?}"
    );
    assert_eq!(problems("dashboard: {port: 443}").len(), 1);
    assert_eq!(problems("gateway: {listen: '127.0.0.1:8100'}").len(), 1);
    config("proxy: {https_listen: '127.0.0.1:443', http_listen: '127.0.0.2:443'}");
    config("proxy: {https_listen: '127.0.0.1:0', http_listen: '127.0.0.1:0'}");
    config(&format!("runtime_dir: /{}", "x".repeat(93)));
    let said = problems(&format!("runtime_dir: /{}", "x".repeat(94)));
    assert!(said[0].contains("longer than 94 bytes"), "{said:?}");
}

#[test]
fn what_lost_its_meaning_is_accepted_and_says_what_replaces_it() {
    let desk = Desk::with("sandbox: {domain: 'host:1', starting_port: [1], python_version: 3.11}\ngateway: {rate_limit: 500, time_window: 60, admin_key: k}\n")
        .set("GATEWAY_ADMIN_URL", "http://127.0.0.1:9180")
        .set("AUTH_SESSION_SECRET", "s3cret");
    let said = desk.warnings();
    for part in [
        "thon.yaml:1: sandbox.domain: ",
        "thon.yaml:1: sandbox.starting_port: ",
        "thon.yaml:1: sandbox.python_version: ",
        "thon.yaml:2: gateway.rate_limit: its name is `gateway.token_limit`",
        "thon.yaml:2: gateway.time_window: ",
        "thon.yaml:2: gateway.admin_key: ",
        "GATEWAY_ADMIN_URL: ",
        "AUTH_SESSION_SECRET: auth.session_secret: ",
    ] {
        assert!(
            said.iter().any(|line| line.starts_with(part)),
            "{part}: {said:#?}"
        );
    }
    assert_eq!(said.len(), 8, "{said:#?}");
}

#[test]
fn a_section_without_effect_says_so_once() {
    let text = "lemonade:\n  port: 13306\n  model: x\n  llamacpp: {ctk: f16}\nlangfuse: {enabled: false}\nevent_id: spring\ntitle: Spring\n";
    let desk = Desk::with(text);
    let expected = [
        "thon.yaml:3: lemonade: accepted, and of no effect in this version: llamacpp.ctk, model",
        "thon.yaml:7: accepted, and of no effect in this version: title",
    ];
    assert_eq!(desk.warnings(), expected);
    assert_eq!(desk.config().lemonade.port, 13306);
    assert_eq!(desk.config().event.id.as_deref(), Some("spring"));
}

#[test]
fn the_original_s_passwords_and_image_have_their_nearest_meaning() {
    let desk = Desk::with("vscode: {secure: true}\nsandbox: {image: 'waterpistol/thon:latest'}\n");
    assert_eq!(desk.config().sandbox.access, Access::Password);
    assert_eq!(desk.config().sandbox.image, "thon-sandbox:latest");
    assert_eq!(desk.warnings().len(), 2);
    let written = config("vscode: {secure: true}\nsandbox: {access: owner, image: 'mine:1'}\n");
    assert_eq!(written.sandbox.access, Access::Owner);
    assert_eq!(written.sandbox.image, "mine:1");
    let by_variable = Desk::with("").set("THON_SECURE", "1").config();
    assert_eq!(by_variable.sandbox.access, Access::Password);
}

#[test]
fn a_directory_for_workspaces_means_bind_mounts_as_it_always_did() {
    let bind = config("workspace: {dir: /thon-workspace}");
    assert_eq!(bind.workspace.mode, WorkspaceMode::Bind);
    let home = Desk::with("workspace: {dir: ~/work}")
        .set("HOME", "/home/ann")
        .config();
    assert_eq!(home.workspace.dir, Some("/home/ann/work".into()));
    assert!(problems("workspace: {dir: work}")[0].contains("absolute directory"));
}

#[test]
fn a_file_that_is_no_settings_file_is_refused_with_its_place() {
    assert_eq!(problems("demo: true\n demo: x\n").len(), 1);
    assert!(problems("a: 1\na: 2\n")[0].starts_with("thon.yaml:2: column 1: `a` is written twice"));
    assert!(problems("- red\n")[0].starts_with("thon.yaml:1: not settings"));
    assert!(problems("proxy.domain: x\n")[0].contains("write `domain` under `proxy`"));
    assert!(problems("groups: {red: [ana]}\n<<: x\n")[0].contains("keys are not merged here"));
    let missing = load(Some(Path::new("/nowhere/thon.yaml")), &FixedVars::default());
    assert_eq!(
        missing.unwrap_err().to_string(),
        "/nowhere/thon.yaml: there is no such file"
    );
}
