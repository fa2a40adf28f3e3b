//! Rows written: by script, many keys of a slot in one call, many calls in one round trip, the
//! servers at once.

use super::script::Script;
use super::servers::Topology;
use super::{Link, Receipts, RedisStore, calls};
use crate::error::Kind;
use crate::part::{Part, slot_of_key};
use crate::{Error, RowWrite, fence};
use ::redis::Cmd;
use futures::future::try_join_all;
use std::collections::BTreeSet;

/// How many rows one script call writes.
const KEYS_PER_CALL: usize = 64;
/// How many bytes of rows one round trip carries, so that the deadline is per amount of work.
const BYTES_PER_TRIP: usize = 4 << 20;
/// How often rows are sent when the map of the cluster changes under them.
const ATTEMPTS: usize = 4;

/// A row as it is written.
struct Row<'a> {
    key: Vec<u8>,
    write: &'a RowWrite,
}

/// What goes to one server.
#[derive(Default)]
struct Load<'a> {
    /// The rows of each call.
    calls: Vec<Vec<&'a Row<'a>>>,
    parts: BTreeSet<Part>,
}

impl RedisStore {
    /// Puts rows, and behind them on each server the receipts, whose number rises with every
    /// attempt; gives the parts that rows went to.
    pub(crate) async fn put_rows(
        &self,
        rows: &[RowWrite],
        mut receipts: Option<&mut Receipts>,
    ) -> Result<Vec<Part>, Error> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let rows = rows.iter().map(|write| Row {
            key: self.0.keys.row(&write.key),
            write,
        });
        let rows: Vec<Row<'_>> = rows.collect();
        let mut topology = self.topology(self.0.options.write_deadline).await?;
        for _ in 1..ATTEMPTS {
            match self
                .put_once(&topology, &rows, receipts.as_deref_mut())
                .await
            {
                Err(error) if error.kind() == Kind::Retry => {
                    match self.0.servers.renewed(&topology).await {
                        Some(renewed) => topology = renewed,
                        None => return Err(error),
                    }
                }
                done => return done,
            }
        }
        self.put_once(&topology, &rows, receipts).await
    }

    async fn put_once(
        &self,
        topology: &Topology,
        rows: &[Row<'_>],
        receipts: Option<&mut Receipts>,
    ) -> Result<Vec<Part>, Error> {
        // What of an earlier attempt has failed comes behind that one's receipt.
        let receipts = receipts.map(|receipts| {
            receipts.version.seq += 1;
            &*receipts
        });
        let loads = self.loads(topology, rows)?;
        let sent = topology.masters.iter().zip(&loads);
        let sent = sent.filter(|(_, load)| !load.calls.is_empty());
        try_join_all(sent.map(|(link, load)| self.put_load(link, load, receipts))).await?;
        Ok(loads.into_iter().flat_map(|load| load.parts).collect())
    }

    /// Spreads rows over the servers.
    fn loads<'a>(&self, topology: &Topology, rows: &'a [Row<'a>]) -> Result<Vec<Load<'a>>, Error> {
        let mut loads: Vec<Load<'a>> = Vec::new();
        loads.resize_with(topology.masters.len(), Load::default);
        if topology.alone {
            loads[0].calls = rows
                .chunks(KEYS_PER_CALL)
                .map(|rows| rows.iter().collect())
                .collect();
            loads[0].parts.insert(Part::WHOLE);
            return Ok(loads);
        }
        let mut by_slot: Vec<(u16, &Row<'_>)> = rows
            .iter()
            .map(|row| (slot_of_key(&row.key), row))
            .collect();
        by_slot.sort_by_key(|(slot, _)| *slot);
        for rows in by_slot.chunk_by(|(a, _), (b, _)| a == b) {
            let slot = rows[0].0;
            let place = topology.place(slot).ok_or_else(|| self.unheld(slot))?;
            let (part, server) = topology.parts[place];
            let load = &mut loads[server];
            load.parts.insert(part);
            for rows in rows.chunks(KEYS_PER_CALL) {
                load.calls.push(rows.iter().map(|(_, row)| *row).collect());
            }
        }
        Ok(loads)
    }

    async fn put_load(
        &self,
        link: &Link,
        load: &Load<'_>,
        receipts: Option<&Receipts>,
    ) -> Result<(), Error> {
        let (mut trip, mut bytes) = (Vec::new(), 0);
        for rows in &load.calls {
            trip.push(&rows[..]);
            bytes += rows.iter().map(|row| row.write.value.len()).sum::<usize>();
            if bytes >= BYTES_PER_TRIP {
                self.put_trip(link, &trip, &[]).await?;
                (trip, bytes) = (Vec::new(), 0);
            }
        }
        let calls = receipts.iter().flat_map(|receipts| {
            let parts = load.parts.iter();
            parts.filter_map(|part| self.receipt_call(*part, receipts))
        });
        let calls: Vec<Cmd> = calls.collect();
        self.put_trip(link, &trip, &calls).await
    }

    /// One round trip: rows, then receipts.
    async fn put_trip(
        &self,
        link: &Link,
        trip: &[&[&Row<'_>]],
        receipts: &[Cmd],
    ) -> Result<(), Error> {
        const VERB: &str = "write rows";
        let script = &self.0.put_rows;
        let calls = trip.iter().map(|rows| put_rows_call(script, rows));
        let calls: Vec<Cmd> = calls.chain(receipts.iter().cloned()).collect();
        if calls.is_empty() {
            return Ok(());
        }
        let answers = self.run(link, VERB, &calls).await?;
        for (place, answer) in answers.into_iter().enumerate() {
            match (answer, trip.get(place)) {
                // Their slot is moving, and they are on two servers for a moment.
                (Err(error), Some(rows)) if calls::is_split(&error) && rows.len() > 1 => {
                    let single = rows.iter().map(|row| put_rows_call(script, &[*row]));
                    let single: Vec<Cmd> = single.collect();
                    let answers = self.run(link, VERB, &single).await?;
                    for answer in answers {
                        answer.map_err(|error| link.error(VERB, &error))?;
                    }
                }
                (answer, _) => {
                    answer.map_err(|error| link.error(VERB, &error))?;
                }
            }
        }
        Ok(())
    }

    /// The receipt of a part, over the one that is there.
    fn receipt_call(&self, part: Part, receipts: &Receipts) -> Option<Cmd> {
        let held = receipts.held.get(&part)?;
        let mut call = self.0.put_receipt.call(1);
        call.arg(self.0.keys.receipt(part, receipts.shards))
            .arg(&receipts.version.to_bytes()[..])
            .arg(&held.to_bytes()[..]);
        Some(call)
    }

    pub(super) fn unheld(&self, slot: u16) -> Error {
        let address = self.0.servers.address();
        let why = format!("redis {address}: no server of the cluster holds slot {slot}");
        Error::new(Kind::Retry, why)
    }
}

fn put_rows_call(script: &Script, rows: &[&Row<'_>]) -> Cmd {
    let mut call = script.call(rows.len());
    for row in rows {
        call.arg(&row.key);
    }
    for row in rows {
        call.arg(&row.write.value[..]);
        match row.write.ttl {
            Some(ttl) => call.arg(fence::ttl_millis(ttl)),
            None => call.arg(""),
        };
    }
    call
}
