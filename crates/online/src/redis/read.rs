//! Rows read: one MGET per slot, and behind them the markers of their parts; the servers at once.

use super::servers::Topology;
use super::{Link, RedisStore, calls};
use crate::error::Kind;
use crate::model::FoundMarkers;
use crate::part::{Part, slot_of_key};
use crate::{Error, Found};
use ::redis::{Cmd, Pipeline, RedisError, Value};
use bytes::Bytes;
use futures::future::try_join_all;
use std::time::{Duration, Instant};
use tiderace_types::RowKey;

const VERB: &str = "read rows";

/// What is read from one server.
#[derive(Default)]
struct Load {
    /// The places of the rows of each MGET.
    slots: Vec<Vec<usize>>,
    /// The places of the parts in the map.
    parts: Vec<usize>,
}

/// What one server gave.
struct Given {
    rows: Vec<(usize, Option<Bytes>)>,
    markers: Vec<(usize, Vec<Bytes>)>,
}

impl RedisStore {
    pub(crate) async fn get_rows(&self, keys: &[RowKey]) -> Result<Vec<Option<Bytes>>, Error> {
        Ok(self.read(keys, false).await?.rows)
    }

    /// The rows, and after them the markers' bytes: a server keeps the order of a round trip.
    pub(crate) async fn read_rows(&self, keys: &[RowKey]) -> Result<Found, Error> {
        self.read(keys, true).await
    }

    /// Reads, and once more where the map of the cluster turns out to have changed, all within one
    /// deadline.
    async fn read(&self, keys: &[RowKey], witnessed: bool) -> Result<Found, Error> {
        if keys.is_empty() {
            return Ok(Found::default());
        }
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| self.0.keys.row(key)).collect();
        let deadline = self.0.options.read_deadline;
        let began = Instant::now();
        let mut topology = self.topology(deadline).await?;
        loop {
            let left = deadline.saturating_sub(began.elapsed());
            let read = match topology.alone {
                true => {
                    self.read_alone(&topology.masters[0], &keys, witnessed, left)
                        .await
                }
                false => self.read_spread(&topology, &keys, witnessed, left).await,
            };
            let error = match read {
                Err(error) if error.kind() == Kind::Retry && !topology.fixed => error,
                read => return read,
            };
            let left = deadline.saturating_sub(began.elapsed());
            let renewed = self.0.servers.renewed(&topology);
            match tokio::time::timeout(left, renewed).await {
                Ok(Some(renewed)) => topology = renewed,
                Ok(None) | Err(_) => return Err(error),
            }
        }
    }

    async fn read_alone(
        &self,
        link: &Link,
        keys: &[Vec<u8>],
        witnessed: bool,
        deadline: Duration,
    ) -> Result<Found, Error> {
        let mut pipeline = Pipeline::new();
        pipeline.add_command(mget(keys.iter()));
        if witnessed {
            pipeline.cmd("HVALS").arg(self.0.keys.markers(Part::WHOLE));
        }
        let answers = link.ask(VERB, &pipeline, deadline).await?;
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or(Value::Nil);
        let rows = self.found_rows(keys.len(), next())?;
        let markers = match witnessed {
            true => Some(FoundMarkers {
                parts: vec![(Part::WHOLE, self.found_markers(next())?)],
                of_row: Vec::new(),
            }),
            false => None,
        };
        Ok(Found { rows, markers })
    }

    async fn read_spread(
        &self,
        topology: &Topology,
        keys: &[Vec<u8>],
        witnessed: bool,
        deadline: Duration,
    ) -> Result<Found, Error> {
        let mut loads: Vec<Load> = Vec::new();
        loads.resize_with(topology.masters.len(), Load::default);
        let mut of_row = vec![0; keys.len()];
        let slots = keys
            .iter()
            .enumerate()
            .map(|(row, key)| (slot_of_key(key), row));
        let mut by_slot: Vec<(u16, usize)> = slots.collect();
        by_slot.sort_unstable();
        for rows in by_slot.chunk_by(|a, b| a.0 == b.0) {
            let slot = rows[0].0;
            let place = topology.place(slot).ok_or_else(|| self.unheld(slot))?;
            let load = &mut loads[topology.parts[place].1];
            if load.parts.last() != Some(&place) {
                load.parts.push(place);
            }
            let rows: Vec<usize> = rows.iter().map(|(_, row)| *row).collect();
            for row in &rows {
                of_row[*row] = place;
            }
            load.slots.push(rows);
        }
        let read = topology.masters.iter().zip(&loads);
        let read = read.filter(|(_, load)| !load.slots.is_empty());
        let read = read
            .map(|(link, load)| self.read_load(topology, link, load, keys, witnessed, deadline));
        let mut rows = vec![None; keys.len()];
        let mut parts: Vec<(usize, Vec<Bytes>)> = Vec::new();
        for given in try_join_all(read).await? {
            for (row, bytes) in given.rows {
                rows[row] = bytes;
            }
            parts.extend(given.markers);
        }
        if !witnessed {
            return Ok(Found {
                rows,
                markers: None,
            });
        }
        for place in &mut of_row {
            let found = parts.iter().position(|(part, _)| part == place);
            *place = found.unwrap_or(parts.len());
        }
        let parts = parts.into_iter();
        let parts = parts.map(|(place, markers)| (topology.parts[place].0, markers));
        Ok(Found {
            rows,
            markers: Some(FoundMarkers {
                parts: parts.collect(),
                of_row,
            }),
        })
    }

    async fn read_load(
        &self,
        topology: &Topology,
        link: &Link,
        load: &Load,
        keys: &[Vec<u8>],
        witnessed: bool,
        deadline: Duration,
    ) -> Result<Given, Error> {
        let mut pipeline = Pipeline::new();
        for rows in &load.slots {
            pipeline.add_command(mget(rows.iter().map(|row| &keys[*row])));
        }
        let parts: &[usize] = if witnessed { &load.parts } else { &[] };
        for place in parts {
            let markers = self.0.keys.markers(topology.parts[*place].0);
            pipeline.cmd("HVALS").arg(markers);
        }
        let answers = link.ask_each(VERB, &pipeline, deadline).await?;
        let mut answers = answers.into_iter();
        let mut given = Given {
            rows: Vec::new(),
            markers: Vec::new(),
        };
        for rows in &load.slots {
            match answers.next().unwrap_or(Ok(Value::Nil)) {
                Ok(answer) => {
                    let found = self.found_rows(rows.len(), answer)?;
                    given.rows.extend(rows.iter().copied().zip(found));
                }
                Err(error) if self.asked_to(&error).is_some() || calls::is_split(&error) => {
                    for row in rows {
                        let found = self.read_moving(link, &keys[*row], deadline).await?;
                        given.rows.push((*row, Some(found)));
                    }
                }
                Err(error) => return Err(link.error(VERB, &error)),
            }
        }
        for place in parts {
            let answer = answers.next().unwrap_or(Ok(Value::Nil));
            let answer = answer.map_err(|error| link.error(VERB, &error))?;
            given.markers.push((*place, self.found_markers(answer)?));
        }
        Ok(given)
    }

    /// Reads one row of a slot that is moving from the server at `link`. Where neither server has
    /// it there is no telling whether it ever was: the markers are still with the first.
    async fn read_moving(
        &self,
        link: &Link,
        key: &[u8],
        deadline: Duration,
    ) -> Result<Bytes, Error> {
        let mut get = Pipeline::new();
        get.cmd("GET").arg(key);
        let moving = |answer: Option<Result<Value, RedisError>>| match answer {
            Some(Ok(Value::BulkString(bytes))) => Ok(Bytes::from(bytes)),
            Some(Err(error)) => Err(link.error(VERB, &error)),
            _ => {
                let why = format!("redis {}: {VERB}: their slot is moving", link.address());
                Err(Error::new(Kind::Retry, why))
            }
        };
        let answer = link.ask_each(VERB, &get, deadline).await?.pop();
        if let Some(Err(error)) = &answer
            && let Some(target) = self.asked_to(error)
        {
            let mut asking = Pipeline::new();
            asking.cmd("ASKING").ignore();
            asking.cmd("GET").arg(key);
            return moving(target.ask_each(VERB, &asking, deadline).await?.pop());
        }
        moving(answer)
    }

    fn found_rows(&self, count: usize, answer: Value) -> Result<Vec<Option<Bytes>>, Error> {
        let Value::Array(values) = answer else {
            return Err(self.unexpected("MGET", &answer));
        };
        if values.len() != count {
            return Err(self.unexpected("MGET", &Value::Int(values.len() as i64)));
        }
        values
            .into_iter()
            .map(|value| match value {
                Value::Nil => Ok(None),
                Value::BulkString(bytes) => Ok(Some(Bytes::from(bytes))),
                other => Err(self.unexpected("MGET", &other)),
            })
            .collect()
    }
}

fn mget<'a>(keys: impl Iterator<Item = &'a Vec<u8>>) -> Cmd {
    let mut command = ::redis::cmd("MGET");
    for key in keys {
        command.arg(key);
    }
    command
}
