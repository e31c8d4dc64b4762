//! Keeps Chancery busy with one kind of work under `perf`, and prints its CPU time by function.

use std::{
    process::{ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::process::{Child, Command};

use crate::{
    bench::{Arm, Bench},
    content::{self, Item},
    load::{NodePlan, TypePlan, Variant},
    peer::PeerKind,
    scenario::fan_out::{GROUP, SIZE},
    wire::type_url,
};

/// The kinds of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Case {
    /// 1000 nodes, one resource: the minimal cost of a push.
    Sotw1,
    /// 1000 nodes, 100 resources.
    Sotw100,
    /// 200 nodes, 1000 resources.
    Sotw1000,
    /// 1000 nodes, 1000 resources, of which one is sent.
    Delta,
    /// No nodes: publishes of one of 10 000 resources.
    Commits,
}

impl Case {
    /// Variant, nodes and resources.
    const fn shape(self) -> (Variant, usize, usize) {
        match self {
            Self::Sotw1 => (Variant::Sotw, 1000, 1),
            Self::Sotw100 => (Variant::Sotw, 1000, 100),
            Self::Sotw1000 => (Variant::Sotw, 200, 1000),
            Self::Delta => (Variant::Delta, 1000, 1000),
            Self::Commits => (Variant::Delta, 0, 10_000),
        }
    }
}

/// Runs for this time. With `keep`, perf's data stays in that folder.
pub(crate) async fn run(bench: &Bench, case: Case, span: Duration, keep: Option<&str>) -> Result<ExitCode> {
    let (variant, nodes, resources) = case.shape();
    let items: Vec<Item> = (0..resources).map(|number| content::cluster(number, 1, SIZE)).collect();
    let mut arm = Arm::start(bench, PeerKind::Chancery, &[GROUP.to_owned()], &items).await?;
    let types: Arc<[TypePlan]> = Arc::new([TypePlan::wildcard(variant, type_url::CLUSTER, resources)]);
    arm.connect(NodePlan::alike(nodes, GROUP, variant, &types)).await?;
    let folder = tempfile::tempdir()?;
    let data = keep.map_or_else(|| folder.path().join("perf.data").display().to_string(), str::to_owned);
    let pid = arm.peer.watched.pid().to_string();
    println!("{case:?}: {nodes} nodes, {resources} resources, process {pid}, {span:?}");
    let mut perf = record(&pid, &data)?;
    let (pushes, commits) = (arm.board().totals().pushes, arm.version);
    let meter = arm.meter()?;
    let begun = Instant::now();
    while begun.elapsed() < span {
        let number = usize::try_from(arm.version)? * 7 % resources;
        let change = [content::cluster(number, arm.version + 1, SIZE)];
        if nodes == 0 {
            arm.publish(&change, false).await?;
        } else {
            arm.commit(&change).await?;
            arm.board().take_commits();
        }
    }
    let reading = arm.read(meter).await?;
    let (pushes, commits) = (arm.board().totals().pushes - pushes, arm.version - commits);
    let per = if pushes > 0 {
        ("push", pushes)
    } else {
        ("commit", commits)
    };
    println!(
        "{commits} commits, {pushes} pushes, {:.1} µs of CPU per {}",
        reading.cpu * 1e6 / per.1 as f64,
        per.0
    );
    arm.stop().await;
    // perf ends with the process it watches.
    let ended = tokio::time::timeout(Duration::from_secs(20), perf.wait()).await;
    ended.context("perf did not end with the server")??;
    for keys in ["dso", "symbol"] {
        report(&data, keys).await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn record(pid: &str, data: &str) -> Result<Child> {
    Command::new("perf")
        .args(["record", "--event", "cpu-clock", "--freq", "999", "--quiet"])
        .args(["--output", data, "--pid", pid])
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("perf is not installed, which is what looks at the server")
}

async fn report(data: &str, keys: &str) -> Result<()> {
    let output = Command::new("perf")
        .args([
            "report",
            "--input",
            data,
            "--stdio",
            "--no-children",
            "--percent-limit",
            "0.7",
        ])
        .args(["--sort", keys])
        .output()
        .await?;
    ensure!(output.status.success(), "perf cannot read {data}");
    println!("\nby {keys}:");
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
    {
        println!("{}", line.trim_end().trim_end_matches(['-', ' ']));
    }
    Ok(())
}
