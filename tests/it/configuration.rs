//! `thon config` with the built program: what is said of a broken file, and what is never said.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A directory with a settings file in it.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn with(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let desk = Self { dir };
        desk.file("thon.yaml", text, 0o600);
        desk
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn thon(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thon"));
        command.args(args).env_clear().env("HOME", self.dir.path());
        command.current_dir(self.dir.path()).output().unwrap()
    }
}

fn talk(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn data(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

/// An unknown key, a wrong type, a bad value.
const BROKEN: &str = "\
proxy:
  htps_listen: 0.0.0.0:443
dashboard:
  port: [8100]
sandbox:
  access: everybody
";

#[test]
fn three_mistakes_are_three_messages_with_file_and_line() {
    let output = Desk::with(BROKEN).thon(&["config", "validate", "--config", "thon.yaml"]);
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(data(&output), "");
    let expected = "\
error: thon.yaml:2: proxy.htps_listen: unknown key; did you mean `https_listen`?
error: thon.yaml:4: dashboard.port: a list is not accepted: write a whole number between 0 and 65535
error: thon.yaml:6: sandbox.access: `everybody` is not accepted: write one of owner, password, open
";
    let (problems, hint) = talk(&output).split_at(expected.len());
    assert_eq!(problems, expected);
    assert!(
        hint.starts_with("hint: ") && hint.lines().count() == 1,
        "{hint}"
    );
}

#[test]
fn programs_get_the_same_mistakes_as_data() {
    let output =
        Desk::with(BROKEN).thon(&["--json", "config", "validate", "--config", "thon.yaml"]);
    assert_eq!(output.status.code(), Some(64));
    let answer: serde_json::Value = serde_json::from_str(data(&output)).unwrap();
    assert_eq!(answer["valid"], false);
    assert_eq!(answer["problems"][2]["file"], "thon.yaml");
    assert_eq!(answer["problems"][2]["line"], 6);
    assert_eq!(answer["problems"][2]["key"], "sandbox.access");
    assert_eq!(answer["problems"].as_array().unwrap().len(), 3);
}

#[test]
fn a_file_with_warnings_is_valid_and_says_them_on_standard_error() {
    let desk = Desk::with("groups: {red: [ana]}\nnginx: {enabled: false}\n");
    let output = desk.thon(&["config", "validate", "--config", "thon.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        data(&output),
        "thon.yaml is valid: 1 group, 1 participant\n"
    );
    assert!(talk(&output).contains("warning: thon.yaml:2: nginx: the old name of `proxy`"));
    assert!(talk(&output).contains("ssl_provider: none"));
    let output = desk.thon(&["--json", "config", "validate", "--config", "thon.yaml"]);
    let answer: serde_json::Value = serde_json::from_str(data(&output)).unwrap();
    assert_eq!(answer["warnings"].as_array().unwrap().len(), 2);
}

#[test]
fn no_secret_is_ever_shown() {
    let text = "gateway: {redis_password: hunter2}\nauth: {github: {client_id: x, client_secret: \"hunter2\\n\"}}\n";
    let desk = Desk::with(text);
    let refused = desk.thon(&["config", "validate", "--config", "thon.yaml"]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(!talk(&refused).contains("hunter2"), "{}", talk(&refused));
    desk.file("thon.yaml", "gateway: {redis_password: hunter2}\n", 0o644);
    for args in [
        &["config", "show"][..],
        &["config", "env"],
        &["config", "validate"],
    ] {
        for json in [&[][..], &["--json"]] {
            let output = desk.thon(&[args, &["--config", "thon.yaml"], json].concat());
            assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
            assert!(
                !data(&output).contains("hunter2") && !talk(&output).contains("hunter2"),
                "{args:?}"
            );
        }
    }
}

#[test]
fn settings_are_written_as_variables_for_their_owner_only() {
    let desk =
        Desk::with("proxy: {domain: thon.example.org}\ngateway: {redis_password: \"it's $5\"}\n");
    let args = [
        "config",
        "env",
        "--output",
        "thon.env",
        "--config",
        "thon.yaml",
    ];
    let output = desk.thon(&args);
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    let path = desk.dir.path().join("thon.env");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains("THON_DOMAIN=thon.example.org\n"), "{text}");
    assert!(
        text.contains("GATEWAY_REDIS_PASSWORD=\"it's \\$5\"\n"),
        "{text}"
    );
}

/// In a directory that everybody may write to, somebody else may have left one for root.
#[test]
fn another_account_s_file_in_the_current_directory_is_refused() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let desk = Desk::with("groups: {red: [alice]}");
    let path = desk.dir.path().join("thon.yaml");
    if fs::metadata(&path).unwrap().uid() != 0 {
        // Without root nothing can be given away; what is one's own is taken.
        let output = desk.thon(&["config", "validate"]);
        assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
        return;
    }
    // Root has a file of its own in the usual place on some hosts: look at a place without one.
    let none = desk.dir.path().join("none").display().to_string();
    let validate = |sudo: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thon"));
        command.env_clear().env("CONFIGURATION_DIRECTORY", &none);
        command.env("SUDO_UID", sudo).args(["config", "validate"]);
        command.current_dir(desk.dir.path()).output().unwrap()
    };
    assert_eq!(validate("").status.code(), Some(0));
    chown(&path, Some(4_001), None).unwrap();
    let refused = validate("");
    assert_eq!(refused.status.code(), Some(64));
    assert!(talk(&refused).contains("belongs to another account"));
    assert_eq!(validate("4002").status.code(), Some(64));
    assert_eq!(validate("4001").status.code(), Some(0));
    let named = desk.thon(&["config", "validate", "--config", "thon.yaml"]);
    assert_eq!(named.status.code(), Some(0));
}

#[test]
fn a_pipe_in_a_usual_place_is_refused_and_not_waited_for() {
    let desk = Desk::with("");
    let path = desk.dir.path().join("thon.yaml");
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_thon"))
        .env_clear()
        .env("CONFIGURATION_DIRECTORY", desk.dir.path())
        .args(["config", "validate"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(talk(&output).contains("it is no file"), "{}", talk(&output));
}
