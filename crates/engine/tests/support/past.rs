//! The past of views that began when their sources had come some way: what was accepted before, prepared.

use super::definitions::World;
use super::log::Log;
use super::random::Random;
use arrow::array::{RecordBatch as ArrowBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use tiderace_decode::Decoder;
use tiderace_engine::{LaneView, Packet, Past, PastEvents};
use tiderace_types::{
    Partition, PartitionPosition, Positions, RecordBatch, RecordMeta, Shard, SourceId, Timestamp,
};

/// Where every view began, and what each has missed.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The views, which begin there.
    pub views: Vec<LaneView>,
    /// Up to when rows may let go of events until their past is there.
    pub held: Vec<Timestamp>,
    /// The events by row and time.
    events: Vec<ArrowBatch>,
}

impl Prepared {
    pub fn new(world: &World, log: &Log, random: &mut Random) -> Prepared {
        let begin = |(partition, records): (&Partition, &Vec<_>)| {
            let next = match random.below(10) {
                0 => 0,
                1..4 => records.len() as i64,
                _ => random.within(records.len().min(1) as i64, records.len() as i64),
            };
            let clock = log.clock(*partition, next);
            (*partition, PartitionPosition { next, clock })
        };
        let begins = Positions(log.partitions.iter().map(begin).collect());
        let views: Vec<LaneView> = world
            .views
            .iter()
            .map(|view| view.clone().beginning(begins.clone()))
            .collect();
        let held = views.iter().map(|view| {
            let source = view.view.source.id;
            let own = begins.0.iter().filter(|(p, _)| p.source == source);
            let clock = own.map(|(_, at)| at.clock).min();
            view.view.spec.kept_from(clock.unwrap_or(Timestamp::MIN))
        });
        Prepared {
            held: held.collect(),
            events: views.iter().map(|view| prepare(view, log)).collect(),
            views,
        }
    }

    /// The partition that stands for a view's past.
    pub fn partition(view: usize) -> Partition {
        Partition {
            source: SourceId(1000 + view as u32),
            number: Partition::PAST,
        }
    }

    /// How many events a view has missed.
    pub fn len(&self, view: usize) -> i64 {
        self.events[view].num_rows() as i64
    }

    /// About `count` of a view's events from the `from`-th on. Those of one row and time stay together.
    pub fn packet(&self, view: usize, from: i64, count: usize) -> Packet {
        let (events, from) = (&self.events[view], from as usize);
        let spec = &self.views[view].view.spec;
        let same = |a: usize, b: usize| {
            let keys = events.column_by_name("key").expect("a column");
            let times = events.column_by_name("time").expect("a column");
            keys.slice(a, 1) == keys.slice(b, 1) && times.slice(a, 1) == times.slice(b, 1)
        };
        let mut to = (from + count).min(events.num_rows());
        while to < events.num_rows() && same(to - 1, to) {
            to += 1;
        }
        let some = PastEvents::from_arrow(spec, &events.slice(from, to - from));
        some.expect("made by `to_arrow`")
            .into_packet(view, Prepared::partition(view), from as i64)
    }
}

/// What was accepted before a view began, by shard, entity and time.
fn prepare(lane_view: &LaneView, log: &Log) -> ArrowBatch {
    let view = &lane_view.view;
    let source = &view.source;
    let spec = &view.spec;
    let place = |column: usize| source.used.binary_search(&column).ok();
    let columns = source.used.iter();
    let columns = columns.map(|column| source.columns[*column].clone());
    let mut decoder = Decoder::json(
        columns.collect(),
        place(source.event_time).expect("event time is used"),
        source.event_id.and_then(place),
        source.max_record_bytes,
    );
    let schema = PastEvents::schema(spec);
    let mut batches = vec![ArrowBatch::new_empty(schema.clone())];
    for partition in log.partitions.keys().filter(|p| p.source == source.id) {
        let mut records = RecordBatch::default();
        let begins = lane_view.begins.get(*partition).next;
        for offset in log
            .accepted(*partition)
            .into_iter()
            .filter(|at| *at < begins)
        {
            let logged = &log.partitions[partition][offset as usize];
            let meta = RecordMeta {
                partition: *partition,
                offset,
                broker_time: Timestamp(logged.broker_time),
            };
            records.push(meta, logged.payload.as_bytes());
        }
        let decoded = decoder.decode(&records);
        let place = |record: &u32| {
            let meta = &records.metas[*record as usize];
            (meta.partition.number, meta.offset)
        };
        let places = decoded.rows.iter().map(place).collect();
        let taken = Past::new(view.clone()).take(&decoded.batch, places);
        let all: Vec<u32> = (0..taken.events.len() as u32).collect();
        batches.push(taken.events.to_arrow(spec, &all));
    }
    let all = concat_batches(&schema, &batches).expect("of one schema");
    let events = PastEvents::from_arrow(spec, &all).expect("made by `to_arrow`");
    let mut order: Vec<u32> = (0..events.len() as u32).collect();
    order.sort_by_key(|index| {
        let index = *index as usize;
        let shard = Shard::of_hash(events.hashes()[index]);
        (shard, events.key(index).to_vec(), events.time(index))
    });
    take_record_batch(&all, &UInt32Array::from(order)).expect("indices are in range")
}
