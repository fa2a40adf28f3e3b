//! A log of records, a place that lasts, identities that last, and faults.

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::path::Path as Key;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tiderace_durable::failpoint::{Side, Step};
use tiderace_offline::archive::{
    Archive, Batch, Flushed, Identities, Layout, Load, Manifest, Noted, Settings, instant,
};
use tiderace_offline::{Error, Kind, Place};
use tiderace_types::{DataType, Duration, PartitionPosition, Timestamp};

pub const DAY: i64 = 86_400_000_000;

/// A record, and what was accepted of it: (event time, id).
#[derive(Clone, Debug)]
pub struct Record {
    pub partition: u32,
    pub offset: i64,
    pub event: Option<(i64, i64)>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    None,
    /// From the n-th place on nothing works any more.
    Crash(usize),
    /// The n-th place fails, and all others work.
    Error(usize),
}

#[derive(Debug)]
struct Faults {
    fault: Fault,
    passed: usize,
    hit: bool,
}

/// What lasts over crashes.
pub struct World {
    pub place: Place,
    pub layout: Layout,
    pub settings: Settings,
    pub steps: Arc<Mutex<Vec<Step>>>,
    identities: Arc<Remembered>,
    faults: Arc<Mutex<Faults>>,
}

/// Runs to the end on this thread.
pub fn blocked<T>(future: impl Future<Output = T>) -> T {
    futures::executor::block_on(future)
}

/// A folder that stays until the process ends.
pub fn folder() -> Place {
    let folder = tempfile::tempdir().expect("a folder").keep();
    Place::folder(&folder).expect("a place")
}

pub fn roll(dice: &mut u64, sides: u64) -> u64 {
    *dice = dice
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*dice >> 33) % sides
}

/// Records of three partitions over some days, in disorder; some are copies, of some nothing is accepted.
pub fn stream(seed: u64, count: usize) -> Vec<Record> {
    let mut dice = seed;
    let mut next = [0; 3];
    let mut events: Vec<(i64, i64)> = Vec::new();
    let record = |n| {
        let partition = roll(&mut dice, 3) as u32;
        let offset = next[partition as usize];
        next[partition as usize] += 1 + i64::from(roll(&mut dice, 9) == 0);
        let event = match roll(&mut dice, 10) {
            0 => None,
            1 | 2 if !events.is_empty() => {
                let place = roll(&mut dice, events.len() as u64) as usize;
                Some(events[place])
            }
            _ => {
                let time = n as i64 * DAY / 60 + roll(&mut dice, DAY as u64) as i64;
                events.push((time, n as i64));
                Some((time, n as i64))
            }
        };
        Record {
            partition,
            offset,
            event,
        }
    };
    (0..count).map(record).collect()
}

pub fn layout(event_id: Option<usize>) -> Layout {
    let columns = [
        ("at", DataType::Timestamp),
        ("id", DataType::Int64),
        ("amount", DataType::Float64),
    ];
    Layout {
        source: "payments".to_owned(),
        columns: columns
            .map(|(name, data_type)| (name.to_owned(), data_type))
            .into(),
        event_time: 0,
        event_id,
    }
}

/// Every owner is another.
static OWNERS: AtomicU64 = AtomicU64::new(1);

impl World {
    pub fn new(place: Place) -> World {
        let faults = Arc::new(Mutex::new(Faults {
            fault: Fault::None,
            passed: 0,
            hit: false,
        }));
        let steps: Arc<Mutex<Vec<Step>>> = Arc::default();
        let trial = {
            let (faults, steps) = (Arc::clone(&faults), Arc::clone(&steps));
            move |step: Step, _: Side| {
                steps.lock().expect("no panic").push(step);
                faults.lock().expect("no panic").pass()
            }
        };
        let trial: tiderace_offline::archive::Trial = Arc::new(trial);
        let identities = Arc::new(Remembered {
            trial: Arc::clone(&trial),
            held: Mutex::default(),
        });
        World {
            place,
            layout: layout(Some(1)),
            settings: Settings {
                fan_in: 3,
                target_bytes: 1 << 20,
                trial: Some(trial),
                ..Settings::new(0, Duration(2 * DAY))
            },
            steps,
            identities,
            faults,
        }
    }

    pub fn fault(&self, fault: Fault) {
        *self.faults.lock().expect("no panic") = Faults {
            fault,
            passed: 0,
            hit: false,
        };
    }

    pub fn is_hit(&self) -> bool {
        self.faults.lock().expect("no panic").hit
    }

    fn is_error(&self) -> bool {
        matches!(self.faults.lock().expect("no panic").fault, Fault::Error(_))
    }

    pub fn forget_identities(&self) {
        *self.identities.held.lock().expect("no panic") = Held::default();
    }

    pub fn identities_before(&self, time: i64) -> usize {
        let held = self.identities.held.lock().expect("no panic");
        held.keys.range(..instant(time).to_vec()).count()
    }

    pub async fn open(&self) -> Result<Archive, Error> {
        let settings = || Settings {
            owner: OWNERS.fetch_add(1, Ordering::Relaxed),
            ..self.settings.clone()
        };
        let open = || {
            let identities = Arc::clone(&self.identities);
            Archive::open(&self.place, self.layout.clone(), settings(), identities)
        };
        match open().await {
            Err(error) if self.is_error() && error.kind() == Kind::Store => open().await,
            opened => opened,
        }
    }

    /// Flushes; after an error that does not last, again.
    pub async fn flush(&self, archive: &Archive, load: &mut Load) -> Result<Flushed, Error> {
        for _ in 0..3 {
            match archive.flush(load).await {
                Err(error) if self.is_error() && error.kind() == Kind::Store => {}
                flushed => return flushed,
            }
        }
        archive.flush(load).await
    }

    /// Does something; after an error that does not last, again.
    pub async fn patiently<T, F: Future<Output = Result<T, Error>>>(
        &self,
        run: impl Fn() -> F,
    ) -> Result<T, Error> {
        for _ in 0..3 {
            match run().await {
                Err(error) if self.is_error() && error.kind() == Kind::Store => {}
                done => return done,
            }
        }
        run().await
    }

    /// A load that goes on behind what is archived.
    pub fn load(&self, manifest: &Manifest) -> Load {
        let reached = manifest.positions.iter().map(|at| {
            let clock = at.clock.map_or(Timestamp::MIN, Timestamp);
            let next = at.next;
            (at.partition, PartitionPosition { next, clock })
        });
        Load::after(reached.collect())
    }

    /// The records from somewhat before where the archive has come, partitions interleaved anyhow.
    pub fn replay(
        &self,
        log: &[Record],
        manifest: &Manifest,
        dice: &mut u64,
    ) -> std::vec::IntoIter<Batch> {
        let mut clocks: BTreeMap<u32, i64> = BTreeMap::new();
        let mut left: BTreeMap<u32, Vec<(Record, i64)>> = BTreeMap::new();
        for record in log {
            let clock = clocks.entry(record.partition).or_insert(i64::MIN);
            if let Some((time, _)) = record.event {
                *clock = time.max(*clock);
            }
            let at = manifest
                .positions
                .iter()
                .find(|at| at.partition == record.partition);
            // Lanes may be further behind.
            if at.is_none_or(|at| record.offset + 5 >= at.next) {
                left.entry(record.partition)
                    .or_default()
                    .push((record.clone(), *clock));
            }
        }
        let mut batches = Vec::new();
        while !left.is_empty() {
            let partitions: Vec<u32> = left.keys().copied().collect();
            let partition = partitions[roll(dice, partitions.len() as u64) as usize];
            let records = left.get_mut(&partition).expect("it is there");
            let count = (1 + roll(dice, 6) as usize).min(records.len());
            let taken: Vec<_> = records.drain(..count).collect();
            if records.is_empty() {
                left.remove(&partition);
            }
            batches.push(self.batch(&taken));
        }
        batches.into_iter()
    }

    fn batch(&self, records: &[(Record, i64)]) -> Batch {
        let accepted = records.iter().filter_map(|(record, _)| {
            let (time, id) = record.event?;
            Some((record, time, id))
        });
        let accepted: Vec<_> = accepted.collect();
        let times = accepted.iter().map(|(_, time, _)| *time);
        let ids = accepted.iter().map(|(_, _, id)| *id);
        let of = |name: &str| -> ArrayRef {
            match name {
                "at" => Arc::new(TimestampMicrosecondArray::from_iter_values(times.clone())),
                "id" => Arc::new(Int64Array::from_iter_values(ids.clone())),
                "amount" => Arc::new(Float64Array::from_iter_values(
                    ids.clone().map(|id| id as f64),
                )),
                _ => Arc::new(StringArray::from_iter_values(
                    ids.clone().map(|id| id.to_string()),
                )),
            }
        };
        let columns = self
            .layout
            .columns
            .iter()
            .map(|(name, _)| (name.clone(), of(name)));
        let (last, clock) = records.last().expect("no batch is empty");
        let next = last.offset + 1;
        let clock = Timestamp(*clock);
        Batch {
            events: RecordBatch::try_from_iter(columns).expect("columns of one length"),
            partitions: accepted
                .iter()
                .map(|(record, ..)| record.partition)
                .collect(),
            offsets: accepted.iter().map(|(record, ..)| record.offset).collect(),
            ingested: accepted.iter().map(|(_, time, _)| time + 1).collect(),
            reached: vec![(last.partition, PartitionPosition { next, clock })],
        }
    }

    pub fn manifest(&self) -> Manifest {
        blocked(Manifest::read(&self.place))
            .expect("read")
            .expect("a manifest")
    }

    pub fn reader(&self) -> Reader {
        Reader(self.place.path().expect("a folder").to_owned())
    }

    /// The files of the table: what a reader globs, or, of an object store, what the manifest names.
    fn files(&self) -> Vec<Bytes> {
        match self.place.path() {
            Some(folder) => {
                let read = |path: PathBuf| Bytes::from(std::fs::read(path).expect("read"));
                globbed(folder).into_iter().map(read).collect()
            }
            None => {
                let Some(manifest) = blocked(Manifest::read(&self.place)).expect("read") else {
                    return Vec::new();
                };
                let paths = manifest.files.iter();
                // Staged and in the manifest is archived; its name in the table may be missing yet.
                paths.filter_map(|file| self.object(&file.path)).collect()
            }
        }
    }

    fn object(&self, path: &str) -> Option<Bytes> {
        let got = blocked(self.place.store().get(&Key::from(path))).ok()?;
        Some(blocked(got.bytes()).expect("bytes"))
    }

    /// Every event of the table, and how often it is there.
    pub fn table(&self) -> BTreeMap<(i64, i64), usize> {
        let mut found = BTreeMap::new();
        for file in self.files() {
            for (time, id, ..) in rows(file).expect("a whole file") {
                *found.entry((time, id)).or_default() += 1;
            }
        }
        found
    }

    pub fn by_place(&self) -> BTreeMap<(u32, i64), (i64, i64)> {
        let mut found = BTreeMap::new();
        for file in self.files() {
            for (time, id, partition, offset) in rows(file).expect("a whole file") {
                let before = found.insert((partition, offset), (time, id));
                assert_eq!(before, None, "{partition}, {offset}");
            }
        }
        found
    }

    /// No event is twice in the table, and none that was not accepted is there.
    pub fn check_table(&self, expected: &BTreeSet<(i64, i64)>, when: &str) {
        for (event, count) in self.table() {
            assert!(count == 1, "{when}: {event:?} is there {count} times");
            assert!(expected.contains(&event), "{when}: {event:?}");
        }
    }

    /// The manifest says what there is, and nothing else is left.
    pub fn check_whole(&self, log: &[Record]) {
        let manifest = self.manifest();
        for at in &manifest.positions {
            let own = log.iter().filter(|record| record.partition == at.partition);
            assert_eq!(own.map(|record| record.offset + 1).max(), Some(at.next));
        }
        let rows: u64 = manifest.files.iter().map(|file| file.rows).sum();
        assert_eq!(rows, self.table().len() as u64);
        if let Some(folder) = self.place.path() {
            let named: BTreeSet<PathBuf> = manifest
                .files
                .iter()
                .map(|file| folder.join(&file.path))
                .collect();
            assert_eq!(globbed(folder).into_iter().collect::<BTreeSet<_>>(), named);
        }
    }

    /// The names of a file's columns.
    pub fn columns(&self, path: &str) -> Vec<String> {
        let bytes = self.object(path).expect("a file");
        let file = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("a whole file");
        let fields = file.schema().fields().iter();
        fields.map(|field| field.name().clone()).collect()
    }

    /// The folders of dates.
    pub fn folders(&self) -> Vec<PathBuf> {
        dates(self.place.path().expect("a folder"))
    }
}

/// Somebody who globs the table.
pub struct Reader(PathBuf);

impl Reader {
    /// How many events there are, and how many different ones; `None` where a file has gone since it
    /// was looked for.
    pub fn count(&self) -> Option<(usize, usize)> {
        let mut all = Vec::new();
        for path in globbed(&self.0) {
            let bytes = std::fs::read(path).ok()?;
            all.extend(rows(bytes.into()).expect("a whole file"));
        }
        let count = all.len();
        let different: BTreeSet<_> = all.into_iter().map(|(time, id, ..)| (time, id)).collect();
        Some((count, different.len()))
    }
}

fn dates(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let folders = entries.map(|entry| entry.expect("an entry").path());
    let date = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("date="))
    };
    folders.filter(date).collect()
}

/// `date=*/*.parquet`
fn globbed(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for date in dates(folder) {
        // It may have gone.
        let Ok(entries) = std::fs::read_dir(date) else {
            continue;
        };
        let files = entries.map(|entry| entry.expect("an entry").path());
        found.extend(files.filter(|path| path.extension().is_some_and(|found| found == "parquet")));
    }
    found
}

/// Time, id, partition and offset of every row of a file, which are in the order of time.
fn rows(bytes: Bytes) -> Option<Vec<(i64, i64, u32, i64)>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .ok()?
        .build()
        .ok()?;
    let mut out: Vec<(i64, i64, u32, i64)> = Vec::new();
    for batch in reader {
        let batch = batch.ok()?;
        let times = batch
            .column_by_name("at")?
            .as_primitive::<TimestampMicrosecondType>();
        let ids = batch.column_by_name("id")?.as_primitive::<Int64Type>();
        let partitions = batch
            .column_by_name("_partition")?
            .as_primitive::<Int32Type>();
        let offsets = batch.column_by_name("_offset")?.as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let partition = partitions.value(row).cast_unsigned();
            out.push((
                times.value(row),
                ids.value(row),
                partition,
                offsets.value(row),
            ));
        }
    }
    assert!(
        out.is_sorted_by_key(|(time, ..)| *time),
        "not in the order of time"
    );
    Some(out)
}

impl Faults {
    fn pass(&mut self) -> io::Result<()> {
        self.passed += 1;
        let fails = match self.fault {
            Fault::None => false,
            Fault::Crash(at) => self.passed >= at,
            Fault::Error(at) => self.passed == at,
        };
        self.hit |= fails;
        match fails {
            true => Err(io::Error::other("planted")),
            false => Ok(()),
        }
    }
}

/// Identities that last over crashes.
struct Remembered {
    trial: tiderace_offline::archive::Trial,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    noted: Option<Noted>,
    keys: BTreeMap<Vec<u8>, u64>,
}

impl Remembered {
    fn pass(&self, step: Step, side: Side) -> Result<(), Error> {
        (self.trial)(step, side).map_err(|error| Error::store("identities", error))
    }
}

impl Identities for Remembered {
    fn noted(&self) -> Result<Option<Noted>, Error> {
        Ok(self.held.lock().expect("no panic").noted)
    }

    fn flushes(&self, keys: &[&[u8]]) -> Result<Vec<Option<u64>>, Error> {
        assert!(keys.is_sorted(), "keys ascend");
        let held = self.held.lock().expect("no panic");
        Ok(keys
            .iter()
            .map(|key| held.keys.get(*key).copied())
            .collect())
    }

    fn note(&self, noted: Noted, keys: &[&[u8]]) -> Result<(), Error> {
        // Half of them first: a write of many is several.
        let (some, rest) = keys.split_at(keys.len() / 2);
        for part in [some, rest] {
            self.pass(Step::StateArchived, Side::Before)?;
            let mut held = self.held.lock().expect("no panic");
            held.noted = Some(noted);
            held.keys
                .extend(part.iter().map(|key| (key.to_vec(), noted.flush)));
            drop(held);
            self.pass(Step::StateArchived, Side::After)?;
        }
        Ok(())
    }

    fn take_back(&self, flush: u64, from: Timestamp, to: Timestamp) -> Result<(), Error> {
        self.pass(Step::StateForgotten, Side::Before)?;
        let mut held = self.held.lock().expect("no panic");
        let among = |key: &[u8]| instant(from.0)[..] <= key[..8] && key[..8] <= instant(to.0)[..];
        held.keys
            .retain(|key, noted| *noted <= flush || !among(key));
        drop(held);
        self.pass(Step::StateForgotten, Side::After)
    }

    fn forget(&self, before: Timestamp) -> Result<(), Error> {
        self.pass(Step::StateForgotten, Side::Before)?;
        let mut held = self.held.lock().expect("no panic");
        held.keys.retain(|key, _| key[..8] >= instant(before.0)[..]);
        drop(held);
        self.pass(Step::StateForgotten, Side::After)
    }
}
