//! A load of events becomes part of the archive.

use super::file::{self, Writing};
use super::identity::{self, Identities, Keys, Noted, id_type, instant};
use super::load::Load;
use super::manifest::{self, File, Manifest};
use super::{Archive, DAY, date, owner, staged};
use crate::error::Error;
use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Int32Type, Int64Type};
use std::collections::BTreeMap;
use tiderace_durable::failpoint::Step;
use tiderace_types::{PartitionPosition, Timestamp};

/// What became of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Events that were archived.
    pub rows: u64,
    /// Copies of events that are archived already.
    pub duplicates: u64,
}

/// Events of a load that are new, in the order of time.
struct Sorted {
    events: RecordBatch,
    keys: Keys,
    /// The events that are archived, by their row.
    new: Vec<u32>,
    duplicates: u64,
}

impl Archive {
    /// Archives a load. After an error the same load may be flushed again, and nothing else.
    ///
    /// # Errors
    /// [`crate::Kind::Store`] when the place or the memory of identities is away; else the archive
    /// cannot go on.
    pub async fn flush(&self, load: &mut Load) -> Result<Flushed, Error> {
        let before = {
            let mut held = self.held.lock().await;
            self.settle(&mut held).await?;
            held.manifest.clone()
        };
        let number = *load.number.get_or_insert(before.flush + 1);
        if before.flush >= number {
            // It was archived when it seemed to fail.
            return Ok(load.outcome);
        }
        let sorted = self.sort(load, &before).await?;
        load.outcome = sorted
            .as_ref()
            .map_or_else(Flushed::default, |sorted| Flushed {
                rows: sorted.new.len() as u64,
                duplicates: sorted.duplicates,
            });
        let files = match &sorted {
            Some(sorted) => self.stage(sorted, number).await?,
            None => Vec::new(),
        };
        if let Some(identities) = &self.identities {
            let archive = self.archive_number(&before);
            note(identities.as_ref(), archive, number, sorted.as_ref())?;
        }
        let indexed_from = self.commit_flush(number, load.reached(), files).await?;
        if let (Some(identities), Some(before)) = (&self.identities, indexed_from) {
            // What is not forgotten now is with the next flush.
            if let Err(error) = identities.forget(Timestamp(before)) {
                tracing::warn!(%error, "identities that are not needed any more stay in state");
            }
        }
        Ok(load.outcome)
    }

    /// Makes the manifest that has `files`; gives the time before which identities are in files alone.
    async fn commit_flush(
        &self,
        number: u64,
        reached: &BTreeMap<u32, PartitionPosition>,
        mut files: Vec<File>,
    ) -> Result<Option<i64>, Error> {
        let mut held = self.held.lock().await;
        self.settle(&mut held).await?;
        let mut next = Manifest {
            flush: number,
            event_id: self.layout.event_id().map(str::to_owned),
            positions: manifest::kept(reached),
            removed: Vec::new(),
            ..held.manifest.clone()
        };
        if self.identities.is_some() {
            let clock = Archive::clock(&next);
            let from = clock.map(|clock| clock.minus(self.settings.remembered).0);
            next.indexed_from = from.max(next.indexed_from);
        }
        if let Some(file) = files.last() {
            self.layout.keep(&mut next.columns, &file.path);
        }
        let coming = held.manifest.number + 1;
        files.iter_mut().for_each(|file| file.number = coming);
        next.files.append(&mut files);
        next.files.sort_by(|a, b| a.path.cmp(&b.path));
        let indexed_from = next.indexed_from;
        self.commit(&mut held, next).await?;
        Ok(indexed_from)
    }

    /// Puts the events of a load in order, and finds those that are new.
    async fn sort(&self, load: &Load, before: &Manifest) -> Result<Option<Sorted>, Error> {
        if load.batches.is_empty() {
            return Ok(None);
        }
        let layout = &self.layout;
        let mut stored = Vec::with_capacity(load.batches.len());
        for batch in &load.batches {
            let (partitions, offsets) = (&batch.partitions, &batch.offsets);
            stored.push(layout.stored(&batch.events, partitions, offsets, &batch.ingested)?);
        }
        let events = concat_batches(&layout.schema(), &stored);
        let events = events.map_err(|why| Error::data(&layout.source, why))?;
        drop(stored);
        let keys = self.keys(&events);
        let rows = u32::try_from(keys.len()).expect("a load has fewer than 2^32 events");
        let mut order: Vec<u32> = (0..rows).collect();
        order.sort_unstable_by(|a, b| keys.get(*a).cmp(keys.get(*b)).then(a.cmp(b)));
        // Of copies the first that came stands.
        order.dedup_by(|copy, first| keys.get(*copy) == keys.get(*first));
        let new = self.unknown(order, &keys, before).await?;
        Ok(Some(Sorted {
            duplicates: u64::from(rows) - new.len() as u64,
            events,
            keys,
            new,
        }))
    }

    fn keys(&self, events: &RecordBatch) -> Keys {
        let layout = &self.layout;
        let times = identity::times(events.column(layout.event_time));
        match (layout.event_id, id_type(layout)) {
            (Some(id), Some(data_type)) => Keys::by_id(times, events.column(id), data_type),
            _ => {
                let own = layout.columns.len();
                let partitions = events.column(own + 1).as_primitive::<Int32Type>();
                let offsets = events.column(own + 2).as_primitive::<Int64Type>();
                Keys::by_place(times, partitions.values(), offsets.values())
            }
        }
    }

    /// Those of `events`, which ascend by their keys, that are not archived.
    async fn unknown(
        &self,
        mut events: Vec<u32>,
        keys: &Keys,
        before: &Manifest,
    ) -> Result<Vec<u32>, Error> {
        let Some(identities) = &self.identities else {
            return Ok(events);
        };
        let asked: Vec<&[u8]> = events.iter().map(|event| keys.get(*event)).collect();
        let flushes = identities.flushes(&asked)?;
        let mut flushes = flushes.into_iter();
        // What a flush noted that did not come to its end is not archived.
        events.retain(|_| {
            let flush = flushes.next().flatten();
            flush.is_none_or(|flush| flush > before.flush)
        });
        self.not_in_files(events, keys, before).await
    }

    /// Those of `events` that are not in the files of times of which no identities are remembered.
    async fn not_in_files(
        &self,
        mut events: Vec<u32>,
        keys: &Keys,
        before: &Manifest,
    ) -> Result<Vec<u32>, Error> {
        let Some(from) = before.indexed_from.map(instant) else {
            return Ok(events);
        };
        let old = events.partition_point(|event| keys.get(*event) < &from[..]);
        if old == 0 {
            return Ok(events);
        }
        let mut found = vec![false; old];
        for file in &before.files {
            let first = events[..old].partition_point(|e| keys.get(*e) < &instant(file.least)[..]);
            let may_be = events[first..old].first();
            let past = instant(file.greatest.saturating_add(1));
            if may_be.is_none_or(|event| keys.get(*event) >= &past[..]) {
                continue;
            }
            for key in self.keys_of(file).await?.iter() {
                let place = events[..old].binary_search_by(|event| keys.get(*event).cmp(key));
                if let Ok(place) = place {
                    found[place] = true;
                }
            }
        }
        let mut found = found.into_iter();
        events.retain(|_| !found.next().unwrap_or(false));
        Ok(events)
    }

    async fn keys_of(&self, file: &File) -> Result<Keys, Error> {
        let name = self.depot.name_of(&file.path);
        let bytes = self.depot.get(&file.path).await?;
        // It may have been merged since the manifest was looked at; the next try looks again.
        let bytes = bytes.ok_or_else(|| Error::store(&name, "it is gone"))?;
        file::keys(&name, bytes, &self.layout)
    }

    /// Notes the identities of all files of times that are remembered.
    pub(super) async fn read_identities(&self, manifest: &Manifest) -> Result<(), Error> {
        let Some(identities) = &self.identities else {
            return Ok(());
        };
        let from = manifest.indexed_from.unwrap_or(i64::MIN);
        tracing::info!(
            source = self.layout.source,
            "state does not have the identities of archived events; they are read from the archive"
        );
        let noted = |flush| Noted {
            archive: self.archive_number(manifest),
            flush,
            least: Timestamp::MAX,
            greatest: Timestamp::MIN,
        };
        for file in manifest.files.iter().filter(|file| file.greatest >= from) {
            let keys = self.keys_of(file).await?;
            let mut keys: Vec<&[u8]> = keys.iter().collect();
            keys.retain(|key| *key >= &instant(from)[..]);
            // Not whole before the last of them.
            identities.note(noted(0), &keys)?;
        }
        identities.note(noted(manifest.flush), &[])
    }

    /// Writes the new events where no reader looks, one file for each date.
    async fn stage(&self, sorted: &Sorted, number: u64) -> Result<Vec<File>, Error> {
        let layout = &self.layout;
        let times = identity::times(sorted.events.column(layout.event_time));
        let day = |event: &u32| times[*event as usize].div_euclid(DAY);
        let mut files = Vec::new();
        for events in sorted.new.chunk_by(|a, b| day(a) == day(b)) {
            let mut writing = Writing::new(layout.schema(), layout, layout.event_time)?;
            for part in events.chunks(PART) {
                let rows = take_record_batch(&sorted.events, &UInt32Array::from(part.to_vec()));
                writing.write(&rows.map_err(|why| Error::data(&layout.source, why))?)?;
            }
            let written = writing.finish()?;
            let date = date(written.least);
            let own = owner(self.settings.owner);
            let path = format!("date={date}/{number:010}-{own}.parquet");
            files.push(File {
                number: 0,
                rows: written.rows,
                bytes: written.bytes.len() as u64,
                least: written.least,
                greatest: written.greatest,
                date,
                path,
            });
            let key = staged(&files[files.len() - 1].path);
            self.depot
                .put(Step::ArchiveStage, &key, written.bytes)
                .await?;
        }
        Ok(files)
    }

    /// The number by which an archive is known again.
    pub(super) fn archive_number(&self, manifest: &Manifest) -> u64 {
        u64::from_str_radix(&manifest.archive, 16).unwrap_or_default()
    }
}

/// Rows that are put in order at once.
const PART: usize = 64 << 10;

fn note(
    identities: &dyn Identities,
    archive: u64,
    flush: u64,
    sorted: Option<&Sorted>,
) -> Result<(), Error> {
    let keys: Vec<&[u8]> = match sorted {
        Some(sorted) => {
            let new = sorted.new.iter();
            new.map(|event| sorted.keys.get(*event)).collect()
        }
        None => Vec::new(),
    };
    let time = |key: &&[u8]| {
        let (time, _) = key.split_first_chunk::<8>()?;
        Some(Timestamp(
            (u64::from_be_bytes(*time) ^ (1 << 63)).cast_signed(),
        ))
    };
    let noted = Noted {
        archive,
        flush,
        least: keys.first().and_then(time).unwrap_or(Timestamp::MAX),
        greatest: keys.last().and_then(time).unwrap_or(Timestamp::MIN),
    };
    identities.note(noted, &keys)
}
