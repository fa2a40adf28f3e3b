//! Events of the past: from a table to what a view's rows take in.
//!
//! What a table holds was accepted when it came, or is taken for accepted: there are no clocks here.
//! The contract, the conditions, inputs and keys are those of an [`Intake`](crate::Intake), by the same code.
//!
//! # Laws
//! - Every row of a table ends in exactly one place: an event of the view, or a count that says why not.

use crate::evaluate;
use crate::home::{Homes, Speakers};
use crate::intake::{self, IntakeCounts, Verdict};
use crate::pack::Words;
use crate::packet::{Input, Origin, Packet, PacketIds, ViewBatch};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, Decimal128Array,
    Float64Array, Int64Array, RecordBatch as ArrowBatch, StringArray, TimestampMicrosecondArray,
    UInt32Array, UInt64Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{
    DataType as ArrowType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
    UInt32Type, UInt64Type,
};
use std::sync::Arc;
use tiderace_aggregate::{Cell, Event, Id, IdKind, Packed, RowSpec};
use tiderace_plan::model::{Source, View};
use tiderace_types::{
    DataType, Partition, PartitionPosition, Reason, RecordBatch, RecordMeta, Shard, Timestamp,
    hash_key,
};

/// Makes events of a view from rows of its source's table.
#[derive(Clone, Debug)]
pub struct Past {
    view: Arc<View>,
}

/// How many bits of a row's number tell which row of its sync or file it is.
const ROW_BITS: u32 = 34;

/// Where the rows of a sync that delete who left begin: past those that are read.
pub const LEFT_FROM: i64 = 1 << (ROW_BITS - 1);

/// The number of a row of a batch view's table: greater for a later sync (in a table that is read on its
/// own, a later file), and for a later row within it. Of rows of one instant the greatest counts.
#[must_use]
pub fn row_number((of, row): (u32, i64)) -> i64 {
    // The highest bit of `of` only says that these are no places in a stream.
    let of = i64::from(of & (u32::MAX >> 3));
    of << ROW_BITS | row & ((1 << ROW_BITS) - 1)
}

/// What became of some rows of a table.
#[derive(Debug)]
pub struct PastTaken {
    /// Those that are events of the view.
    pub events: PastEvents,
    /// Those that are refused: row, reason, particulars.
    pub refused: Vec<(u32, Reason, String)>,
    /// How many there were, by what became of them.
    pub counts: PastCounts,
    /// The time of the earliest of all rows, whatever became of it.
    pub earliest: Option<Timestamp>,
}

/// Rows of a table by what became of them: `read` is the sum of all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PastCounts {
    /// All.
    pub read: u64,
    /// Events of the view.
    pub taken: u64,
    /// Sent away by a check that drops.
    pub dropped: u64,
    /// Refused.
    pub refused: u64,
    /// Not what the view's `where` asks for.
    pub filtered: u64,
    /// With a null in the entity key.
    pub null_key: u64,
}

impl PastCounts {
    /// Adds other rows.
    pub fn add(&mut self, other: PastCounts) {
        self.read += other.read;
        self.taken += other.taken;
        self.dropped += other.dropped;
        self.refused += other.refused;
        self.filtered += other.filtered;
        self.null_key += other.null_key;
    }
}

impl Past {
    /// For a view.
    #[must_use]
    pub fn new(view: Arc<View>) -> Past {
        Past { view }
    }

    /// The view.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    fn source(&self) -> &Source {
        &self.view.source
    }

    /// Takes rows of the source's used columns. `places` are where each was read, which identifies
    /// it where the source declares no event id; rows of the table of a batch view by their
    /// [number](row_number).
    #[must_use]
    pub fn take(&self, batch: &ArrowBatch, places: Vec<(u32, i64)>) -> PastTaken {
        let record_of: Vec<u32> = (0..batch.num_rows() as u32).collect();
        let mut refused = Vec::new();
        let mut counts = IntakeCounts::default();
        let source = self.source();
        let verdicts = intake::contract(source, batch, &record_of, &mut refused, &mut counts);
        let accepted = intake::events_of(&verdicts, Verdict::Accepted);
        let dropped = intake::events_of(&verdicts, Verdict::Dropped).len() as u64;
        let seen = match accepted.len() == batch.num_rows() {
            true => batch.clone(),
            false => evaluate::only(batch, &accepted),
        };
        let batch_of_view = intake::keyed(
            0,
            &self.view,
            &seen,
            &record_of,
            &accepted,
            &mut refused,
            &mut counts,
        );
        let times = intake::times(source, batch);
        let earliest = times.iter().min().map(|time| Timestamp(*time));
        let ids = match (intake::ids(source, batch), source.table()) {
            (PacketIds::Position, Some(_)) => {
                PacketIds::Int(places.iter().map(|place| row_number(*place)).collect())
            }
            (PacketIds::Position, None) => PacketIds::Places(places),
            (ids, _) => ids,
        };
        let events = PastEvents::new(&self.view.spec, times, ids, batch_of_view);
        let sum = |counts: &std::collections::BTreeMap<usize, u64>| counts.values().sum();
        let counts = PastCounts {
            read: batch.num_rows() as u64,
            taken: events.len() as u64,
            dropped,
            refused: refused.len() as u64,
            filtered: sum(&counts.filtered),
            null_key: sum(&counts.null_key),
        };
        PastTaken {
            events,
            refused,
            counts,
            earliest,
        }
    }
}

/// Events of one view, in columns.
#[derive(Debug)]
pub struct PastEvents {
    times: Vec<i64>,
    ids: PacketIds,
    batch: ViewBatch,
}

impl PastEvents {
    pub(crate) fn new(
        spec: &RowSpec,
        times: Vec<i64>,
        ids: PacketIds,
        mut batch: ViewBatch,
    ) -> PastEvents {
        batch.words = Words::of(spec, &batch, &times, &ids);
        PastEvents { times, ids, batch }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.events.len()
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The encoded entity key of event `index`.
    #[inline]
    #[must_use]
    pub fn key(&self, index: usize) -> &[u8] {
        self.batch.key(index)
    }

    /// The hashes of the keys.
    #[must_use]
    pub fn hashes(&self) -> &[u64] {
        &self.batch.hashes
    }

    /// Whether event `index` deletes its entity.
    #[must_use]
    pub fn deletes(&self, view: &View, index: usize) -> bool {
        view.deletes
            .is_some_and(|bit| self.batch.bits[index] >> bit & 1 == 1)
    }

    /// The row of the table that event `index` was taken from.
    #[must_use]
    pub fn row(&self, index: usize) -> usize {
        self.batch.events[index] as usize
    }

    /// The time of event `index`.
    #[inline]
    #[must_use]
    pub fn time(&self, index: usize) -> Timestamp {
        Timestamp(self.times[self.batch.events[index] as usize])
    }

    /// Whether all there is of the events are numbers, so that each can be had [packed](Self::packed).
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.batch.words.any()
    }

    /// Event `index` as words.
    #[inline]
    #[must_use]
    pub fn packed(&self, index: usize) -> Packed<'_> {
        self.batch.words.member(index)
    }

    /// The events as words, one after another, and how many words each has; the events themselves where
    /// something of them is no number.
    ///
    /// # Errors
    /// Gives the events back.
    pub fn into_words(self) -> Result<(Vec<i64>, usize), Box<PastEvents>> {
        match self.is_packed() {
            true => Ok(self.batch.words.into_parts()),
            false => Err(Box::new(self)),
        }
    }

    /// Appends the inputs of event `index`.
    pub fn push_cells<'a>(&'a self, index: usize, cells: &mut Vec<Cell<'a>>) {
        self.batch.push_cells(index as u32, cells);
    }

    /// Event `index`, of these inputs.
    #[must_use]
    pub fn event<'a>(&'a self, index: usize, inputs: &'a [Cell<'a>]) -> Event<'a> {
        Event {
            time: self.time(index),
            id: self.id(index),
            bits: self.batch.bits[index],
            inputs,
        }
    }

    /// The identity of event `index`, beside its time.
    #[must_use]
    pub fn id(&self, index: usize) -> Id<'_> {
        let event = self.batch.events[index] as usize;
        match &self.ids {
            PacketIds::Int(ids) => Id::Int(ids[event]),
            PacketIds::Bytes(ids) => Id::Bytes(&ids[event]),
            PacketIds::Places(places) => {
                let (partition, offset) = places[event];
                Id::Position { partition, offset }
            }
            PacketIds::Position => unreachable!("events of the past know where they were read"),
        }
    }

    /// Roughly how many bytes of memory they take.
    #[must_use]
    pub fn memory(&self) -> usize {
        let inputs = self.batch.inputs.iter().map(Input::memory);
        let ids = match &self.ids {
            PacketIds::Int(ids) => ids.len() * 8,
            PacketIds::Bytes(ids) => ids.iter().map(|id| 32 + id.len()).sum(),
            PacketIds::Places(places) => places.len() * 16,
            PacketIds::Position => 0,
        };
        let words = self.batch.words.memory();
        self.times.len() * 8
            + ids
            + words
            + self.batch.keys.len()
            + self.len() * 28
            + inputs.sum::<usize>()
    }

    /// As a packet for lanes, to the view at `view` of theirs: the events are those of
    /// `partition` from `offset` on, and each is counted where its row is.
    #[must_use]
    pub fn into_packet(self, view: usize, partition: Partition, offset: i64) -> Packet {
        let meta = |event: usize| RecordMeta {
            partition,
            offset: offset + event as i64,
            broker_time: Timestamp(0),
        };
        let shards = self.batch.hashes.iter();
        let shards = shards.map(|hash| Shard::of_hash(*hash)).collect();
        let count = self.times.len();
        debug_assert_eq!(
            count,
            self.len(),
            "read from columns, it has nothing but events"
        );
        let records = RecordBatch {
            metas: (0..count).map(meta).collect(),
            ..RecordBatch::default()
        };
        let position = PartitionPosition {
            next: offset + count as i64,
            clock: Timestamp::MIN,
        };
        Packet {
            source: partition.source,
            records,
            record_of: (0..count as u32).collect(),
            times: self.times,
            ids: self.ids,
            views: vec![ViewBatch {
                view,
                speakers: Speakers::All,
                ..self.batch
            }],
            homes: Homes {
                shards,
                told: Vec::new(),
            },
            origin: Origin::Past,
            contiguous: true,
            reached: vec![(partition, offset, position)],
        }
    }

    /// The events alone, without the rows of the table that are none of the view's.
    ///
    /// # Panics
    /// As [`to_arrow`](Self::to_arrow).
    #[must_use]
    pub fn alone(self, spec: &RowSpec) -> PastEvents {
        if self.times.len() == self.len() {
            return self;
        }
        let all: Vec<u32> = (0..self.len() as u32).collect();
        let alone = PastEvents::from_arrow(spec, &self.to_arrow(spec, &all));
        alone.expect("they are written as they are read")
    }

    /// What deletes entities at instants: an event of each that has the view's bit for it and nulls in
    /// place of values. `places` identify them, as they do rows of its table.
    ///
    /// # Panics
    /// Where the view has no table.
    #[must_use]
    pub fn deletions(
        view: &View,
        entities: &[(Vec<u8>, Timestamp)],
        places: &[(u32, i64)],
    ) -> PastEvents {
        let spec = &view.spec;
        assert_eq!(spec.id, IdKind::Int64, "rows of a table have numbers");
        let numbers = places.iter().map(|place| row_number(*place));
        let bits = view.deletes.map_or(0, |bit| 1 << bit);
        let count = entities.len();
        let hashes = entities.iter().map(|(key, _)| hash_key(key));
        let keys = entities.iter().map(|(key, _)| key);
        let times: Vec<i64> = entities.iter().map(|(_, at)| at.0).collect();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(hashes)),
            Arc::new(BinaryArray::from_iter_values(keys)),
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
            Arc::new(Int64Array::from_iter_values(numbers)),
        ];
        let schema = PastEvents::schema(spec);
        if spec.filters > 0 {
            columns.push(Arc::new(UInt64Array::from(vec![bits; count])));
        }
        let inputs = schema.fields().iter().skip(columns.len());
        let nulls: Vec<ArrayRef> = inputs
            .map(|field| new_null_array(field.data_type(), count))
            .collect();
        columns.extend(nulls);
        let batch = ArrowBatch::try_new(schema, columns).expect("columns are of the schema");
        PastEvents::from_arrow(spec, &batch).expect("they are written as they are read")
    }

    /// The columns of a view's events: `hash`, `key`, `time`, the identity (`id`, or `id_partition`
    /// and `id_offset`), `bits` where the view has filters, and `in_0…` for its inputs.
    #[must_use]
    pub fn schema(spec: &RowSpec) -> SchemaRef {
        let required = |name: &str, data_type| Field::new(name, data_type, false);
        let mut fields = vec![
            required("hash", ArrowType::UInt64),
            required("key", ArrowType::Binary),
            required("time", instants()),
        ];
        match spec.id {
            IdKind::Int64 => fields.push(required("id", ArrowType::Int64)),
            IdKind::Bytes => fields.push(required("id", ArrowType::Binary)),
            IdKind::Position => {
                fields.push(required("id_partition", ArrowType::UInt32));
                fields.push(required("id_offset", ArrowType::Int64));
            }
        }
        if spec.filters > 0 {
            fields.push(required("bits", ArrowType::UInt64));
        }
        for (input, data_type) in spec.inputs.iter().enumerate() {
            let arrow = match data_type {
                DataType::Bool => ArrowType::Boolean,
                DataType::Float64 => ArrowType::Float64,
                DataType::Decimal { precision, scale } => ArrowType::Decimal128(*precision, *scale),
                DataType::String => ArrowType::Utf8,
                DataType::Bytes => ArrowType::Binary,
                // Instants and spans are integers here.
                _ => ArrowType::Int64,
            };
            fields.push(Field::new(format!("in_{input}"), arrow, true));
        }
        Arc::new(Schema::new(fields))
    }

    /// The events at `indices`, in [these columns](Self::schema).
    ///
    /// # Panics
    /// Where they are not events of `spec`.
    #[must_use]
    pub fn to_arrow(&self, spec: &RowSpec, indices: &[u32]) -> ArrowBatch {
        let each = || indices.iter().map(|index| *index as usize);
        let events = || each().map(|index| self.batch.events[index] as usize);
        let mut keys = BinaryBuilder::with_capacity(indices.len(), indices.len() * 12);
        each().for_each(|index| keys.append_value(self.key(index)));
        let hashes: UInt64Array = each()
            .map(|index| self.batch.hashes[index])
            .collect::<Vec<_>>()
            .into();
        let times: Vec<i64> = events().map(|event| self.times[event]).collect();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(hashes),
            Arc::new(keys.finish()),
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
        ];
        match &self.ids {
            PacketIds::Int(ids) => {
                let ids: Vec<i64> = events().map(|event| ids[event]).collect();
                columns.push(Arc::new(Int64Array::from(ids)));
            }
            PacketIds::Bytes(ids) => {
                let ids = BinaryArray::from_iter_values(events().map(|event| &ids[event]));
                columns.push(Arc::new(ids));
            }
            PacketIds::Places(places) => {
                let partitions: Vec<u32> = events().map(|event| places[event].0).collect();
                let offsets: Vec<i64> = events().map(|event| places[event].1).collect();
                columns.push(Arc::new(UInt32Array::from(partitions)));
                columns.push(Arc::new(Int64Array::from(offsets)));
            }
            PacketIds::Position => unreachable!("events of the past know where they were read"),
        }
        if spec.filters > 0 {
            let bits: Vec<u64> = each().map(|index| self.batch.bits[index]).collect();
            columns.push(Arc::new(UInt64Array::from(bits)));
        }
        let members: Vec<u32> = each().map(|index| self.batch.members[index]).collect();
        let members = UInt32Array::from(members);
        for input in &self.batch.inputs {
            let array = input.to_array();
            columns.push(take(&array, &members, None).expect("members are in range"));
        }
        ArrowBatch::try_new(PastEvents::schema(spec), columns).expect("columns are of the schema")
    }

    /// Reads events from [these columns](Self::schema).
    ///
    /// # Errors
    /// What is wrong with the columns.
    pub fn from_arrow(spec: &RowSpec, batch: &ArrowBatch) -> Result<PastEvents, String> {
        let wanted = PastEvents::schema(spec);
        if *batch.schema_ref().fields() != *wanted.fields() {
            return Err(format!(
                "expected columns {:?}, found {:?}",
                names(&wanted),
                names(batch.schema_ref())
            ));
        }
        if batch.columns()[..3]
            .iter()
            .any(|column| column.null_count() > 0)
        {
            return Err("a hash, a key or a time is missing".to_owned());
        }
        let count = batch.num_rows();
        let keys = batch.column(1).as_binary::<i32>();
        let first = keys.value_offsets()[0];
        let ends = keys.value_offsets()[1..].iter();
        let bytes = &keys.value_data()
            [first as usize..*keys.value_offsets().last().unwrap_or(&first) as usize];
        let times = batch.column(2).as_primitive::<TimestampMicrosecondType>();
        let mut next = 4;
        let ids = match spec.id {
            IdKind::Int64 => {
                PacketIds::Int(batch.column(3).as_primitive::<Int64Type>().values().clone())
            }
            IdKind::Bytes => {
                let ids = batch.column(3).as_binary::<i32>();
                PacketIds::Bytes((0..count).map(|at| ids.value(at).into()).collect())
            }
            IdKind::Position => {
                next = 5;
                let partitions = batch.column(3).as_primitive::<UInt32Type>().values();
                let offsets = batch.column(4).as_primitive::<Int64Type>().values();
                let places = partitions.iter().copied().zip(offsets.iter().copied());
                PacketIds::Places(places.collect())
            }
        };
        let bits = match spec.filters {
            0 => vec![0; count],
            _ => {
                next += 1;
                batch
                    .column(next - 1)
                    .as_primitive::<UInt64Type>()
                    .values()
                    .to_vec()
            }
        };
        let events = ViewBatch {
            view: 0,
            events: (0..count as u32).collect(),
            members: (0..count as u32).collect(),
            keys: bytes.to_vec(),
            key_ends: ends.map(|end| (end - first) as u32).collect(),
            hashes: batch
                .column(0)
                .as_primitive::<UInt64Type>()
                .values()
                .to_vec(),
            bits,
            inputs: batch.columns()[next..]
                .iter()
                .map(evaluate::input)
                .collect(),
            speakers: Speakers::Nobody,
            words: Words::default(),
        };
        Ok(PastEvents::new(spec, times.values().to_vec(), ids, events))
    }
}

fn instants() -> ArrowType {
    ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn names(schema: &Schema) -> Vec<&str> {
    schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect()
}

impl Input {
    fn memory(&self) -> usize {
        match self {
            Input::Int(values, _) => values.len() * 8,
            Input::Bool(array) => array.get_array_memory_size(),
            Input::Float(array) => array.get_array_memory_size(),
            Input::Decimal(array) => array.get_array_memory_size(),
            Input::Text(array) => array.get_array_memory_size(),
            Input::Bytes(array) => array.get_array_memory_size(),
        }
    }

    fn to_array(&self) -> ArrayRef {
        match self {
            Input::Int(values, nulls) => Arc::new(Int64Array::new(values.clone(), nulls.clone())),
            Input::Bool(array) => Arc::<BooleanArray>::new(array.clone()),
            Input::Float(array) => Arc::<Float64Array>::new(array.clone()),
            Input::Decimal(array) => Arc::<Decimal128Array>::new(array.clone()),
            Input::Text(array) => Arc::<StringArray>::new(array.clone()),
            Input::Bytes(array) => Arc::<BinaryArray>::new(array.clone()),
        }
    }
}
