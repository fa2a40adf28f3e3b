//! Accepted events that wait to be archived.

use super::flush::Flushed;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use std::collections::BTreeMap;
use tiderace_types::PartitionPosition;

/// Accepted events of a few records, with where they came from.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The events, in the columns of the [`super::Layout`], as they were decoded.
    pub events: RecordBatch,
    /// The partition of each event's record.
    pub partitions: Vec<u32>,
    /// Its offset.
    pub offsets: Vec<i64>,
    /// When it came into its topic or log, in microseconds.
    pub ingested: Vec<i64>,
    /// How far each of the partitions has come with these records, whatever became of them.
    pub reached: Vec<(u32, PartitionPosition)>,
}

/// Events that go into the archive together.
#[derive(Clone, Debug)]
pub struct Load {
    /// The events, in the order in which they were accepted.
    pub(super) batches: Vec<Batch>,
    /// How far the partitions have come with them.
    pub(super) reached: BTreeMap<u32, PartitionPosition>,
    /// The number of its flush, once one has been tried.
    pub(super) number: Option<u64>,
    /// What became of it at the last try, if that was not the last.
    pub(super) outcome: Flushed,
    rows: usize,
    bytes: usize,
    offered: bool,
}

impl Load {
    /// An empty one, behind events that go as far as `reached`.
    #[must_use]
    pub fn after(reached: BTreeMap<u32, PartitionPosition>) -> Load {
        Load {
            batches: Vec::new(),
            reached,
            number: None,
            outcome: Flushed::default(),
            rows: 0,
            bytes: 0,
            offered: false,
        }
    }

    /// How far the partitions have come with it.
    #[must_use]
    pub fn reached(&self) -> &BTreeMap<u32, PartitionPosition> {
        &self.reached
    }

    /// How many events wait.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How much memory they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Tells whether nothing has been offered: there is nothing to remember either.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.offered
    }

    /// Takes in the events of `batch` that are not before where its partitions have come.
    pub fn push(&mut self, batch: Batch) {
        let batch = self.unseen(batch);
        for (partition, position) in &batch.reached {
            let held = self.reached.get(partition);
            if held.is_none_or(|held| position.next > held.next) {
                self.reached.insert(*partition, *position);
                self.offered = true;
            }
        }
        if !batch.offsets.is_empty() {
            self.rows += batch.offsets.len();
            self.bytes += batch.events.get_array_memory_size() + batch.offsets.len() * OWN_BYTES;
            self.batches.push(batch);
        }
    }

    /// Without the events of records that have been offered before.
    fn unseen(&self, batch: Batch) -> Batch {
        let next = |partition| self.reached.get(partition).map_or(i64::MIN, |at| at.next);
        let places = batch.partitions.iter().zip(&batch.offsets);
        let new: Vec<bool> = places
            .map(|(partition, offset)| *offset >= next(partition))
            .collect();
        if new.iter().all(|new| *new) {
            return batch;
        }
        let chosen = BooleanArray::from(new.clone());
        let events = filter_record_batch(&batch.events, &chosen).expect("one flag per row");
        Batch {
            events,
            partitions: only(batch.partitions, &new),
            offsets: only(batch.offsets, &new),
            ingested: only(batch.ingested, &new),
            reached: batch.reached,
        }
    }
}

/// What the archive's own columns take of memory for each event.
const OWN_BYTES: usize = 20;

fn only<T>(values: Vec<T>, chosen: &[bool]) -> Vec<T> {
    let chosen = chosen.iter();
    let values = values.into_iter().zip(chosen);
    values
        .filter_map(|(value, chosen)| chosen.then_some(value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use std::sync::Arc;
    use tiderace_types::Timestamp;

    fn at(next: i64) -> PartitionPosition {
        let clock = Timestamp(next);
        PartitionPosition { next, clock }
    }

    fn batch(places: &[(u32, i64)], reached: &[(u32, i64)]) -> Batch {
        let offsets: Vec<i64> = places.iter().map(|(_, offset)| *offset).collect();
        let column: arrow::array::ArrayRef = Arc::new(Int64Array::from(offsets.clone()));
        Batch {
            events: RecordBatch::try_from_iter([("a", column)]).expect("one column"),
            partitions: places.iter().map(|(partition, _)| *partition).collect(),
            ingested: offsets.clone(),
            offsets,
            reached: reached
                .iter()
                .map(|(number, next)| (*number, at(*next)))
                .collect(),
        }
    }

    #[test]
    fn what_was_offered_before_is_left_out() {
        let mut load = Load::after([(0, at(5))].into());
        assert!(load.is_empty());
        load.push(batch(&[(0, 3), (0, 4)], &[(0, 5)]));
        assert!(load.is_empty(), "nothing is new");
        load.push(batch(&[(0, 4), (0, 5), (1, 0)], &[(0, 7), (1, 1)]));
        assert_eq!((load.rows(), load.is_empty()), (2, false));
        load.push(batch(&[], &[(0, 9)]));
        assert_eq!((load.rows(), load.reached()[&0].next), (2, 9));
        assert_eq!(load.batches[0].offsets, [5, 0]);
        assert_eq!(load.batches[0].events.num_rows(), 2);
    }
}
