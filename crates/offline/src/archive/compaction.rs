//! Small files become larger ones, and old dates go.

use super::manifest::{File, Manifest};
use super::{Archive, DAY, file, owner, staged};
use crate::error::{Error, Kind};
use std::collections::BTreeMap;
use tiderace_durable::failpoint::Step;
use tiderace_types::Timestamp;

/// Files that were merged into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// How many.
    pub files: usize,
    /// Their rows.
    pub rows: u64,
}

/// Files that went with their dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// How many.
    pub files: usize,
    /// Their rows.
    pub rows: u64,
}

impl Archive {
    /// Merges some small files of one date, if there are enough of them. Flushes may go on meanwhile.
    ///
    /// # Errors
    /// As [`Archive::flush`]. Nothing is lost, and trying again is all there is to do.
    pub async fn compact(&self) -> Result<Option<Merged>, Error> {
        let before = {
            let mut held = self.held.lock().await;
            self.settle(&mut held).await?;
            held.manifest.clone()
        };
        // Of what is before nothing more is likely to come.
        let over = Archive::clock(&before).map(|clock| clock.minus(self.settings.remembered));
        let over = over.map_or(i64::MIN, |over| over.0.div_euclid(DAY));
        let (target, fan_in) = (self.settings.target_bytes, self.settings.fan_in);
        let Some(chosen) = choose(&before.files, over, target, fan_in) else {
            return Ok(None);
        };
        let rows: u64 = chosen.iter().map(|file| file.rows).sum();
        let merged = self.merge(&before, &chosen).await?;
        if merged.rows != rows {
            let (name, found) = (self.depot.name_of(&merged.path), merged.rows);
            return Err(Error::data(
                &name,
                format!("merged {rows} rows into {found}"),
            ));
        }
        let mut held = self.held.lock().await;
        self.settle(&mut held).await?;
        let mut next = held.manifest.clone();
        next.files
            .retain(|file| !chosen.iter().any(|old| old.path == file.path));
        if next.files.len() + chosen.len() != held.manifest.files.len() {
            let name = self.depot.name_of(&merged.path);
            return Err(Error::new(
                Kind::Store,
                format!("{name}: what it is merged of has changed"),
            ));
        }
        for column in &mut next.columns {
            if chosen.iter().any(|old| old.path == column.file) {
                column.file.clone_from(&merged.path);
            }
        }
        next.removed = chosen.iter().map(|file| file.path.clone()).collect();
        next.files.push(File {
            number: held.manifest.number + 1,
            ..merged
        });
        next.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.commit(&mut held, next).await?;
        Ok(Some(Merged {
            files: chosen.len(),
            rows,
        }))
    }

    /// Reads files that are small together, merges them, and stages what comes of it.
    async fn merge(&self, manifest: &Manifest, chosen: &[&File]) -> Result<File, Error> {
        let mut inputs = Vec::with_capacity(chosen.len());
        for file in chosen {
            let name = self.depot.name_of(&file.path);
            let bytes = self.depot.get(&file.path).await?;
            let bytes =
                bytes.ok_or_else(|| Error::data(&name, "the manifest names it, and it is gone"))?;
            inputs.push((name, bytes));
        }
        let columns = manifest.columns.iter().map(|column| column.name.as_str());
        let written = file::merge(inputs, &self.layout, columns)?;
        let date = chosen[0].date.clone();
        let own = owner(self.settings.owner);
        // The number of the manifest it was read from: no two merges are of the same.
        let number = manifest.number;
        let path = format!("date={date}/{number:010}-{own}-merged.parquet");
        let bytes = written.bytes.len() as u64;
        self.depot
            .put(Step::ArchiveStage, &staged(&path), written.bytes)
            .await?;
        Ok(File {
            path,
            date,
            number: 0,
            rows: written.rows,
            bytes,
            least: written.least,
            greatest: written.greatest,
        })
    }

    /// Removes the dates that are over for longer than the retention, by the stream clock and by `now`: an
    /// event from a wrong future must not empty the archive.
    ///
    /// # Errors
    /// As [`Archive::compact`].
    pub async fn retire(&self, now: Timestamp) -> Result<Option<Retired>, Error> {
        let Some(retention) = self.settings.retention else {
            return Ok(None);
        };
        let mut held = self.held.lock().await;
        self.settle(&mut held).await?;
        let Some(clock) = Archive::clock(&held.manifest) else {
            return Ok(None);
        };
        let from = clock.min(now).minus(retention).0.div_euclid(DAY);
        let (kept, gone): (Vec<File>, Vec<File>) = held
            .manifest
            .files
            .iter()
            .cloned()
            .partition(|file| file.greatest.div_euclid(DAY) >= from);
        if gone.is_empty() {
            return Ok(None);
        }
        let retired = Retired {
            files: gone.len(),
            rows: gone.iter().map(|file| file.rows).sum(),
        };
        let next = Manifest {
            files: kept,
            removed: gone.into_iter().map(|file| file.path).collect(),
            ..held.manifest.clone()
        };
        self.commit(&mut held, next).await?;
        Ok(Some(retired))
    }
}

/// How many times larger the files of a class are than those of the class below.
const CLASS: u64 = 8;

/// The smallest files, which are all of one class.
const SMALLEST: u64 = 64 << 10;

/// The most files that are merged at once.
const MOST: usize = 64;

/// Chooses files of one date to be merged: `fan_in` of about one size or, where the date is before day
/// `over`, whatever is small. Together they are at most `target` bytes; none is larger than half of that.
fn choose(files: &[File], over: i64, target: u64, fan_in: usize) -> Option<Vec<&File>> {
    let mut by_class: BTreeMap<(&str, u32), Vec<&File>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.bytes <= target / 2) {
        let class = match file.least.div_euclid(DAY) < over {
            true => 0,
            false => class(file.bytes),
        };
        by_class.entry((&file.date, class)).or_default().push(file);
    }
    let mut best: Option<Vec<&File>> = None;
    for mut files in by_class.into_values() {
        let enough = match files[0].least.div_euclid(DAY) < over {
            true => 2,
            false => fan_in,
        };
        files.sort_by(|a, b| a.bytes.cmp(&b.bytes).then(a.path.cmp(&b.path)));
        let mut bytes = 0;
        files.retain(|file| {
            bytes += file.bytes;
            bytes <= target
        });
        files.truncate(MOST);
        if files.len() >= enough && best.as_ref().is_none_or(|best| files.len() > best.len()) {
            best = Some(files);
        }
    }
    let mut best = best?;
    // In the order in which they were made: the newest has the newest types of columns.
    best.sort_by_key(|file| file.number);
    Some(best)
}

fn class(bytes: u64) -> u32 {
    (bytes / SMALLEST)
        .checked_ilog(CLASS)
        .map_or(0, |class| class + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(day: i64, number: u64, bytes: u64) -> File {
        let date = super::super::date(day * DAY);
        File {
            path: format!("date={date}/{number}.parquet"),
            date,
            number,
            rows: 1,
            bytes,
            least: day * DAY,
            greatest: day * DAY + 1,
        }
    }

    fn chosen(files: &[File], over: i64) -> Vec<u64> {
        let chosen = choose(files, over, 64 << 20, 4).unwrap_or_default();
        chosen.iter().map(|file| file.number).collect()
    }

    #[test]
    fn files_of_a_size_are_merged_and_all_small_ones_of_a_day_that_is_over() {
        let small = |numbers: &[u64]| -> Vec<File> {
            numbers
                .iter()
                .map(|number| file(5, *number, 1000))
                .collect()
        };
        assert_eq!(chosen(&small(&[1, 2, 3]), 0), [0; 0]);
        assert_eq!(chosen(&small(&[4, 2, 3, 1]), 0), [1, 2, 3, 4]);
        // One that is large already is not written again for a few small ones, until its day is over.
        let mut files = small(&[1, 2, 3]);
        files.push(file(5, 4, 10 << 20));
        files.push(file(6, 5, 1000));
        assert_eq!(chosen(&files, 0), [0; 0]);
        assert_eq!(chosen(&files, 6), [1, 2, 3, 4]);
        assert_eq!(chosen(&[file(5, 1, 1000)], 9), [0; 0]);
        // Nothing grows past the target.
        let large: Vec<File> = (1..=5).map(|number| file(5, number, 30 << 20)).collect();
        assert_eq!(chosen(&large, 9), [1, 2]);
        assert_eq!(
            chosen(&[file(5, 1, 40 << 20), file(5, 2, 40 << 20)], 9),
            [0; 0]
        );
    }
}
