//! A peer in a process of its own: started, asked what it has used so far, and ended with the bench.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// `USER_HZ` is 100 on every Linux that Rust knows.
const MICROS_A_TICK: u64 = 10_000;

pub(crate) struct Process {
    child: Child,
    /// The child ends when this does.
    _life: Option<ChildStdin>,
    /// What the child said when it was ready.
    pub(crate) says: String,
}

impl Process {
    /// This program in another role; waits for the line that says it is ready. Its log goes to a file.
    pub(crate) async fn role(arguments: &[&OsStr], log: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(log)?)
            .kill_on_drop(true)
            .spawn()?;
        let life = child.stdin.take();
        let out = child.stdout.take().context("no output")?;
        let mut says = String::new();
        BufReader::new(out).read_line(&mut says).await?;
        anyhow::ensure!(
            !says.is_empty(),
            "{arguments:?} ended: {}",
            fs::read_to_string(log)?
        );
        Ok(Self {
            child,
            _life: life,
            says: says.trim().to_owned(),
        })
    }

    /// Another program, which the kernel ends when the bench is gone.
    pub(crate) fn program(
        program: &Path,
        arguments: &[&OsStr],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            child,
            _life: None,
            says: String::new(),
        })
    }

    /// CPU microseconds of the process and its children until now.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        let ticks: u64 = self.tree()?.iter().map(|stat| stat.ticks).sum();
        Ok((ticks * MICROS_A_TICK) as f64)
    }

    /// Resident memory of the process and its children, in KiB.
    pub(crate) fn resident_kib(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for stat in self.tree()? {
            let status = fs::read_to_string(format!("/proc/{}/status", stat.pid))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let number = line.and_then(|line| line.split_whitespace().next());
            sum += number.context("no VmRSS")?.parse::<u64>()?;
        }
        Ok(sum)
    }

    fn tree(&self) -> anyhow::Result<Vec<Stat>> {
        let root = self.child.id().context("a peer has ended")?;
        let stats = fs::read_dir("/proc")?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Stat::of);
        Ok(stats
            .filter(|stat| stat.pid == root || stat.parent == root)
            .collect())
    }

    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.ask_to_end();
        self.child.wait().await?;
        Ok(())
    }

    fn ask_to_end(&self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            // One that has ended by itself is as good.
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        }
    }
}

/// nginx's master ends its workers when it is asked to end, not when it is killed.
impl Drop for Process {
    fn drop(&mut self) {
        self.ask_to_end();
    }
}

struct Stat {
    pid: u32,
    parent: u32,
    ticks: u64,
}

impl Stat {
    /// `None`: it ended in the meantime.
    fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, after_name) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            pid,
            parent: u32::try_from(number(1)?).ok()?,
            ticks: number(11)? + number(12)?,
        })
    }
}

/// For a role: the bench is gone when its end of the pipe is.
pub(crate) async fn until_bench_ends() {
    let end = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(end).await.ok();
}
