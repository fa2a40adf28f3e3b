//! What must hold, whatever happened: of markers at every moment, of answers wherever they are
//! said to be exact, of everything in the end.

use super::driver::Driver;
use super::oracle::{Member, Oracle};
use super::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use tiderace_aggregate::{Answer, FinishError, Id, Kept, Output, Row, Span, Window};
use tiderace_plan::model::View;
use tiderace_testkit::naive;
use tiderace_types::{
    Duration, Generation, KeyBytes, Ledger, Marker, READ, RowKey, Shard, SourceId, Timestamp,
    Value, Version, ViewMarker, encode_key_value,
};

/// Every marker's rows are there: each event that it claims is in its row or was let go by it.
pub fn markers_hold(driver: &Driver<'_>, oracle: &Oracle) -> Result<(), String> {
    for marker in driver.online.markers.values() {
        caught_up_is_true(driver, marker)?;
    }
    for (index, rows) in oracle.views.iter().enumerate() {
        let view = driver.world.view(index);
        for (entity, members) in rows {
            let Some((marker, said)) = speaking(driver, view, entity) else {
                continue;
            };
            let key = key(view, entity);
            let row = read(driver, view, &key)?;
            let held = row.as_ref().map(|row| ids(view, row));
            for (id, member) in members {
                if !member.reached(&marker.positions) {
                    continue;
                }
                let there = match (&row, &held) {
                    (Some(row), Some(held)) => {
                        held.contains(&known_as(view, id, member))
                            || member.event.time <= row.kept_from
                            || is_merged(row, member)
                    }
                    _ => may_be_gone(view, said, member, driver.wall),
                };
                if !there {
                    return Err(format!(
                        "view {} entity {entity:?}, {} deaths, {}: marker {} of {} with {said:?} claims {member:?}; the row is {row:?}",
                        view.name, driver.deaths, driver.wall, marker.version, marker.shards
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Whatever had arrived at the instant that a marker names is among what it claims.
fn caught_up_is_true(driver: &Driver<'_>, marker: &Marker) -> Result<(), String> {
    for said in &marker.views {
        let view = driver.world.views.iter().find(|v| v.view.id == said.view);
        let source = view.expect("markers are of these views").view.source.id;
        for partition in driver.log.partitions.keys() {
            let end = match said.caught_up_at {
                Timestamp::MIN => 0,
                at => driver.log.end(*partition, at),
            };
            let next = marker.positions.get(*partition).next;
            if partition.source == source && next < end {
                return Err(format!(
                    "marker {} is caught up to offset {end} of {partition:?} at {next}",
                    marker.version
                ));
            }
        }
    }
    Ok(())
}

/// Whether the store may have let a row expire that held nothing newer than `member`.
fn may_be_gone(view: &View, said: &ViewMarker, member: &Member, wall: Timestamp) -> bool {
    match view.spec.kept {
        Kept::Span { reach, history, .. } if !view.spec.unbounded() => {
            let newest = said.surely_kept(wall).minus(reach.plus(history));
            member.event.time <= newest
        }
        _ => false,
    }
}

/// One answer of one row: wherever the rule says that it is exact, it is the oracle's.
pub fn exact_answers_are_right(
    driver: &Driver<'_>,
    oracle: &Oracle,
    random: &mut Random,
) -> Result<(), String> {
    let index = random.index(oracle.views.len());
    let rows = &oracle.views[index];
    let Some((entity, members)) = rows.iter().nth(random.index(rows.len())) else {
        return Ok(());
    };
    let view = driver.world.view(index);
    let Some((marker, said)) = speaking(driver, view, entity) else {
        return Ok(());
    };
    let row = read(driver, view, &key(view, entity))?;
    let held = row.as_ref().map(|row| ids(view, row)).unwrap_or_default();
    let kept_from = row.as_ref().map_or(Timestamp::MIN, |row| row.kept_from);
    let mut events = Vec::new();
    let mut doubtful = false;
    for (id, member) in members {
        let claimed = member.reached(&marker.positions);
        let present = held.contains(&known_as(view, id, member));
        let merged = row.as_ref().is_some_and(|row| is_merged(row, member));
        let folded = merged || row.is_some() && member.event.time <= kept_from;
        doubtful |= folded && !claimed;
        if present || claimed {
            events.push(member.event.clone());
        }
    }
    for (place, output) in view.spec.outputs.iter().enumerate() {
        let as_of = instant(random, driver, output, members.values());
        // What such windows need of what was let go cannot be told from outside.
        let dense = row.as_ref().is_some_and(|row| row.merged.is_some());
        let folds = (dense || output.window.horizon().is_none()) && doubtful;
        if folds || !is_exact(view, said, row.as_ref(), place, as_of, driver.wall) {
            continue;
        }
        let empty = Row::new(&view.spec);
        let row = row.as_ref().unwrap_or(&empty);
        let found = row.finish(&view.spec, &[place], driver.asked(as_of));
        let expected = expected(row, output, &events, as_of);
        same(view, output, as_of, &found[0], &expected, &events)?;
    }
    Ok(())
}

/// What the row should answer: of a coarse one, over the window that it says.
fn expected(
    row: &Row,
    output: &Output,
    events: &[naive::Event],
    as_of: Timestamp,
) -> Result<Value, naive::Overflow> {
    let (true, Some(edges)) = (
        row.off(output.window, as_of) > Duration::ZERO,
        row.edges(output.window, as_of),
    ) else {
        return naive::answer(output, events, as_of);
    };
    let inside = |event: &&naive::Event| edges.after < event.time && event.time <= edges.upto;
    let inside: Vec<naive::Event> = events.iter().filter(inside).cloned().collect();
    let whole = Output {
        window: Window {
            span: Span::Lifetime,
            delay: Duration::ZERO,
        },
        ..output.clone()
    };
    naive::answer(&whole, &inside, Timestamp::MAX)
}

/// The rule by which servers say that a value is exact, flags apart.
fn is_exact(
    view: &View,
    said: &ViewMarker,
    row: Option<&Row>,
    output: usize,
    as_of: Timestamp,
    now: Timestamp,
) -> bool {
    let Kept::Span {
        history, lateness, ..
    } = view.spec.kept
    else {
        return row.is_none_or(|row| row.answers(&view.spec, output, as_of));
    };
    let by_clock = as_of >= said.clock.minus(lateness).minus(history);
    let kept = match row {
        Some(row) => row.answers(&view.spec, output, as_of),
        None => as_of >= said.surely_kept(now).minus(history),
    };
    by_clock && kept
}

/// Whether a member of the row may be in what it holds merged.
fn is_merged(row: &Row, member: &Member) -> bool {
    let pieces = row.merged.iter().flat_map(|merged| &merged.pieces);
    let time = member.event.time;
    let mut pieces = pieces.map(|piece| piece.after < time && time <= piece.upto);
    pieces.any(|inside| inside)
}

/// When all is read, anchored and published: dense rows answer everything from now to their horizon.
/// Tells how many there are, and how many of them are coarse.
pub fn dense_rows_answer(driver: &Driver<'_>) -> Result<[usize; 2], String> {
    let mut dense = [0, 0];
    for key in driver.online.rows.keys() {
        let found = driver.world.views.iter().find(|v| v.view.id == key.view);
        let view = &found.expect("rows are of these views").view;
        let Some(row) = read(driver, view, key)? else {
            continue;
        };
        let Some(merged) = &row.merged else {
            continue;
        };
        dense[0] += 1;
        let alone = Row {
            events: row.events.slice(0..0),
            ..row.clone()
        };
        let (bytes, bound) = (
            alone.encode(&view.spec, Version::default()).len(),
            view.spec.spans_bound().bytes,
        );
        if bytes > bound {
            return Err(format!(
                "view {}: {bytes} bytes of spans, more than {bound}",
                view.name
            ));
        }
        dense[1] += usize::from(merged.anchored.as_ref().is_some_and(|at| at.coarse));
        let horizon = merged.horizon.min(driver.wall.plus(Duration(1 << 50)));
        for as_of in [
            driver.wall,
            Timestamp(driver.wall.0.midpoint(horizon.0)),
            horizon,
        ] {
            for (place, output) in view.spec.outputs.iter().enumerate() {
                if !row.answers(&view.spec, place, as_of) {
                    return Err(format!(
                        "view {} output {} cannot be answered at {as_of}, now {} by {row:?}",
                        view.name, output.name, driver.wall
                    ));
                }
            }
        }
    }
    Ok(dense)
}

/// When all is read and published: whatever dense rows answer as of an instant is the oracle's.
/// Tells how many outputs are answered, and how many are not.
pub fn dense_rows_are_exact(
    driver: &Driver<'_>,
    oracle: &Oracle,
    as_of: Timestamp,
) -> Result<[usize; 2], String> {
    let mut seen = [0, 0];
    for (index, rows) in oracle.views.iter().enumerate() {
        let view = driver.world.view(index);
        for (entity, members) in rows {
            let Some(row) = read(driver, view, &key(view, entity))? else {
                continue;
            };
            if row.merged.is_none() {
                continue;
            }
            let events: Vec<_> = members.values().map(|m| m.event.clone()).collect();
            for (place, output) in view.spec.outputs.iter().enumerate() {
                if !row.answers(&view.spec, place, as_of) {
                    seen[1] += 1;
                    continue;
                }
                let found = row.finish(&view.spec, &[place], as_of);
                let expected = expected(&row, output, &events, as_of);
                same(view, output, as_of, &found[0], &expected, &events)?;
                seen[0] += 1;
            }
        }
    }
    Ok(seen)
}

/// An instant at or beside an event or the edge of a window, or near the clock.
fn instant<'m>(
    random: &mut Random,
    driver: &Driver<'_>,
    output: &Output,
    members: impl ExactSizeIterator<Item = &'m Member>,
) -> Timestamp {
    let count = members.len();
    let time = members
        .map(|member| member.event.time)
        .nth(random.index(count));
    let time = time.unwrap_or(driver.wall);
    let at = match random.below(4) {
        0 => time.plus(output.window.delay),
        1 | 2 => time.plus(output.window.reach()),
        3 if random.percent(50) => driver.wall.plus(Duration(random.within(0, 1_000_000))),
        _ => time.plus(Duration(random.within(0, 10 * 3_600_000_000))),
    };
    at.plus(Duration(random.within(-1, 1)))
}

/// When all is read and published: the rows without their versions and without what is not kept,
/// where that leaves anything: a row that holds nothing may as well be absent.
pub fn online_rows(driver: &Driver<'_>) -> Result<BTreeMap<RowKey, Vec<u8>>, String> {
    let mut rows = BTreeMap::new();
    for key in driver.online.rows.keys() {
        let found = driver.world.views.iter().find(|v| v.view.id == key.view);
        let view = &found.expect("rows are of these views").view;
        let Some(mut row) = read(driver, view, key)? else {
            continue;
        };
        row.trim(&view.spec, view.spec.kept_from(final_clock(driver, view)));
        if row.events.is_empty() && row.base.is_none() {
            continue;
        }
        let bytes = row.encode(&view.spec, Version::default());
        rows.insert(key.clone(), bytes);
    }
    Ok(rows)
}

/// Where every clock stands in the end.
fn final_clock(driver: &Driver<'_>, view: &View) -> Timestamp {
    let clocks = driver.workers.iter().map(|w| w.lane.clock(view.source.id));
    clocks.max().unwrap_or(Timestamp::MIN)
}

/// When all is read and published: every event that any window may still see is answered for.
pub fn all_answers_are_right(
    driver: &Driver<'_>,
    oracle: &Oracle,
    random: &mut Random,
) -> Result<(), String> {
    for (index, rows) in oracle.views.iter().enumerate() {
        let view = driver.world.view(index);
        for (entity, members) in rows {
            let (marker, said) = speaking(driver, view, entity)
                .ok_or_else(|| format!("view {}: {entity:?} has no marker", view.name))?;
            for (partition, log) in &driver.log.partitions {
                if marker.positions.get(*partition).next != log.len() as i64 {
                    return Err(format!(
                        "marker {} is at {:?} of {partition:?}; the end is {}",
                        marker.version,
                        marker.positions.get(*partition),
                        log.len()
                    ));
                }
            }
            let row = read(driver, view, &key(view, entity))?;
            let events: Vec<_> = members.values().map(|m| m.event.clone()).collect();
            for (place, output) in view.spec.outputs.iter().enumerate() {
                for _ in 0..2 {
                    let as_of = instant(random, driver, output, members.values());
                    if !is_exact(view, said, row.as_ref(), place, as_of, driver.wall) {
                        continue;
                    }
                    let empty = Row::new(&view.spec);
                    let row = row.as_ref().unwrap_or(&empty);
                    let found = row.finish(&view.spec, &[place], driver.asked(as_of));
                    let expected = expected(row, output, &events, as_of);
                    same(view, output, as_of, &found[0], &expected, &events)?;
                }
            }
        }
    }
    Ok(())
}

fn same(
    view: &View,
    output: &Output,
    as_of: Timestamp,
    found: &Result<Answer, FinishError>,
    expected: &Result<Value, naive::Overflow>,
    events: &[naive::Event],
) -> Result<(), String> {
    let magnitude = |event: &naive::Event| match event.inputs[output.by.or(output.input)?] {
        Value::Float(x) => Some(x.abs()),
        _ => None,
    };
    let magnitude: f64 = events.iter().filter_map(magnitude).sum();
    match (found, expected) {
        (Ok(a), Ok(b)) if naive::agree_within(&a.value, b, magnitude) => Ok(()),
        (Err(_), Err(_)) => Ok(()),
        _ => Err(format!(
            "view {} output {} at {as_of}: {found:?}; expected {expected:?}",
            view.name, output.name
        )),
    }
}

/// When all is read: every record is counted once, whatever happened on the way.
pub fn ledger_is_exact(driver: &Driver<'_>) -> Result<(), String> {
    let mut ledger = Ledger::default();
    for worker in &driver.workers {
        ledger.merge(&worker.lane.ledger());
    }
    if !ledger.balances() {
        return Err(format!("the ledger does not balance: {ledger:?}"));
    }
    let mut written: BTreeMap<SourceId, u64> = BTreeMap::new();
    for (partition, log) in &driver.log.partitions {
        *written.entry(partition.source).or_default() += log.len() as u64;
    }
    for (source, count) in written {
        let read = ledger.get(source, READ);
        if read != count {
            return Err(format!("{read} of {count} records are counted: {ledger:?}"));
        }
    }
    Ok(())
}

fn speaking<'d>(
    driver: &'d Driver<'_>,
    view: &View,
    entity: &[u8],
) -> Option<(&'d Marker, &'d ViewMarker)> {
    let marker = driver.online.marker(Shard::of(entity))?;
    let said = marker.views.iter().find(|said| said.view == view.id)?;
    Some((marker, said))
}

pub fn key(view: &View, entity: &KeyBytes) -> RowKey {
    RowKey {
        view: view.id,
        generation: Generation(1),
        entity: entity.clone(),
    }
}

fn read(driver: &Driver<'_>, view: &View, key: &RowKey) -> Result<Option<Row>, String> {
    let found = driver.online.get(key, driver.wall);
    let row = found.map(|bytes| Row::decode(bytes, &view.spec));
    row.transpose()
        .map_err(|error| format!("view {}: {error}", view.name))
}

/// An identity as rows have it: the id in key form, or the place.
type Known = (i64, Vec<u8>);

fn ids(view: &View, row: &Row) -> BTreeSet<Known> {
    let id = |index| {
        let mut bytes = match row.events.id(index) {
            Id::Int(id) => {
                let mut bytes = Vec::new();
                encode_key_value(&Value::Int(id), &mut bytes).expect("an integer is a key");
                bytes
            }
            Id::Bytes(id) => id.to_vec(),
            Id::Position { partition, offset } => format!("{partition}/{offset}").into_bytes(),
        };
        let sign = view
            .spec
            .sign
            .map(|sign| row.events.bits()[index] >> sign & 1);
        bytes.extend(sign.map(|sign| sign as u8));
        bytes
    };
    (0..row.events.len())
        .map(|index| (row.events.times()[index], id(index)))
        .collect()
}

fn known_as(view: &View, (time, id): &(i64, KeyBytes), member: &Member) -> Known {
    match view.source.event_id {
        Some(_) => (*time, id.to_vec()),
        None => {
            let (partition, offset) = member.places[0];
            (*time, format!("{}/{offset}", partition.number).into_bytes())
        }
    }
}
