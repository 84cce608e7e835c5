//! The service in a real systemd: installed, watched, killed, upgraded, taken away.

mod host;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tokio::time::Instant;

use crate::story::{alone, tell};
use host::{Host, IMAGE, PROGRAM, text};

/// `CAP_NET_BIND_SERVICE` alone.
const PORTS_ONLY: &str = "0000000000000400";

fn steps(talk: &str) -> Vec<&str> {
    let steps = talk.lines().filter(|line| !line.starts_with("hint"));
    steps
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_installed_serves_with_few_rights_and_survives() {
    let _alone = alone().await;
    let host = Host::boot().await;
    installed_once(&host);
    runs_with_few_rights(&host);
    keeps_its_files_to_itself(&host);
    speaks_with_its_owner_only(&host);
    comes_back(&host).await;
    is_upgraded(&host);
    never_takes_what_is_anothers(&host);
    says_what_is_wrong_and_does_not_insist(&host);
    ends_and_goes(&host);
}

fn installed_once(host: &Host) {
    let started = Instant::now();
    let output = host.exec(&["/root/thon", "install"]);
    tell(&text(&output.stderr));
    assert!(output.status.success(), "{output:#?}");
    tell(&format!("installed in {:?}", started.elapsed()));
    assert_eq!(host.show("ActiveState"), "active");
    assert_eq!(host.show("UnitFileState"), "enabled");
    assert!(host.show("StatusText").starts_with("serving https://"));
    let before = host.process();
    let output = host.exec(&["thon", "install"]);
    let talk = text(&output.stderr);
    assert!(
        steps(&talk).iter().all(|step| *step == "unchanged"),
        "{talk}"
    );
    assert_eq!(host.process(), before, "{talk}");
    let json = host.well(&["thon", "install", "--no-start", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["is_running"], true, "{json}");
}

fn runs_with_few_rights(host: &Host) {
    let process = host.process();
    let status = host.shell(&format!("cat /proc/{process}/status"));
    let value = |key: &str| {
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(name, _)| *name == key).unwrap().1;
        found.trim().to_owned()
    };
    let user = host.shell("id -u thon").trim().to_owned();
    assert_eq!(value("Uid"), [user.as_str(); 4].join("\t"));
    let docker = host.shell("getent group docker | cut -d : -f 3");
    assert!(
        value("Groups")
            .split(' ')
            .any(|group| group == docker.trim())
    );
    for set in ["CapBnd", "CapEff", "CapPrm", "CapInh"] {
        assert_eq!(value(set), PORTS_ONLY, "{set}");
    }
    assert_eq!(
        (value("NoNewPrivs"), value("Seccomp")),
        ("1".into(), "2".into())
    );
    let listening = host.shell("ss -Hltn");
    for place in [
        "0.0.0.0:443",
        "0.0.0.0:80",
        "0.0.0.0:8100",
        "127.0.0.1:9080",
    ] {
        assert!(listening.contains(&format!("{place} ")), "{listening}");
    }
}

fn keeps_its_files_to_itself(host: &Host) {
    for (path, expected) in [
        ("/var/lib/thon", "700 thon:thon"),
        ("/var/lib/thon/thon.redb", "600 thon:thon"),
        ("/var/lib/thon/ca", "700 thon:thon"),
        ("/var/lib/thon/ca/rootCA.key", "600 thon:thon"),
        ("/run/thon", "700 thon:thon"),
        ("/run/thon/control.sock", "600 thon:thon"),
        ("/etc/thon/thon.yaml", "640 root:thon"),
        ("/usr/local/bin/thon", "755 root:root"),
        ("/etc/systemd/system/thon.service", "644 root:root"),
    ] {
        let seen = host.well(&["stat", "--format=%a %U:%G", path]);
        assert_eq!(seen.trim(), expected, "{path}");
    }
}

fn speaks_with_its_owner_only(host: &Host) {
    let status = host.well(&["thon", "status"]);
    assert!(status.contains("/var/lib/thon/thon.redb"), "{status}");
    // Docker is not there, and that is all that is wrong.
    assert_eq!(host.doctor(1), ["THN-RUNTIME-01"]);
    assert!(host.badly(1, &["thon", "run"]).contains("THN-RUN-01"));
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "env",
        "HOME=/nonexistent",
    ];
    let talk = host.badly(1, &[&nobody[..], &["thon", "status"]].concat());
    assert!(talk.contains("use `sudo`"), "{talk}");
    let found = host.exec(&[&nobody[..], &["thon", "doctor"]].concat());
    let found = text(&found.stdout);
    assert!(found.contains("THN-RUN-03"), "{found}");
    let journal = host.journal();
    for bad in ["ERROR", "panicked", "not told"] {
        assert!(!journal.contains(bad), "{journal}");
    }
    let errors = host.well(&["journalctl", "--unit=thon", "--priority=err", "--quiet"]);
    assert_eq!(errors, "");
}

async fn comes_back(host: &Host) {
    let before = host.process();
    let started = Instant::now();
    host.well(&["systemctl", "restart", "thon"]);
    tell(&format!("restarted in {:?}", started.elapsed()));
    assert_ne!(host.process(), before);
    let before = host.process();
    host.well(&["kill", "-KILL", &before.to_string()]);
    let took = host.until_another(before).await;
    tell(&format!("back {took:?} after kill -9"));
    assert!(host.well(&["thon", "status"]).contains("up "));
    // One that is stuck gives no sign of life.
    host.drop_in("WatchdogSec=2");
    host.well(&["systemctl", "restart", "thon"]);
    let before = host.process();
    host.well(&["kill", "-STOP", &before.to_string()]);
    let took = host.until_another(before).await;
    tell(&format!("back {took:?} after it was stuck"));
}

/// Another program's `install` is the upgrade; what the administrator wrote stays.
fn is_upgraded(host: &Host) {
    let settings = "groups: {red: [alice]}\\n";
    host.shell(&format!("printf '{settings}' >/etc/thon/thon.yaml"));
    host.shell("cp /root/thon /root/newer && printf newer >>/root/newer");
    host.shell("echo '# mine' >>/etc/systemd/system/thon.service");
    let before = host.process();
    host.well(&["/root/newer", "install"]);
    assert_ne!(host.process(), before);
    assert_eq!(host.show("ActiveState"), "active");
    host.well(&["cmp", "/root/newer", "/usr/local/bin/thon"]);
    let kept = host.shell("tail -n 1 /etc/systemd/system/thon.service.before");
    assert_eq!(kept, "# mine\n");
    let drop_in = host.show("DropInPaths");
    assert!(drop_in.ends_with("own.conf"), "{drop_in}");
    assert_eq!(
        host.shell("cat /etc/thon/thon.yaml"),
        "groups: {red: [alice]}\n"
    );
}

fn never_takes_what_is_anothers(host: &Host) {
    // `up` wants to get Docker, which takes a network; it starts no second appliance in any case.
    let before = host.process();
    let talk = host.badly(1, &["thon", "up", "--detach"]);
    assert!(talk.contains("the appliance runs already"), "{talk}");
    assert_eq!(host.shell("pgrep -xc thon").trim(), "1");
    assert_eq!(host.process(), before);
    host.well(&["systemctl", "stop", "thon"]);
    host.well(&["systemd-run", "--unit=byhand", "thon", "run"]);
    host.shell("until thon status; do sleep 0.1; done");
    let talk = host.badly(1, &["thon", "install"]);
    assert!(
        talk.contains("THN-RUN-01") && talk.contains("kill "),
        "{talk}"
    );
    host.well(&["systemctl", "stop", "byhand"]);
    let unit = "/etc/systemd/system/thon.service";
    host.shell(&format!("mv {unit} /root/ && systemctl mask thon"));
    let talk = host.badly(1, &["thon", "install"]);
    assert!(talk.contains("masked"), "{talk}");
    assert_eq!(host.well(&["readlink", unit]).trim(), "/dev/null");
    host.shell(&format!(
        "systemctl unmask thon && mv /root/thon.service {unit} && systemctl daemon-reload"
    ));
    // A mask takes the start with the host along; the doctor sees it, and `install` mends it.
    assert!(host.doctor(1).contains(&"THN-UNIT-03".to_owned()));
    host.well(&["thon", "install"]);
    assert_eq!(host.show("UnitFileState"), "enabled");
    assert_eq!(host.show("ActiveState"), "active");
}

fn says_what_is_wrong_and_does_not_insist(host: &Host) {
    host.shell(
        "cp /etc/thon/thon.yaml /root/ && printf 'log_level: LOUD\\n' >>/etc/thon/thon.yaml",
    );
    host.badly(1, &["systemctl", "restart", "thon"]);
    assert_eq!(host.show("ExecMainStatus"), "64");
    assert_eq!(
        host.show("ActiveState"),
        "failed",
        "it must not be tried again"
    );
    assert_eq!(host.doctor(1), ["THN-CONF-01", "THN-UNIT-04"]);
    let talk = host.badly(64, &["thon", "install"]);
    assert!(talk.contains("log_level"), "{talk}");
    host.shell("cat /root/thon.yaml >/etc/thon/thon.yaml");
    // Elsewhere the file system is read-only for it, until the administrator says otherwise.
    host.shell("printf 'state_dir: /srv/thon\\n' >>/etc/thon/thon.yaml");
    host.badly(1, &["thon", "install"]);
    let status = host.show("StatusText");
    assert!(status.contains("THN-STATE-03"), "{status}");
    assert!(host.journal().contains("ReadWritePaths="), "and the hint");
    host.drop_in("ReadWritePaths=/srv/thon");
    host.well(&["thon", "install"]);
    host.shell("test -s /srv/thon/thon.redb");
    host.shell("cat /root/thon.yaml >/etc/thon/thon.yaml");
    // Whatever may pass by itself is tried again.
    host.shell("chmod 644 /var/lib/thon/ca/rootCA.key");
    host.badly(1, &["systemctl", "restart", "thon"]);
    assert!(
        host.show("StatusText").contains("THN-CA-02"),
        "{}",
        host.show("StatusText")
    );
    assert!(host.journal().contains("hint: "));
    assert!(host.doctor(1).contains(&"THN-CA-02".to_owned()));
    host.shell("chmod 600 /var/lib/thon/ca/rootCA.key");
    host.well(&["thon", "install"]);
    assert_eq!(host.show("ActiveState"), "active");
}

fn ends_and_goes(host: &Host) {
    let started = Instant::now();
    host.well(&["systemctl", "stop", "thon"]);
    tell(&format!("stopped in {:?}", started.elapsed()));
    assert_eq!(host.show("Result"), "success");
    host.well(&["/root/newer", "uninstall"]);
    assert_eq!(host.show("LoadState"), "not-found");
    assert!(
        !host
            .exec(&["test", "-e", "/usr/local/bin/thon"])
            .status
            .success()
    );
    host.shell("test -s /var/lib/thon/thon.redb && test -s /etc/thon/thon.yaml");
}

#[tokio::test]
async fn a_host_without_systemd_is_told_so() {
    // The image without its init.
    let mount = format!("{PROGRAM}:/thon:ro");
    let output = Command::new("docker")
        .args(["run", "--rm", "--network=none", "--volume", &mount, IMAGE])
        .args(["/thon", "install"])
        .output()
        .unwrap();
    let talk = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{talk}");
    assert!(talk.contains("not run by systemd"), "{talk}");
    assert!(talk.contains("hint: `thon up --detach`"), "{talk}");
}

/// By the tools of systemd itself.
#[test]
fn the_unit_is_valid_and_exposes_little() {
    let dir = tempfile::tempdir().unwrap();
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/thon.service");
    // A unit whose program is not there is a complaint of its own.
    let text_of = std::fs::read_to_string(&unit).unwrap();
    let here = text_of.replace("/usr/local/bin/thon", PROGRAM);
    let copy = dir.path().join("thon.service");
    std::fs::write(&copy, here).unwrap();
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&copy)
        .output()
        .unwrap();
    // An unknown key is a warning with a good exit code.
    assert!(
        verified.status.success() && verified.stderr.is_empty(),
        "{verified:#?}"
    );
    let judged = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(&unit)
        .output()
        .unwrap();
    let words = text(&judged.stdout);
    let verdict = words.lines().find(|line| line.contains("Overall"));
    tell(verdict.unwrap_or_default());
    assert!(judged.status.success(), "{words}");
}
