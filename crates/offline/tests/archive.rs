//! The archive under faults before and after every step: each event is in it once, at every moment for
//! whoever reads the table, and all of them in the end.

#[path = "archive/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tiderace_durable::failpoint::Step;
use tiderace_offline::archive::{Archive, Load};
use tiderace_offline::table::Table;
use tiderace_offline::{Kind, Place};
use tiderace_types::{DataType, Duration, Timestamp};
use world::{DAY, Fault, Record, World, blocked, layout, stream};

/// What is done between crashes: flushes of a few records each, a merge now and then.
async fn feed(
    world: &mut World,
    log: &[Record],
    dice: &mut u64,
) -> Result<(), tiderace_offline::Error> {
    let archive = world.open().await?;
    let manifest = archive.manifest().await;
    let mut load = world.load(&manifest);
    let mut batches = world.replay(log, &manifest, dice);
    while let Some(batch) = batches.next() {
        load.push(batch);
        if world::roll(dice, 3) == 0 || batches.as_slice().is_empty() {
            world.flush(&archive, &mut load).await?;
            load = Load::after(load.reached().clone());
        }
        if world::roll(dice, 4) == 0 {
            world.patiently(|| archive.compact()).await?;
        }
    }
    while world.patiently(|| archive.compact()).await?.is_some() {}
    Ok(())
}

/// A record whose event nobody else has.
fn plain(number: i64, time: i64) -> Record {
    Record {
        partition: 0,
        offset: number,
        event: Some((time, number)),
    }
}

/// Fails at every step in turn, and goes on from what is left.
fn crashes_anywhere(place: fn() -> Place, fault: fn(usize) -> Fault, records: usize) {
    let log = stream(11, records);
    let expected: BTreeSet<(i64, i64)> = log.iter().flat_map(|record| record.event).collect();
    for at in 1.. {
        let mut world = World::new(place());
        let mut dice = at as u64;
        world.fault(fault(at));
        let first = blocked(feed(&mut world, &log, &mut dice));
        let hit = world.is_hit();
        world.check_table(&expected, "after the fault");
        let crashed = first.is_err();
        if crashed {
            // A second crash soon after, where what is left of the first is being put right.
            world.fault(fault(1 + at % 7));
            let second = blocked(feed(&mut world, &log, &mut dice));
            world.check_table(&expected, "after the second fault");
            world.fault(Fault::None);
            if second.is_err() {
                blocked(feed(&mut world, &log, &mut dice)).expect("no fault");
            }
        }
        world.check_table(&expected, "in the end");
        let found = world.table();
        assert_eq!(
            found.keys().copied().collect::<BTreeSet<_>>(),
            expected,
            "step {at}"
        );
        world.check_whole(&log);
        if !hit {
            eprintln!("{at} steps");
            assert!(at > 70, "only {at} steps");
            let files = world.manifest().files;
            let merged = files.iter().any(|file| file.path.contains("merged"));
            assert!(merged, "nothing was merged: {files:?}");
            return;
        }
    }
}

#[test]
fn a_crash_at_any_step_in_a_folder() {
    crashes_anywhere(world::folder, Fault::Crash, 90);
}

#[test]
fn a_crash_at_any_step_in_an_object_store() {
    crashes_anywhere(Place::memory, Fault::Crash, 120);
}

#[test]
fn an_error_at_any_step_is_tried_again() {
    crashes_anywhere(world::folder, Fault::Error, 70);
    crashes_anywhere(Place::memory, Fault::Error, 90);
}

#[test]
fn identities_that_state_lost_are_read_from_the_files() {
    let log = stream(3, 200);
    let expected: BTreeSet<(i64, i64)> = log.iter().flat_map(|record| record.event).collect();
    let mut world = World::new(Place::memory());
    let mut dice = 5;
    blocked(feed(&mut world, &log[..100], &mut dice)).expect("no fault");
    world.forget_identities();
    blocked(feed(&mut world, &log, &mut dice)).expect("no fault");
    let found = world.table();
    assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), expected);
    world.check_table(&expected, "with identities read again");
}

#[test]
fn copies_older_than_what_is_remembered_are_found_in_the_files() {
    let mut world = World::new(Place::memory());
    world.settings.remembered = Duration(DAY);
    let event = |offset, partition, time, id| Record {
        partition,
        offset,
        event: Some((time, id)),
    };
    let old = event(0, 0, 5 * DAY, 1);
    let later = event(1, 0, 50 * DAY, 2);
    let copy = event(0, 1, 5 * DAY, 1);
    let other = event(1, 1, 5 * DAY, 3);
    let mut dice = 1;
    for upto in 1..=4 {
        let log = [old.clone(), later.clone(), copy.clone(), other.clone()];
        blocked(feed(&mut world, &log[..upto], &mut dice)).expect("no fault");
    }
    assert!(world.identities_before(49 * DAY) == 0, "they are forgotten");
    let expected = [(5 * DAY, 1), (5 * DAY, 3), (50 * DAY, 2)];
    let found: Vec<(i64, i64)> = world.table().into_keys().collect();
    assert_eq!(found, expected);
}

#[test]
fn two_owners_never_both_write() {
    let log = stream(7, 60);
    let world = World::new(world::folder());
    blocked(async {
        let first = world.open().await.expect("open");
        let mut load = world.load(&first.manifest().await);
        for batch in world.replay(&log[..30], &first.manifest().await, &mut 1) {
            load.push(batch);
        }
        let second = world.open().await.expect("another owner");
        let mut second_load = world.load(&second.manifest().await);
        for batch in world.replay(&log, &second.manifest().await, &mut 2) {
            second_load.push(batch);
            second.flush(&mut second_load).await.expect("flush");
            second_load = Load::after(second_load.reached().clone());
        }
        let lost = first.flush(&mut load).await;
        let said = lost.expect_err("it has been taken over");
        // Whether it finds the number taken or a greater one beside it, it goes no further.
        let said = match said.kind() {
            Kind::Store => first.flush(&mut load).await.expect_err("again"),
            _ => said,
        };
        assert_eq!(said.kind(), Kind::Caller, "{said}");
        assert!(said.to_string().contains("another process"), "{said}");
    });
    let expected: BTreeSet<(i64, i64)> = log.iter().flat_map(|record| record.event).collect();
    world.check_table(&expected, "in the end");
    assert_eq!(world.table().len(), expected.len());
}

#[test]
fn what_cannot_be_an_archive_is_refused_with_what_to_do() {
    let place = world::folder();
    let folder = place.path().expect("a folder").to_owned();
    std::fs::create_dir_all(folder.join("date=2018-04-01")).expect("folder");
    std::fs::write(folder.join("date=2018-04-01/theirs.parquet"), b"PAR1").expect("write");
    let world = World::new(place);
    let refused = blocked(world.open()).err().expect("refused");
    assert_eq!(refused.kind(), Kind::Caller);
    assert!(refused.to_string().contains("write: false"), "{refused}");

    let log = stream(7, 20);
    let mut world = World::new(world::folder());
    blocked(feed(&mut world, &log, &mut 1)).expect("no fault");
    world.layout.columns[2].1 = DataType::String;
    let refused = blocked(world.open()).err().expect("refused");
    let said = refused.to_string();
    for word in ["`amount`", "string", "float64", "date="] {
        assert!(said.contains(word), "{said}");
    }
    world.layout.columns[2].1 = DataType::Float64;
    world.layout.source = "others".to_owned();
    let refused = blocked(world.open()).err().expect("refused");
    assert!(refused.to_string().contains("`payments`"), "{refused}");
}

#[test]
fn columns_come_and_go() {
    let log: Vec<Record> = (0..90).map(|n| plain(n, n)).collect();
    let mut world = World::new(world::folder());
    blocked(feed(&mut world, &log[..30], &mut 1)).expect("no fault");
    world.layout.columns.remove(2);
    blocked(feed(&mut world, &log[..60], &mut 2)).expect("no fault");
    let note = ("note".to_owned(), DataType::String);
    world.layout.columns.push(note);
    blocked(feed(&mut world, &log, &mut 3)).expect("no fault");
    let expected: BTreeSet<(i64, i64)> = log.iter().flat_map(|record| record.event).collect();
    assert_eq!(
        world.table().keys().copied().collect::<BTreeSet<_>>(),
        expected
    );
    let columns = |path: &str| world.columns(path);
    let manifest = world.manifest();
    let names: Vec<&str> = manifest
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["at", "id", "amount", "note"]);
    let all = [
        "at",
        "id",
        "amount",
        "note",
        "_source",
        "_partition",
        "_offset",
        "_ingest_time",
    ];
    let merged = manifest
        .files
        .iter()
        .filter(|file| file.path.contains("merged"));
    let merged: Vec<_> = merged.map(|file| columns(&file.path)).collect();
    assert!(merged.iter().any(|columns| columns == &all), "{merged:?}");
}

#[test]
fn old_dates_go_and_wrong_futures_take_nothing() {
    let mut world = World::new(world::folder());
    world.settings.retention = Some(Duration(10 * DAY));
    let log: Vec<Record> = (0..30).map(|day| plain(day, day * DAY + 7)).collect();
    blocked(feed(&mut world, &log, &mut 1)).expect("no fault");
    let archive = blocked(world.open()).expect("open");
    // By a clock of this world that is before the stream's, less goes.
    let retired = blocked(archive.retire(Timestamp(20 * DAY))).expect("retire");
    assert_eq!(retired.expect("some").rows, 10);
    let retired = blocked(archive.retire(Timestamp::MAX)).expect("retire");
    assert_eq!(retired.expect("some").rows, 9);
    assert_eq!(
        blocked(archive.retire(Timestamp::MAX)).expect("retire"),
        None
    );
    let left: Vec<i64> = world.table().into_keys().map(|(_, id)| id).collect();
    assert_eq!(left, (19..30).collect::<Vec<i64>>());
    let folders = world.folders();
    assert_eq!(folders.len(), 11, "{folders:?}");
}

/// Who globs the table while files are merged sees the old ones or the new ones, or finds that one has
/// gone since it looked; never an event twice, and never less than all.
#[test]
fn a_reader_that_globs_while_files_are_merged_counts_right() {
    let mut world = World::new(world::folder());
    world.settings.fan_in = 4;
    let log: Vec<Record> = (0..1200).map(|n| plain(n, n)).collect();
    let archive = blocked(world.open()).expect("open");
    let manifest = blocked(archive.manifest());
    let mut load = world.load(&manifest);
    let over = AtomicBool::new(false);
    let reader = world.reader();
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| {
            let (mut opened, mut least) = (0, 0);
            while !over.load(Ordering::Acquire) {
                // Until there is a first file.
                match blocked(Table::of(world.place.clone())) {
                    Ok(table) => {
                        assert!(table.rows() >= least, "{} after {least}", table.rows());
                        least = table.rows();
                        opened += 1;
                    }
                    Err(error) => assert_eq!(least, 0, "it was there: {error}"),
                }
            }
            (opened, least)
        });
        let watching = scope.spawn(|| {
            let (mut counted, mut gone, mut least) = (0, 0, 0);
            while !over.load(Ordering::Acquire) {
                match reader.count() {
                    Some((rows, distinct)) => {
                        assert_eq!(rows, distinct, "an event twice");
                        assert!(rows >= least, "{rows} after {least}");
                        least = rows;
                        counted += 1;
                    }
                    None => gone += 1,
                }
            }
            (counted, gone)
        });
        for batch in world.replay(&log, &manifest, &mut 1) {
            load.push(batch);
            blocked(archive.flush(&mut load)).expect("flush");
            load = Load::after(load.reached().clone());
            blocked(archive.compact()).expect("merge");
        }
        over.store(true, Ordering::Release);
        let (counted, gone) = watching.join().expect("a reader that counts right");
        eprintln!("counted {counted} times, looked again {gone} times");
        assert!(counted > 10, "{counted}");
        // By the manifest nobody has to look again.
        let (opened, least) = opening.join().expect("a table at every moment");
        eprintln!("opened {opened} times");
        assert!(opened > 10 && least <= 1200, "{opened}, {least}");
    });
    let merged = blocked(archive.manifest()).files;
    assert!(merged.len() < 20, "{} files", merged.len());
    assert_eq!(world.table().len(), 1200);
}

#[test]
fn without_ids_places_tell_events_apart() {
    let log = stream(5, 150);
    let mut world = World::new(Place::memory());
    world.layout = layout(None);
    let mut dice = 3;
    blocked(feed(&mut world, &log[..70], &mut dice)).expect("no fault");
    blocked(feed(&mut world, &log, &mut dice)).expect("no fault");
    let accepted = log.iter().filter(|record| record.event.is_some());
    let expected: BTreeMap<(u32, i64), (i64, i64)> = accepted
        .filter_map(|record| Some(((record.partition, record.offset), record.event?)))
        .collect();
    assert_eq!(world.by_place(), expected);
}

/// The steps that a flush passes, in their order.
#[test]
fn the_order_of_steps() {
    let world = World::new(world::folder());
    let log = stream(1, 12);
    blocked(async {
        let archive: Archive = world.open().await.expect("open");
        let mut load = world.load(&archive.manifest().await);
        for batch in world.replay(&log, &archive.manifest().await, &mut 1) {
            load.push(batch);
        }
        world.steps.lock().expect("no panic").clear();
        archive.flush(&mut load).await.expect("flush");
    });
    let mut steps = world.steps.lock().expect("no panic").clone();
    steps.dedup();
    let golden = [
        Step::ArchiveStage,
        Step::StateArchived,
        Step::ArchiveManifest,
        Step::ArchivePublish,
    ];
    assert_eq!(steps[..golden.len()], golden);
    let _: Arc<_> = Arc::clone(&world.steps);
}
