//! One case, from the first publish to the last, and its report.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use chancery::proto::admin::{
    Document, PublishOptions, ReplaceSnapshotRequest, document::Format, snapshot_service_client::SnapshotServiceClient,
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::{
    delay::DelayProxy,
    load::{Load, Results},
    longest_warming,
    ports::free_address,
    processes::{Chancery, Envoy, GROUP, events},
    scene::{Case, Scene},
    upstream::start_upstream,
    warming,
};

/// The timeout for expected events on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);
const UPSTREAMS: usize = 4;
/// The number of a log's lines in a failure.
const LAST_LINES: usize = 40;
/// The time for which connections on a drained listener may still use an inline route: a little more than the drain.
const REMOVAL_DELAY: Duration = Duration::from_secs(6);

/// The parameters of a run.
pub(crate) struct Cell {
    pub(crate) case: Case,
    pub(crate) delta: bool,
    /// Half of the round trip between Envoy and Chancery.
    pub(crate) one_way: Duration,
    /// Envoy's `--drain-time-s`.
    pub(crate) drain: Option<u32>,
}

/// The results of a run.
pub(crate) struct Report {
    cell: String,
    /// True if a drain ended during the run.
    drained: bool,
    refuses: bool,
    results: Results,
    publishes: u64,
    /// The longest warming of a cluster, and its name.
    longest_warming: (Duration, String),
    /// Envoy's response flags of failed requests, with their numbers.
    flags: BTreeMap<String, u64>,
    nacks: usize,
    /// Delta: the number of resources that were sent again after a restart.
    sent_again: u64,
}

/// The processes and tasks of one run.
struct Stage {
    dir: PathBuf,
    scene: Scene,
    chancery: Chancery,
    flags: Vec<String>,
    _proxy: DelayProxy,
    envoy: Envoy,
    admin: SnapshotServiceClient<Channel>,
    load: Arc<Load>,
    _upstreams: JoinSet<()>,
}

/// Runs the case for this long.
pub(crate) async fn run(cell: &Cell, length: Duration) -> anyhow::Result<Report> {
    let mut stage = Stage::set_up(cell).await?;
    stage.publish(cell.case, 0).await?;
    if let Err(error) = stage.wait_for_traffic().await {
        return Err(error.context(stage.last_words()));
    }
    let stop = CancellationToken::new();
    let mut watch = JoinSet::new();
    watch.spawn(warming::longest(stage.envoy.admin, cell.case, stop.clone()));
    let load = stage.load.start();

    let (publishes, sent_again) = match cell.case {
        Case::Restart => (0, stage.restart(length, cell.delta).await?),
        _ => (stage.publish_on(cell.case, length).await?, 0),
    };
    // Some requests after the last publish.
    sleep(Duration::from_millis(500)).await;
    stop.cancel();
    let longest_warming = watch.join_next().await.context("the watch runs")???;
    if !(cell.case == Case::Everything && cell.drain.is_none()) {
        stage.wait_for_removals(cell.case, publishes).await?;
    }
    stage.load.stop();
    load.join_all().await;
    let nacks = events(&stage.chancery.log, "NACK")?.len();
    let mut flags = BTreeMap::new();
    for line in stage.envoy.end()? {
        let said: Vec<&str> = line.split(' ').take(3).collect();
        *flags.entry(said.join(" ")).or_default() += 1;
    }
    Ok(Report {
        cell: cell.to_string(),
        drained: cell.drain.is_some(),
        refuses: cell.case == Case::Refused,
        results: stage.load.results(),
        publishes,
        longest_warming,
        flags,
        nacks,
        sent_again,
    })
}

impl Stage {
    async fn set_up(cell: &Cell) -> anyhow::Result<Self> {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-loss").join(cell.slug());
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir_all(&dir)?;
        let mut tasks = JoinSet::new();
        let mut upstreams = Vec::new();
        for _ in 0..UPSTREAMS {
            upstreams.push(start_upstream(&mut tasks).await?);
        }
        let scene = Scene {
            listener: free_address(),
            upstreams,
        };
        let given = std::env::var("NO_LOSS_FLAGS").unwrap_or_default();
        let mut flags: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
        if cell.case == Case::Inline {
            flags.push(format!("--ordering-removal-delay={}s", REMOVAL_DELAY.as_secs()));
        }
        let chancery = Chancery::start(&dir, 0, None, &flags)?;
        let far = free_address();
        let proxy = DelayProxy::start(far, chancery.xds, cell.one_way).await?;
        let xds = if cell.one_way.is_zero() { chancery.xds } else { far };
        let envoy = Envoy::start(&dir, xds, cell.delta, cell.drain).await?;
        let admin = Endpoint::from_shared(format!("http://{}", chancery.admin))?
            .connect()
            .await?;
        Ok(Self {
            dir,
            load: Load::new(scene.listener),
            scene,
            chancery,
            flags,
            _proxy: proxy,
            envoy,
            admin: SnapshotServiceClient::new(admin),
            _upstreams: tasks,
        })
    }

    async fn publish(&mut self, case: Case, number: u64) -> anyhow::Result<()> {
        let document = Document {
            name: "scene.json".to_owned(),
            content: self.scene.document(case, number),
            format: Format::Json.into(),
        };
        let request = ReplaceSnapshotRequest {
            group: GROUP.to_owned(),
            documents: vec![document],
            options: Some(PublishOptions {
                allow_removals: true,
                ..PublishOptions::default()
            }),
            ..ReplaceSnapshotRequest::default()
        };
        self.admin.replace_snapshot(request).await?;
        Ok(())
    }

    /// Publishes at the case's pace; Envoy accepts the last publish. Returns the number of publishes.
    async fn publish_on(&mut self, case: Case, length: Duration) -> anyhow::Result<u64> {
        let begun = Instant::now();
        let mut ticks = interval(case.interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut number = 0;
        while begun.elapsed() < length || case.is_refused(number) {
            ticks.tick().await;
            number += 1;
            self.load.note_publish();
            self.publish(case, number).await?;
        }
        Ok(number)
    }

    /// Kills and restarts Chancery repeatedly. Returns the number of resources that a delta client was sent again.
    async fn restart(&mut self, length: Duration, delta: bool) -> anyhow::Result<u64> {
        let begun = Instant::now();
        let mut sent_again = 0;
        for number in 1.. {
            let addresses = (self.chancery.xds, self.chancery.admin);
            self.load.note_publish();
            self.chancery.kill()?;
            self.chancery = Chancery::start(&self.dir, number, Some(addresses), &self.flags)?;
            let log = self.chancery.log.clone();
            // The Envoy subscribes again to clusters, endpoints, listeners and routes.
            let reconnected = || async { Ok(events(&log, "subscribed")?.len() >= 4) };
            wait_until("Envoy to reconnect", reconnected).await?;
            sleep(Duration::from_secs(1)).await;
            let sent = events(&log, "sent")?;
            if delta {
                sent_again += sent.iter().filter_map(|sent| sent["resources"].as_u64()).sum::<u64>();
            }
            if begun.elapsed() > length {
                break;
            }
        }
        Ok(sent_again)
    }

    async fn wait_for_traffic(&self) -> anyhow::Result<()> {
        let listener = self.scene.listener;
        wait_until("the first 200", || async {
            Ok(crate::processes::get(listener, "/").await.is_ok())
        })
        .await
    }

    /// The last lines of the logs, for the message of a failure.
    fn last_words(&self) -> String {
        let end = |log: &Path| {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let skipped = text.lines().count().saturating_sub(LAST_LINES);
            let lines: Vec<&str> = text.lines().skip(skipped).collect();
            format!("the end of {}:\n{}\n", log.display(), lines.join("\n"))
        };
        format!("{}{}", end(&self.chancery.log), end(&self.dir.join("envoy.log")))
    }

    /// Waits for the removals, which come once nothing refers to the removed resources.
    async fn wait_for_removals(&self, case: Case, number: u64) -> anyhow::Result<()> {
        let left = vec![case.cluster(number)];
        let gone = || async { Ok(self.envoy.active_clusters().await? == left) };
        wait_until("the old clusters to be removed", gone).await
    }
}

async fn wait_until<F: Future<Output = anyhow::Result<bool>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !probe().await? {
        ensure!(
            Instant::now() < deadline,
            "waited {} s for {what}, which did not happen",
            PATIENCE.as_secs()
        );
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

// === impl Cell ===

impl Cell {
    fn slug(&self) -> String {
        self.to_string().replace([' ', '/'], "-")
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = format!("{:?}", self.case).to_lowercase();
        let variant = if self.delta { "delta" } else { "sotw" };
        let drain = self
            .drain
            .map_or_else(|| "default".to_owned(), |seconds| format!("{seconds}s"));
        write!(
            f,
            "{case:<10} {variant:<7} {:>3}ms  {drain:<7}",
            self.one_way.as_millis() * 2
        )
    }
}

// === impl Report ===

impl Report {
    pub(crate) fn header() -> String {
        "case       variant   RTT  drain   publishes  requests: new   kept  not 200  cut  slowest  warming  NACKs  again"
            .to_owned()
    }

    /// The violations of the test's conditions.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.results.failed() > 0 {
            complaints.push(format!(
                "requests failed: {:?}; Envoy says {:?}",
                self.results.failures, self.flags
            ));
        }
        if self.results.cut > 0 && !self.drained {
            complaints.push(format!(
                "{} connections were cut although no drain ended",
                self.results.cut
            ));
        }
        let (longest, cluster) = &self.longest_warming;
        if *longest > longest_warming() {
            complaints.push(format!("{cluster} warmed for {} ms", longest.as_millis()));
        }
        if self.refuses != (self.nacks > 0) {
            complaints.push(format!("{} publishes were refused", self.nacks));
        }
        if self.sent_again > 0 {
            complaints.push(format!("{} resources were sent again", self.sent_again));
        }
        complaints
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let results = &self.results;
        write!(
            f,
            "{} {:>9}  {:>13} {:>6}  {:>7}  {:>3}  {:>4} ms  {:>4} ms  {:>5}  {:>5}",
            self.cell,
            self.publishes,
            results.on_new,
            results.on_kept,
            results.failed(),
            results.cut,
            results.slowest.as_millis(),
            self.longest_warming.0.as_millis(),
            self.nacks,
            self.sent_again,
        )?;
        if !results.failures.is_empty() {
            write!(f, "  {:?}", results.failures)?;
        }
        if !self.flags.is_empty() {
            write!(f, "  Envoy: {:?}", self.flags)?;
        }
        Ok(())
    }
}
