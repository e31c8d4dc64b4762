//! Chancery's benchmarks: load generator, peers, scenarios and report in one program. `benches/README.md` explains it.

mod bench;
mod content;
mod environment;
mod hostile;
mod load;
mod peer;
mod process;
mod profile;
mod report;
mod results;
mod scenario;
mod secure;
mod servers;
mod short;
mod soak;
mod wire;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser, Subcommand};
use tokio::time::timeout;

use self::{bench::Bench, peer::Machines, results::Results};

/// The bound on the time of one scenario; waits inside of it have shorter bounds.
const SCENARIO: Duration = Duration::from_secs(900);

/// Chancery's benchmarks.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios, keep their samples, and write the page.
    Run {
        #[command(flatten)]
        servers: Servers,
        #[command(flatten)]
        files: Files,
        /// Numbers of scenarios, as in `1,2`; all by default.
        #[arg(long, value_delimiter = ',')]
        only: Vec<u8>,
        /// The short form: fewer nodes and rounds, some minutes.
        #[arg(long)]
        quick: bool,
    },
    /// Write the page from the stored samples.
    Report {
        #[command(flatten)]
        files: Files,
    },
    /// Compare Chancery with limit-raw and naive in some seconds, and fail if a ratio is out of bounds.
    Short {
        #[command(flatten)]
        servers: Servers,
    },
    /// Churn for a long time, and fail if memory or threads grow.
    Soak {
        #[command(flatten)]
        servers: Servers,
        /// Duration in seconds.
        #[arg(long, default_value_t = 600)]
        seconds: u64,
        /// Run over mTLS, with rules, denied nodes, and floods.
        #[arg(long)]
        hostile: bool,
    },
    /// Keep Chancery busy with one kind of work under `perf`, and print its CPU time by function.
    Profile {
        #[command(flatten)]
        servers: Servers,
        /// The kind of work.
        case: profile::Case,
        /// Duration in seconds.
        #[arg(long, default_value_t = 15)]
        seconds: u64,
        /// The folder in which to keep perf's data.
        #[arg(long)]
        keep: Option<String>,
    },
    /// Run one of the servers to compare with.
    Serve {
        /// The kind of server.
        kind: servers::Kind,
        /// Certificate, key and CA of clients: with all three the server uses mTLS.
        #[command(flatten)]
        tls: servers::TlsFiles,
    },
}

/// The paths of the servers' binaries.
#[derive(Debug, Args)]
struct Servers {
    /// The Chancery binary to measure.
    #[arg(long)]
    chancery: PathBuf,
    /// The go-control-plane peer, which is left out without this path.
    #[arg(long)]
    go_peer: Option<PathBuf>,
}

/// Input and output files.
#[derive(Debug, Args)]
struct Files {
    /// The file of the samples.
    #[arg(long, default_value = "docs/benchmarks/results.json")]
    results: PathBuf,
    /// The page; its plots are written next to the samples.
    #[arg(long, default_value = "docs/benchmarks.md")]
    page: PathBuf,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("chancery-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Serve { kind, tls } => servers::serve(kind, &tls).map(|()| ExitCode::SUCCESS),
        Command::Report { files } => {
            files.write(&Results::load(&files.results)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Run {
            servers,
            files,
            only,
            quick,
        } => {
            let bench = Bench::new(servers.machines()?, quick);
            on_one_core(&bench, scenarios(&bench, &files, &only))
        }
        Command::Short { servers } => {
            let bench = Bench::new(servers.machines()?, true);
            on_one_core(&bench, short::run(&bench))
        }
        Command::Soak {
            servers,
            seconds,
            hostile,
        } => {
            let bench = Bench::new(servers.machines()?, false);
            on_one_core(&bench, soak::run(&bench, Duration::from_secs(seconds), hostile))
        }
        Command::Profile {
            servers,
            case,
            seconds,
            keep,
        } => {
            let bench = Bench::new(servers.machines()?, false);
            let work = profile::run(&bench, case, Duration::from_secs(seconds), keep.as_deref());
            on_one_core(&bench, work)
        }
    }
}

/// The generator: one thread on its core.
fn on_one_core(bench: &Bench, work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    let limit = process::raise_file_limit();
    if limit < 12_000 {
        bench.note(format!("only {limit} files may be open: large fleets will fail"));
    }
    match bench.machines.cores {
        Some((_, generator)) => process::pin(generator)?,
        None => bench.note("one core only: server and generator share it, and no latency means anything".to_owned()),
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            done = work => done,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        }
    })
}

async fn scenarios(bench: &Bench, files: &Files, only: &[u8]) -> Result<ExitCode> {
    for number in only {
        let known = scenario::ALL.iter().any(|scenario| scenario.number == *number);
        ensure!(known, "there is no scenario {number}");
    }
    let mut results = Results::load(&files.results)?;
    let mut failed = Vec::new();
    let begun = Instant::now();
    let environment = environment::describe(&bench.machines);
    let chosen = |number: &u8| only.is_empty() || only.contains(number);
    for scenario in scenario::ALL.iter().filter(|scenario| chosen(&scenario.number)) {
        println!("{}. {}", scenario.number, scenario.title);
        let began = Instant::now();
        let done = timeout(SCENARIO, (scenario.run)(bench)).await;
        let error = match done {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(_) => Some(format!("the scenario took longer than {SCENARIO:?}")),
        };
        let mut outcome = bench.take();
        outcome.environment = environment.clone();
        outcome.quick = bench.quick;
        outcome.seconds = began.elapsed().as_secs_f64();
        if let Some(error) = &error {
            println!("  FAILED: {error}");
            failed.push(scenario.number);
        }
        println!("  {:.0} s", outcome.seconds);
        outcome.error = error;
        results.scenarios.insert(scenario.number, outcome);
        // Saved after each scenario, so that a later failure loses nothing.
        results.save(&files.results)?;
        files.write(&results)?;
    }
    println!(
        "all in {:.0} s; see {}",
        begun.elapsed().as_secs_f64(),
        files.page.display()
    );
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("failed: {failed:?}");
    Ok(ExitCode::FAILURE)
}

// === impl Servers ===

impl Servers {
    fn machines(&self) -> Result<Machines> {
        let absolute = |path: &Path| {
            let found = path.canonicalize();
            found.with_context(|| format!("{} is not there: build it first", path.display()))
        };
        let cores = process::cores();
        Ok(Machines {
            chancery: absolute(&self.chancery)?,
            go_peer: self.go_peer.as_deref().map(absolute).transpose()?,
            cores: (cores.len() > 1).then(|| (cores[0], cores[1])),
            tls: None,
            rules: None,
        })
    }
}

// === impl Files ===

impl Files {
    fn write(&self, results: &Results) -> Result<()> {
        let plots = self.results.parent().unwrap_or_else(|| Path::new("."));
        report::write(results, &self.page, plots)
    }
}
