//! From the call to the last healthy instance: a bulk launch beside `docker run` of the same image.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tempfile::TempDir;
use thon::config::{self, env::FixedVars};
use thon::control::Launch;
use thon::domain::audit::Actor;
use thon::domain::instance::Phase;
use thon::server::Appliance;
use thon::telemetry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::process::{Process, until_bench_ends};
use crate::scale::Scale;
use crate::table;

/// What `tests/setup` makes: an editor that is nothing but its health, its sockets and its checks.
const IMAGE: &str = "thon-stand-in:1";

const BRIDGE: &str = "thonbench0";
const SUBNET: &str = "10.249.0.0/24";

/// Of everything that this bench starts with `docker run`.
const LABEL: &str = "thon.bench";

const AT_ONCE: usize = 8;

const LOOK_EVERY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_mins(5);

pub(crate) async fn measure(scale: &Scale) -> anyhow::Result<()> {
    if docker(&["image", "inspect", IMAGE]).await.is_err() {
        println!("\nThe launch was left out: no Docker, or no {IMAGE} (`tests/setup` makes it).");
        return Ok(());
    }
    let count = scale.containers;
    let mut rows = Vec::new();
    for (name, at_once) in [
        ("`docker run`, one after the other".to_owned(), 1),
        (format!("`docker run`, {AT_ONCE} at a time"), AT_ONCE),
    ] {
        let seconds = run_all(count, at_once).await;
        remove_all(&format!("label={LABEL}")).await?;
        rows.push((name, cells(seconds?, count)));
    }
    let seconds = launch_all(count).await;
    remove_appliance().await?;
    let name = "THON, with workspace, home, files and limits".to_owned();
    rows.push((name, cells(seconds?, count)));
    let title = format!("{count} small containers, from the call to the last healthy one");
    table::print(&title, &["seconds", "a second"], &rows);
    Ok(())
}

fn cells(seconds: f64, count: usize) -> Vec<String> {
    let rate = 1.0 / table::per(seconds, count);
    vec![format!("{seconds:.1}"), format!("{rate:.1}")]
}

async fn run_all(count: usize, at_once: usize) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let label = format!("{LABEL}=1");
    let arguments = ["run", "-d", "--label", &label, IMAGE];
    let started = stream::iter(0..count).map(|_| docker(&arguments));
    let containers: Vec<String> = started.buffer_unordered(at_once).try_collect().await?;
    for container in containers {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = docker(&["inspect", "--format", format, &container]).await?;
        until_healthy(&address).await?;
    }
    Ok(begin.elapsed().as_secs_f64())
}

async fn until_healthy(address: &str) -> anyhow::Result<()> {
    let asking = async {
        while !matches!(ask(address).await, Ok(true)) {
            sleep(LOOK_EVERY).await;
        }
    };
    let healthy = tokio::time::timeout(PATIENCE, asking).await;
    healthy.with_context(|| format!("{address} does not become healthy"))
}

async fn ask(address: &str) -> std::io::Result<bool> {
    let mut wire = TcpStream::connect(format!("{address}:8443")).await?;
    wire.write_all(b"GET /healthz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = [0; 12];
    wire.read_exact(&mut answer).await?;
    Ok(answer.ends_with(b" 200"))
}

async fn launch_all(count: usize) -> anyhow::Result<f64> {
    let directory = TempDir::new()?;
    crate::stage::open_to_all(directory.path())?;
    let count = count.to_string();
    let arguments: [&OsStr; 3] = [
        "launch-of".as_ref(),
        count.as_ref(),
        directory.path().as_os_str(),
    ];
    let process = Process::role(&arguments, &directory.path().join("log")).await?;
    let seconds = process.says.parse().context(process.says.clone())?;
    process.end().await?;
    Ok(seconds)
}

/// In a process of its own: the appliance gives up root.
pub(crate) fn run(count: usize, directory: &Path) -> anyhow::Result<()> {
    let _log = telemetry::start("info", telemetry::Destination::Stderr);
    tokio::runtime::Runtime::new()?.block_on(async {
        let path = directory.join("thon.yaml");
        tokio::fs::write(&path, settings(count, directory)).await?;
        let config = config::load(Some(&path), &FixedVars::default())?;
        let appliance = Appliance::start(&config).await?;
        let seconds = launch(&appliance).await?;
        println!("{seconds}");
        until_bench_ends().await;
        appliance.stop().await;
        Ok(())
    })
}

fn settings(count: usize, directory: &Path) -> String {
    let at = directory.display();
    let names: Vec<String> = (0..count).map(|number| format!("user-{number}")).collect();
    format!(
        "groups: {{red: [{}]}}\nstate_dir: {at}/state\nruntime_dir: {at}/run\n\
         proxy: {{https_listen: '127.0.0.1:0', http_listen: '127.0.0.1:0'}}\n\
         dashboard: {{host: 127.0.0.1, port: 0}}\ngateway: {{listen: '127.0.0.1:0'}}\n\
         sandbox: {{image: '{IMAGE}', subnet: {SUBNET}, bridge: {BRIDGE}, memory: 512MiB}}\n",
        names.join(", ")
    )
}

async fn launch(appliance: &Appliance) -> anyhow::Result<f64> {
    let control = appliance.control();
    // The network is made at start, not by the launch.
    control.network().wait_for(Option::is_some).await?;
    let begin = Instant::now();
    control.launch(&Launch::default(), Actor::Control).await?;
    loop {
        let all = control.instances().await?;
        let phase = |phase| {
            all.iter()
                .filter(move |one| one.instance.observed.phase == phase)
        };
        anyhow::ensure!(
            phase(Phase::Failed).next().is_none(),
            "an instance has failed"
        );
        if phase(Phase::Ready).count() == all.len() {
            return Ok(begin.elapsed().as_secs_f64());
        }
        anyhow::ensure!(
            begin.elapsed() < PATIENCE,
            "the instances do not become ready"
        );
        sleep(LOOK_EVERY).await;
    }
}

async fn remove_appliance() -> anyhow::Result<()> {
    let format = "{{index .Labels \"thon.appliance\"}}";
    let network = docker(&["network", "inspect", "--format", format, BRIDGE]).await;
    match network {
        Ok(appliance) if !appliance.is_empty() => {
            remove_all(&format!("label=thon.appliance={appliance}")).await
        }
        _ => Ok(()),
    }
}

async fn remove_all(filter: &str) -> anyhow::Result<()> {
    for (list, remove) in [
        (&["ps", "-aq"][..], &["rm", "-f"][..]),
        (&["volume", "ls", "-q"], &["volume", "rm"]),
        (&["network", "ls", "-q"], &["network", "rm"]),
    ] {
        let listed = docker(&[list, &["--filter", filter]].concat()).await?;
        let ids: Vec<&str> = listed.split_whitespace().collect();
        if !ids.is_empty() {
            docker(&[remove, &ids].concat()).await?;
        }
    }
    Ok(())
}

async fn docker(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("docker").args(arguments).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "docker {arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
