//! The live loop: threads and tasks around the pure step.
//!
//! ```text
//! intake thread (one per source) ──packets, samples──► lane threads ──► state
//!        │                                                 │  ▲
//! loader thread ──packets of a past──────────────────────►   │
//! syncer thread ──packets of a table─────────────────────►   │
//!        └─► dead letters                         rows, markers │ acknowledgements
//!                                                          ▼  │
//!                                              publisher task (one per lane) ──► online store
//!                                              feeder thread (one per lane) ──► topics of values
//! ```
//! CPU work runs on the threads, I/O to the online store on the runtime,
//! bounded queues between them. A slow store or disk slows consuming; nothing
//! is dropped and nothing grows.

mod clock;
pub use clock::now;

mod archiver;
mod coverage;
mod feeder;
mod forwarder;
mod intake;
mod lag;
mod lane;
mod ledger;
mod loader;
mod metrics;
mod publisher;
mod reading;
mod routes;
pub use reading::{Folders, Reading as RecordReading};
mod schemas;
mod selector;
mod sweeper;
mod syncer;
mod topic;

pub use ledger::{Counts, FeedLedger, Ledger, SourceLedger, ViewLedger};
pub use schemas::registry;
pub use topic::read_topic;

use crate::feed::Form;
use crate::layout::Layout;
use crate::spool::{Presence, Spool};
use anyhow::{Context, Result, anyhow, bail};
use coverage::Coverage;
use routes::Routes;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tiderace_durable::folder;
use tiderace_engine::{LaneView, recut, recut_ledgers};
use tiderace_offline::Place;
use tiderace_online::{Part, Writer};
use tiderace_plan::Plan;
use tiderace_plan::model::{Source, Stream, View};
use tiderace_serve::{Owner, Prepared, Reading};
use tiderace_source::{
    DeadLetters, FileDeadLetters, KafkaConfig, KafkaDeadLetters, Log, OnLoss, Reader, SharedReader,
    count_partitions, ensure_shared_topic, shared_topic,
};
use tiderace_state::{Options, RocksStore};
use tiderace_trace::Tracer;
use tiderace_types::{Generation, Marker, Positions, ShardRange, Share, SourceId};

/// The queue of packets before a lane.
const QUEUE: usize = 8;

/// A running live loop.
pub struct Live {
    /// Which part of the work is done here.
    share: Share,
    stop: Arc<AtomicBool>,
    intakes: Vec<JoinHandle<()>>,
    lanes: Vec<JoinHandle<Result<()>>>,
    publishers: Vec<tokio::task::JoinHandle<()>>,
    feeders: Vec<JoinHandle<()>>,
    archivers: Vec<archiver::Archiver>,
    sweeper: Option<JoinHandle<()>>,
    /// Tells how far reading is behind.
    lag: Option<JoinHandle<()>>,
    /// What is read, for it.
    read: Vec<lag::Read>,
    /// What makes spans of batches.
    tracer: Tracer,
    loader: Option<JoinHandle<()>>,
    syncers: Vec<JoinHandle<()>>,
    /// Tells commands that this process runs.
    presence: Option<Presence>,
    board: Arc<sweeper::Board>,
    standings: Arc<loader::Standings>,
    /// Where lanes are told of pasts.
    pasts: Vec<crossbeam_channel::Sender<loader::Told>>,
    state: tiderace_state::Store,
    logs: BTreeMap<SourceId, Log>,
    ledger: Arc<Ledger>,
    /// Where the lanes are asked, by their shards.
    askers: Vec<(ShardRange, crossbeam_channel::Sender<lane::Ask>)>,
}

/// What the names of rows that were published lately may take, of all lanes together.
const RECENT: usize = 64 << 20;

/// Packets of a past that may wait for a lane.
const PASTS: usize = 2;

/// Questions that may wait for a lane.
const ASKS: usize = 64;

impl Live {
    /// Opens state and sources and starts consuming.
    ///
    /// # Errors
    /// When state, a log or a topic cannot be opened, naming it.
    pub async fn start(
        plan: &Arc<Plan>,
        layout: &Layout,
        online: tiderace_online::Store,
        share: Share,
        presence: Option<Presence>,
        tracer: Tracer,
    ) -> Result<Live> {
        let options = Options {
            memory_bytes: usize::try_from(plan.project.state_memory)?,
            sync_every_commit: false,
        };
        let path = layout.state();
        folder::create(&path).with_context(|| format!("make folder {}", path.display()))?;
        let state = RocksStore::open(&path, options).context("open state")?;
        claim(&state, share)?;
        let mut live = Live {
            share,
            stop: Arc::new(AtomicBool::new(false)),
            intakes: Vec::new(),
            lanes: Vec::new(),
            publishers: Vec::new(),
            feeders: Vec::new(),
            archivers: Vec::new(),
            sweeper: None,
            lag: None,
            read: Vec::new(),
            tracer,
            loader: None,
            syncers: Vec::new(),
            presence,
            board: Arc::default(),
            standings: Arc::default(),
            pasts: Vec::new(),
            state: state.clone(),
            logs: open_logs(plan, layout)?,
            ledger: Arc::new(Ledger::new(&plan.sources)),
            askers: Vec::new(),
        };
        let remembered = coverage::Remembered::read(&state)?;
        let Err(error) = live.begin(plan, layout, online).await else {
            return Ok(live);
        };
        // What has begun ends, so that another plan can be started over the same state.
        if let Err(error) = live.stop().await {
            tracing::warn!(error = format!("{error:#}"), "what had begun ended badly");
        }
        if !remembered.put_back(&state)? {
            tracing::warn!("something was read before that: views that it had not begin anew");
        }
        Err(error)
    }

    /// Begins all the work of a plan.
    async fn begin(
        &mut self,
        plan: &Arc<Plan>,
        layout: &Layout,
        online: tiderace_online::Store,
    ) -> Result<()> {
        let (state, share) = (self.state.clone(), self.share);
        let live = self;
        let ranges = share.shards().cut(plan.project.lanes);
        let mut recovered = recut(&state.positions()?, &ranges);
        let mut ledgers = recut_ledgers(&state.ledgers()?, &ranges);
        let coverage = Arc::new(Coverage::open(&state, plan, &recovered)?);
        let jobs = loader::Jobs::open(&state, plan, |view| coverage.generation(view))?;
        loader::strip(&jobs, plan, &mut recovered, &mut ledgers);
        let tables = syncer::Held::all(plan, &state, &coverage, &recovered)?;
        let cut = state.recut(&recovered, &ledgers);
        cut.context("write positions")?;
        let lane_view = |view: &Arc<View>| {
            let begun = coverage.begun(view.id);
            let begins = begun.map(|begun| begun.positions).unwrap_or_default();
            LaneView::new(Arc::clone(view), coverage.generation(view.id)).beginning(begins)
        };
        let views: Vec<LaneView> = plan.views.iter().map(lane_view).collect();
        let markers = online.markers_by_part().await.unwrap_or_default();
        // State that was lost starts counting again; what it published before must not fence it out.
        let served = markers.iter().flat_map(|(_, markers)| markers);
        let served = served.map(|marker| marker.version.epoch + 1).max();
        let epoch = state.epoch().max(served.unwrap_or_default());
        let mut lanes: Vec<_> = ranges
            .iter()
            .map(|range| tiderace_engine::Lane::new(*range, views.clone(), &recovered, epoch))
            .collect();
        sweeper::resume(&state, &views, &mut lanes).context("read how far state was swept")?;
        lanes
            .iter_mut()
            .for_each(|lane| lane.resume_ledgers(&ledgers));
        for lane in &mut lanes {
            for table in &tables {
                if let Some(sample) = table.sample() {
                    lane.sample(table.view.source.id, sample);
                }
            }
        }
        let known: Vec<Positions> = lanes.iter().map(|lane| lane.positions().clone()).collect();
        let committed = Positions::behind(&known);
        if share.of > 1 {
            for source in consumed(plan) {
                let config = kafka(plan)?;
                let topic = shared_topic(&plan.project.name, &source.name);
                let largest = source.max_record_bytes;
                ensure_shared_topic(&config, &topic, share, largest as u64)
                    .with_context(|| format!("open source `{}`", source.name))?;
            }
        }
        let mut archives = live.open_archives(plan, layout).await?;
        let (start, mut readers) = live.open_readers(plan, &committed, &mut archives).await?;
        let mut markers = markers;
        let mut routes = BTreeMap::new();
        for (source, reader) in &mut readers {
            let own = plan.views.iter().filter(|view| view.source.id == source.id);
            let own: Vec<_> = own.collect();
            let ids: Vec<_> = own.iter().map(|view| view.id).collect();
            intake::note_starts(source.id, reader, &ids, &coverage)?;
            let (state, ledger) = (&live.state, &live.ledger);
            if intake::note_losses(source, reader, &ids, &coverage, state, ledger)? {
                // What they say was whole when it was said. Nothing is answered until others stand.
                markers.clear();
            }
            if share.of > 1 {
                // Before anything is said of its views.
                let opened = Routes::open(source, &own, &start, (state, &coverage))?;
                routes.insert(source.id, opened);
            }
        }
        for lane in &mut lanes {
            for (place, view) in plan.views.iter().enumerate() {
                if let Some(upto) = coverage.held(view.id) {
                    lane.hold(place, upto);
                }
            }
        }
        let mut senders = Vec::new();
        for lane in lanes {
            senders.push(live.start_lane(lane, epoch, plan, layout, &online, &markers, &coverage)?);
        }
        for (source, reader) in readers {
            live.start_intake(
                Arc::clone(&source),
                reader,
                &views,
                plan,
                layout,
                &start,
                &known,
                archives.remove(&source.id),
                routes.remove(&source.id),
                &coverage,
                senders.clone(),
            )?;
        }
        live.start_sweeper(views, ranges)?;
        live.start_lag(plan)?;
        // A long sync of a table holds no query up.
        let (queries, tables): (Vec<_>, Vec<_>) = tables
            .into_iter()
            .partition(|held| held.view.source.query().is_some());
        for (name, tables) in [("syncer", tables), ("queries", queries)] {
            if !tables.is_empty() {
                live.start_syncer(name, tables, layout, &coverage, senders.clone())?;
            }
        }
        live.start_loader(plan, layout, coverage, jobs)?;
        if live.presence.is_none() {
            live.presence = Some(Spool::new(layout.backfill()).attend()?);
        }
        Ok(())
    }

    /// Takes what tells commands that this process runs, for the live loop that comes after this one.
    pub fn presence(&mut self) -> Option<Presence> {
        self.presence.take()
    }

    /// The counters.
    #[must_use]
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Who answers as of instants that published rows do not.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let askers = self.askers.clone();
        Owner(Arc::new(move |key, as_of, asking| -> Reading {
            let shard = key.shard();
            let (reply, answer) = tokio::sync::oneshot::channel();
            let lane = askers.iter().find(|(range, _)| range.contains(shard));
            let ask = lane::Ask {
                key,
                as_of,
                asking,
                reply,
            };
            // A lane that has more to answer than it can says nothing rather than late.
            let asked = lane.is_some_and(|(_, asker)| asker.try_send(ask).is_ok());
            Box::pin(async move {
                match asked {
                    true => answer.await.ok().flatten().map(Into::into),
                    false => None,
                }
            })
        }))
    }

    /// The embedded logs, by source.
    #[must_use]
    pub fn logs(&self) -> &BTreeMap<SourceId, Log> {
        &self.logs
    }

    /// Stops consuming, commits and publishes what has been read, and waits for all of it.
    ///
    /// # Errors
    /// What a lane died of.
    pub async fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        let (intakes, lanes) = (self.intakes, self.lanes);
        let others = [self.sweeper, self.lag, self.loader].into_iter().flatten();
        let others: Vec<JoinHandle<()>> = others.chain(self.syncers).collect();
        let (feeders, archivers) = (self.feeders, self.archivers);
        let joined = tokio::task::spawn_blocking(move || {
            for other in others {
                other.thread().unpark();
                drop(other.join());
            }
            intakes.into_iter().for_each(|thread| drop(thread.join()));
            archivers.into_iter().for_each(archiver::Archiver::stop);
            let results = lanes.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(_) => Err(anyhow!("a lane panicked")),
            });
            let results = results.collect::<Result<Vec<()>>>();
            feeders.into_iter().for_each(|thread| drop(thread.join()));
            results
        });
        let result = joined.await?;
        for publisher in self.publishers {
            publisher.await?;
        }
        self.state.sync().context("sync state")?;
        result.map(drop)
    }

    /// Tells whether a lane has died; its error comes with [`Live::stop`].
    #[must_use]
    pub fn failed(&self) -> bool {
        self.lanes.iter().any(JoinHandle::is_finished)
    }

    /// Opens the archives that are written here.
    async fn open_archives(
        &self,
        plan: &Plan,
        layout: &Layout,
    ) -> Result<BTreeMap<SourceId, archiver::Opened>> {
        let mut archives = BTreeMap::new();
        for source in consumed(plan) {
            let opened = archiver::open(source, layout, &self.state).await?;
            archives.extend(opened.map(|opened| (source.id, opened)));
        }
        Ok(archives)
    }

    /// Opens what every source is read by, and tells where reading begins: where the lanes have come to, or
    /// its archive, if that is less.
    async fn open_readers(
        &self,
        plan: &Plan,
        committed: &Positions,
        archives: &mut BTreeMap<SourceId, archiver::Opened>,
    ) -> Result<(Positions, Vec<(Arc<Source>, Reader)>)> {
        let mut start = Positions::default();
        let mut readers = Vec::new();
        for source in consumed(plan) {
            let own = committed.0.iter().filter(|(p, _)| p.source == source.id);
            let mut from = Positions(own.map(|(p, at)| (*p, *at)).collect());
            let mut reader = None;
            if let Some(archive) = archives.get_mut(&source.id) {
                let both = Positions::behind([&from, &archive.positions]);
                if archive.is_new && both != from {
                    // Everything that is still there. What is not was never promised to it.
                    match self.open_reader(plan, source, &both, OnLoss::Stop) {
                        Ok(all) => reader = Some(all),
                        Err(error) => {
                            tracing::warn!(
                                source = source.name,
                                error = format!("{error:#}"),
                                "the archive begins where reading had come to: the topic has let go of its beginning"
                            );
                            archive.begin(&from).await?;
                        }
                    }
                }
                // From now on it is behind nothing that it has been promised.
                from = Positions::behind([&from, &archive.positions]);
            }
            let on_loss = match source.continues_past_losses {
                true => OnLoss::Continue,
                false => OnLoss::Stop,
            };
            let reader = match reader {
                Some(reader) => reader,
                None => self.open_reader(plan, source, &from, on_loss)?,
            };
            readers.push((Arc::clone(source), reader));
            start.0.extend(from.0);
        }
        Ok((start, readers))
    }

    fn open_reader(
        &self,
        plan: &Plan,
        source: &Source,
        from: &Positions,
        on_loss: OnLoss,
    ) -> Result<Reader> {
        let from = from.0.iter();
        let from: Vec<_> = from
            .map(|(partition, at)| (partition.number, at.next))
            .collect();
        let reader = match &source.stream {
            Stream::Embedded => {
                let from = from.first().map_or(0, |(_, next)| *next);
                self.logs[&source.id].reader(from, source.id)
            }
            Stream::Kafka { topic, .. } if self.share.of > 1 => {
                let (config, trail) = (
                    kafka(plan)?,
                    intake::trail(&self.state, &intake::trail_meta(source.id), source)?,
                );
                let shared = shared_topic(&plan.project.name, &source.name);
                SharedReader::open(&config, &shared, topic, source.id, &from, trail, self.share)
                    .map(|reader| Reader::Shared(Box::new(reader)))
            }
            Stream::Table(_) => bail!("source `{}` is a table", source.name),
            Stream::Kafka { topic, headers, .. } => {
                let (config, trail) = (
                    kafka(plan)?,
                    intake::trail(&self.state, &intake::trail_meta(source.id), source)?,
                );
                Reader::resume(&config, topic, source.id, &from, trail, on_loss, self.share)
                    .map(|reader| reader.only(headers.clone()))
            }
        };
        let reader = reader.with_context(|| format!("open source `{}`", source.name))?;
        match self.tracer.is_on() {
            true => Ok(reader.with_traces()),
            false => Ok(reader),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where a lane's parts meet"
    )]
    fn start_lane(
        &mut self,
        lane: tiderace_engine::Lane,
        epoch: u64,
        plan: &Arc<Plan>,
        layout: &Layout,
        online: &tiderace_online::Store,
        markers: &[(Part, Vec<Marker>)],
        coverage: &Arc<Coverage>,
    ) -> Result<crossbeam_channel::Sender<lane::Message>> {
        let (sender, packets) = crossbeam_channel::bounded(QUEUE);
        let (to_publisher, orders) = tokio::sync::mpsc::channel(2);
        let (replies, from_publisher) = crossbeam_channel::bounded(4);
        let (asker, asks) = crossbeam_channel::bounded(ASKS);
        let (past, pasts) = crossbeam_channel::bounded(PASTS);
        self.pasts.push(past);
        self.askers.push((lane.shards, asker));
        let mut trusted = Vec::new();
        for (part, markers) in markers {
            let marker = lane::trusted(&lane, plan, coverage, markers, &self.state)?;
            trusted.extend(marker.map(|marker| (*part, marker)));
        }
        let recent = RECENT / plan.project.lanes.max(1);
        let store = online.clone();
        let taken_over = trusted
            .iter()
            .map(|(part, trusted)| (*part, trusted.marker));
        let writer = Writer::new(store, lane.shards, epoch, recent, taken_over);
        let publisher = publisher::Publisher {
            writer,
            shards: lane.shards,
            orders,
            replies,
            stop: Arc::clone(&self.stop),
        };
        self.publishers.push(tokio::spawn(publisher.run()));
        let feeding = self.start_feeder(lane.shards, plan, layout)?;
        let name = format!("lane-{}", lane.shards);
        let worker = lane::Worker::new(
            lane,
            Arc::clone(plan),
            self.state.clone(),
            &trusted,
            Arc::clone(coverage),
            Arc::clone(&self.ledger),
            lane::Wires {
                asks,
                packets,
                pasts,
                to_publisher,
                from_publisher,
                feeding,
                stop: Arc::clone(&self.stop),
                board: Arc::clone(&self.board),
                standings: Arc::clone(&self.standings),
                tracer: self.tracer.clone(),
            },
            consumed(plan)
                .map(|source| Ok((source.id, dead_letters(plan, layout, source)?)))
                .collect::<Result<_>>()?,
        )?;
        if !worker.trusts() {
            // Before the doors open: what is there may be older than what was answered before.
            let withdrawn = online.withdraw_markers(worker.shards());
            withdrawn.context("withdraw the markers of rows that are to be published again")?;
        }
        worker.stand();
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || worker.run())?;
        self.lanes.push(thread);
        Ok(sender)
    }

    /// Starts what brings a lane's values to their topics, if any go there.
    fn start_feeder(
        &mut self,
        shards: ShardRange,
        plan: &Plan,
        layout: &Layout,
    ) -> Result<Option<lane::Feeding>> {
        let project = &plan.project.name;
        let forms = plan.views.iter().filter_map(|view| Form::of(project, view));
        let forms: Vec<Form> = forms.collect();
        if forms.is_empty() {
            return Ok(None);
        }
        let (to_feeder, orders) = crossbeam_channel::bounded(1);
        let (replies, from_feeder) = crossbeam_channel::bounded(1);
        let feeder = feeder::Feeder::new(
            forms,
            kafka(plan)?,
            registry(plan, layout.project())?,
            shards,
            (orders, replies),
            Arc::clone(&self.ledger),
            Arc::clone(&self.stop),
        );
        let thread = std::thread::Builder::new()
            .name(format!("feeder-{shards}"))
            .spawn(move || feeder.run())?;
        self.feeders.push(thread);
        Ok(Some(lane::Feeding::new(to_feeder, from_feeder)))
    }

    /// Starts what takes in prepared pasts.
    fn start_loader(
        &mut self,
        plan: &Arc<Plan>,
        layout: &Layout,
        coverage: Arc<Coverage>,
        jobs: loader::Jobs,
    ) -> Result<()> {
        let loader = loader::Loader {
            plan: Arc::clone(plan),
            layout: layout.clone(),
            state: self.state.clone(),
            coverage,
            ledger: Arc::clone(&self.ledger),
            standings: Arc::clone(&self.standings),
            lanes: std::mem::take(&mut self.pasts),
            jobs,
            runtime: tokio::runtime::Handle::current(),
            stop: Arc::clone(&self.stop),
        };
        let thread = std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn(move || loader.run())?;
        self.loader = Some(thread);
        Ok(())
    }

    /// Starts what brings in the tables of batch views, or the answers of queries. While it runs, so do the
    /// lanes.
    fn start_syncer(
        &mut self,
        name: &str,
        tables: Vec<syncer::Held>,
        layout: &Layout,
        coverage: &Arc<Coverage>,
        streams: Vec<crossbeam_channel::Sender<lane::Message>>,
    ) -> Result<()> {
        let syncer = syncer::Syncer {
            layout: layout.clone(),
            state: self.state.clone(),
            coverage: Arc::clone(coverage),
            ledger: Arc::clone(&self.ledger),
            standings: Arc::clone(&self.standings),
            lanes: self.pasts.clone(),
            streams,
            runtime: tokio::runtime::Handle::current(),
            stop: Arc::clone(&self.stop),
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || syncer.run(tables))?;
        self.syncers.push(thread);
        Ok(())
    }

    /// Starts what sends a shared source's records to the processes that need them.
    fn start_forwarder(
        &mut self,
        source: &Arc<Source>,
        views: Vec<(usize, Arc<View>)>,
        reading: reading::Reading,
        plan: &Plan,
    ) -> Result<()> {
        let Stream::Kafka { topic, headers, .. } = &source.stream else {
            bail!("source `{}` is of one process", source.name);
        };
        let forwarder = forwarder::Forwarder {
            source: Arc::clone(source),
            views,
            reading,
            kafka: kafka(plan)?,
            topic: topic.clone(),
            headers: headers.clone(),
            shared: shared_topic(&plan.project.name, &source.name),
            share: self.share,
            state: self.state.clone(),
            ledger: Arc::clone(&self.ledger),
            come: self.watch(source, lag::Log::Topic(topic.clone())),
            stop: Arc::clone(&self.stop),
        };
        let thread = std::thread::Builder::new()
            .name(format!("forwarder-{}", source.name))
            .spawn(move || forwarder.run())?;
        self.intakes.push(thread);
        Ok(())
    }

    /// Starts what tells how far reading is behind.
    fn start_lag(&mut self, plan: &Plan) -> Result<()> {
        let watch = lag::Watch {
            read: std::mem::take(&mut self.read),
            kafka: plan
                .project
                .kafka_brokers
                .is_some()
                .then(|| kafka(plan))
                .transpose()?,
            ledger: Arc::clone(&self.ledger),
            stop: Arc::clone(&self.stop),
        };
        let thread = std::thread::Builder::new()
            .name("lag".to_owned())
            .spawn(move || watch.run())?;
        self.lag = Some(thread);
        Ok(())
    }

    /// Has it told how far a source's reading is behind the end of a log.
    fn watch(&mut self, source: &Source, log: lag::Log) -> Arc<lag::Come> {
        let read = lag::Read::new(&source.name, log);
        let come = Arc::clone(&read.come);
        self.read.push(read);
        come
    }

    fn start_sweeper(&mut self, views: Vec<LaneView>, lanes: Vec<ShardRange>) -> Result<()> {
        let sweeper = sweeper::Sweeper::new(
            self.state.clone(),
            views,
            lanes,
            Arc::clone(&self.board),
            Arc::clone(&self.ledger),
            Arc::clone(&self.stop),
        )?;
        let thread = std::thread::Builder::new()
            .name("sweeper".to_owned())
            .spawn(move || sweeper.run())?;
        self.sweeper = Some(thread);
        Ok(())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where an intake's parts meet"
    )]
    fn start_intake(
        &mut self,
        source: Arc<Source>,
        reader: Reader,
        views: &[LaneView],
        plan: &Plan,
        layout: &Layout,
        start: &Positions,
        known: &[Positions],
        archive: Option<archiver::Opened>,
        routes: Option<Routes>,
        coverage: &Arc<Coverage>,
        lanes: Vec<crossbeam_channel::Sender<lane::Message>>,
    ) -> Result<()> {
        let own = views
            .iter()
            .enumerate()
            .filter(|(_, view)| view.view.source.id == source.id);
        let own: Vec<_> = own
            .map(|(place, view)| (place, Arc::clone(&view.view)))
            .collect();
        let reading = || {
            let schemas = layout.schemas();
            reading::Reading::new(&source, plan, folders(layout, &schemas))
                .with_context(|| format!("open source `{}`", source.name))
        };
        let mut judge = tiderace_engine::Intake::new(Arc::clone(&source), own.clone(), start)
            .within(self.share.shards());
        judge.remember(known);
        if self.share.of > 1 {
            self.start_forwarder(&source, own, reading()?, plan)?;
        }
        let reading = reading()?;
        let mut desk = None;
        if let Some(archive) = archive {
            let runtime = tokio::runtime::Handle::current();
            let archiver = archiver::Archiver::start(archive, &source, &runtime, &self.ledger)?;
            desk = Some(archiver.desk());
            self.archivers.push(archiver);
        }
        let log = match &source.stream {
            Stream::Kafka { .. } if self.share.of > 1 => {
                lag::Log::Topic(shared_topic(&plan.project.name, &source.name))
            }
            Stream::Kafka { topic, .. } => lag::Log::Topic(topic.clone()),
            Stream::Embedded => lag::Log::Embedded(self.logs[&source.id].clone()),
            Stream::Table(_) => bail!("source `{}` is a table", source.name),
        };
        let come = self.watch(&source, log);
        let intake = intake::Worker {
            come,
            tracer: self.tracer.clone(),
            intake: judge,
            desk,
            ended: false,
            reader,
            reading,
            dead_letters: dead_letters(plan, layout, &source)?,
            lanes,
            coverage: Arc::clone(coverage),
            ledger: Arc::clone(&self.ledger),
            state: self.state.clone(),
            stop: Arc::clone(&self.stop),
            routes,
            source,
        };
        let own = start.0.iter().filter(|(p, _)| p.source == intake.source.id);
        let clocks = own.map(|(partition, at)| (partition.number, at.clock));
        self.ledger.clocks(&intake.source.name, clocks);
        let name = format!("intake-{}", intake.source.name);
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || intake.run())?;
        self.intakes.push(thread);
        Ok(())
    }
}

/// Takes state for a part of the work, which it keeps: rows of other shards are not there.
fn claim(state: &tiderace_state::Store, share: Share) -> Result<()> {
    const NAME: &str = "share";
    let held = match state.get_meta(NAME)? {
        Some(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        None if state.positions()?.is_empty() => None,
        None => Some(Share::ALL.to_string()),
    };
    let wanted = share.to_string();
    match held {
        Some(held) if held == wanted => Ok(()),
        Some(held) => bail!(
            "this state is of process {held}, and this is process {wanted}: rows of the shards that move are not in it. Give each process an empty state folder, and let it read the stream again, or restore `state.processes`"
        ),
        None if share == Share::ALL => Ok(()),
        None => Ok(state.put_meta(NAME, wanted.as_bytes())?),
    }
}

/// Where schemas are; `kept` those that were fetched.
fn folders<'a>(layout: &'a Layout, kept: &'a Path) -> Folders<'a> {
    Folders {
        project: layout.project(),
        definitions: layout.definitions(),
        kept,
    }
}

/// Tells whether all that a plan reads and writes can be reached, while another plan still runs.
///
/// # Errors
/// When something cannot, naming it.
pub fn rehearse(plan: &Plan, layout: &Layout) -> Result<()> {
    for source in consumed(plan) {
        let opening = || format!("open source `{}`", source.name);
        let schemas = layout.schemas();
        reading::Reading::new(source, plan, folders(layout, &schemas)).with_context(opening)?;
        if let Stream::Kafka { topic, .. } = &source.stream {
            let partitions = count_partitions(&kafka(plan)?, topic).with_context(opening)?;
            let there = partitions.with_context(|| format!("there is no topic \"{topic}\""));
            there.with_context(opening)?;
            dead_letters(plan, layout, source)?;
        }
        if let Some(archive) = source.archive.as_ref().filter(|archive| archive.write) {
            let place = Place::open(&archive.parquet, layout.project(), std::env::vars());
            place.with_context(|| format!("open the archive of source `{}`", source.name))?;
        }
    }
    if plan.views.iter().any(|view| view.feed.is_some()) {
        kafka(plan)?;
        registry(plan, layout.project())?;
    }
    for service in &plan.services {
        Prepared::service(plan, service)?;
    }
    Ok(())
}

/// The generation of a view that has none yet.
const FIRST: Generation = Generation(1);

/// The sources whose stream some view reads, or whose events are archived.
fn consumed(plan: &Plan) -> impl Iterator<Item = &Arc<Source>> {
    let read = |source: &&Arc<Source>| {
        let archived = source.archive.as_ref().is_some_and(|archive| archive.write);
        let viewed = plan.views.iter().any(|view| view.source.id == source.id);
        source.table().is_none() && (archived || viewed)
    };
    plan.sources.iter().filter(read)
}

/// How to reach the project's Kafka.
pub fn kafka(plan: &Plan) -> Result<KafkaConfig> {
    let brokers = plan.project.kafka_brokers.clone();
    let brokers = brokers.context("the project names no kafka brokers")?;
    let properties = plan.project.kafka_properties.iter();
    let properties = properties.map(|(name, value)| (name.clone(), value.0.clone()));
    Ok(KafkaConfig {
        properties: properties.collect(),
        ..KafkaConfig::new(brokers)
    })
}

/// Opens the embedded logs of the sources that have one.
pub fn open_logs(plan: &Plan, layout: &Layout) -> Result<BTreeMap<SourceId, Log>> {
    let embedded = plan
        .sources
        .iter()
        .filter(|source| source.stream == Stream::Embedded);
    embedded
        .map(|source| {
            let log = Log::open(layout.log(&source.name));
            let log = log.with_context(|| format!("open the log of source `{}`", source.name))?;
            if let Some(repair) = log.repair() {
                tracing::info!(source = source.name, ?repair, "cut a torn end from the log");
            }
            Ok((source.id, log))
        })
        .collect()
}

fn dead_letters(plan: &Plan, layout: &Layout, source: &Source) -> Result<DeadLetters> {
    let opened = match &source.stream {
        Stream::Embedded => {
            FileDeadLetters::open(layout.dead_letters(&source.name)).map(DeadLetters::File)
        }
        Stream::Kafka { dead_letters, .. } => {
            KafkaDeadLetters::open(&kafka(plan)?, dead_letters).map(DeadLetters::Kafka)
        }
        Stream::Table(_) => bail!("source `{}` is a table", source.name),
    };
    opened.with_context(|| format!("open the dead letters of source `{}`", source.name))
}
