//! A power cut: the files of a process as a disk would hold them when everything that was not
//! synced is lost.
//!
//! The process runs with a small library before it (`tests/power/forget.c`, which says what counts
//! as durable), is killed, and [`Power::cut`] puts into its folder what was durable, and by chance
//! some of what was not: a folder's names as they were last synced or as they are, a file's end
//! cut anywhere, or pages of it kept and others zero, as disks leave them.

use crate::generate::Dice;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const LIBRARY: &str = include_str!("../../../tests/power/forget.c");

/// What a disk writes at once.
const PAGE: usize = 4096;

/// The library, and what it remembers of one folder.
#[derive(Debug)]
pub struct Power {
    folder: TempDir,
    root: PathBuf,
    plant: bool,
}

/// What a cut has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Bytes of files that are not as they were.
    pub bytes: u64,
    /// Names that are gone or came back.
    pub names: u64,
}

impl Power {
    /// Builds the library, for processes that keep their files under `root`, which is made.
    ///
    /// # Errors
    /// When there is no C compiler.
    pub fn new(root: &Path) -> Result<Power> {
        let folder = tempfile::tempdir().context("make a folder for what is durable")?;
        let source = folder.path().join("forget.c");
        fs::write(&source, LIBRARY).context("write the library")?;
        let output = Command::new("cc")
            .args(["-std=c11", "-O1", "-shared", "-fPIC", "-o"])
            .arg(folder.path().join("forget.so"))
            .arg(&source)
            .args(["-ldl", "-lpthread"])
            .output()
            .context("run cc")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cc forget.c: {said}");
        fs::create_dir_all(root).context("make the folder that is watched")?;
        Ok(Power {
            folder,
            root: root.to_owned(),
            plant: false,
        })
    }

    /// Makes every sync do nothing: whoever looks for losses must find some now.
    #[must_use]
    pub fn without_syncs(mut self) -> Power {
        self.plant = true;
        self
    }

    /// The environment of the next process; what is there when it starts is durable.
    ///
    /// # Errors
    /// When what the last one left cannot be removed.
    pub fn environment(&self) -> Result<Vec<(&'static str, String)>> {
        let shadow = self.shadow();
        if shadow.exists() {
            fs::remove_dir_all(&shadow).context("forget the last process")?;
        }
        fs::create_dir(&shadow).context("make a folder for what is durable")?;
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let mut environment = vec![
            ("LD_PRELOAD", text(self.folder.path().join("forget.so"))),
            ("TIDERACE_POWER_ROOT", text(self.root.clone())),
            ("TIDERACE_POWER_SHADOW", text(shadow)),
        ];
        if self.plant {
            environment.push(("TIDERACE_POWER_PLANT", "nosync".to_owned()));
        }
        Ok(environment)
    }

    /// Puts what was durable in the place of the files of a process that was killed.
    ///
    /// # Errors
    /// When the library remembered nothing, or files cannot be replaced.
    pub fn cut(&self, dice: &mut Dice) -> Result<Lost> {
        let root = fs::read_to_string(self.shadow().join("root")).context("read the root")?;
        let restored = self.folder.path().join("restored");
        if restored.exists() {
            fs::remove_dir_all(&restored)?;
        }
        let mut cut = Cut {
            shadow: self.shadow(),
            numbers: numbers(&self.shadow())?,
            real: BTreeMap::new(),
            lost: Lost::default(),
        };
        cut.find(&self.root)?;
        cut.folder(root.trim().parse()?, &restored, dice)?;
        fs::remove_dir_all(&self.root).context("remove what was not durable")?;
        copy(&restored, &self.root)?;
        Ok(cut.lost)
    }

    fn shadow(&self) -> PathBuf {
        self.folder.path().join("shadow")
    }
}

/// The numbers that the library has given, by inode.
fn numbers(shadow: &Path) -> Result<BTreeMap<u64, u64>> {
    let text = fs::read_to_string(shadow.join("ids")).context("read the numbers")?;
    let mut numbers = BTreeMap::new();
    for line in text.lines() {
        // The kill may have cut the last one.
        if let Some((number, inode)) = line.split_once(' ')
            && let (Ok(number), Ok(inode)) = (number.parse(), inode.parse())
        {
            numbers.insert(inode, number);
        }
    }
    Ok(numbers)
}

struct Cut {
    shadow: PathBuf,
    numbers: BTreeMap<u64, u64>,
    /// Where things are now, by number.
    real: BTreeMap<u64, PathBuf>,
    lost: Lost,
}

/// A name in a folder: whether it is a folder, and its number.
type Names = BTreeMap<String, (bool, u64)>;

impl Cut {
    fn find(&mut self, folder: &Path) -> Result<()> {
        if let Some(number) = self.numbers.get(&fs::metadata(folder)?.ino()) {
            self.real.insert(*number, folder.to_owned());
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let data = entry.metadata()?;
            if data.is_dir() {
                self.find(&entry.path())?;
            } else if let Some(number) = self.numbers.get(&data.ino()) {
                self.real.insert(*number, entry.path());
            }
        }
        Ok(())
    }

    fn folder(&mut self, number: u64, to: &Path, dice: &mut Dice) -> Result<()> {
        fs::create_dir(to).with_context(|| format!("make {}", to.display()))?;
        let durable = self.durable_names(number)?;
        let real = self.real_names(number)?;
        let names = match dice.chance(0.5) {
            true => &durable,
            false => &real,
        };
        let gone = real.iter().filter(|(name, _)| !names.contains_key(*name));
        let back = names
            .iter()
            .filter(|(name, at)| real.get(*name) != Some(at));
        self.lost.names += (gone.count() + back.count()) as u64;
        for (name, (is_folder, number)) in names {
            match is_folder {
                true => self.folder(*number, &to.join(name), dice)?,
                false => self.file(*number, &to.join(name), dice)?,
            }
        }
        Ok(())
    }

    fn durable_names(&self, number: u64) -> Result<Names> {
        let path = self.shadow.join(format!("folder-{number}"));
        let mut names = Names::new();
        for line in fs::read_to_string(path).unwrap_or_default().lines() {
            let mut parts = line.splitn(3, ' ');
            let mut part = || parts.next().context("a cut line");
            let (kind, number, name) = (part()?, part()?.parse()?, part()?);
            names.insert(name.to_owned(), (kind == "d", number));
        }
        Ok(names)
    }

    /// What a folder holds now; what the library has not met is not its business.
    fn real_names(&self, number: u64) -> Result<Names> {
        let mut names = Names::new();
        let Some(path) = self.real.get(&number) else {
            return Ok(names);
        };
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let data = entry.metadata()?;
            if let Some(number) = self.numbers.get(&data.ino()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                names.insert(name, (data.is_dir(), *number));
            }
        }
        Ok(names)
    }

    fn file(&mut self, number: u64, to: &Path, dice: &mut Dice) -> Result<()> {
        let durable = self.shadow.join(format!("file-{number}"));
        let durable = fs::read(durable).unwrap_or_default();
        let real = match self.real.get(&number) {
            Some(path) => fs::read(path)?,
            None => durable.clone(),
        };
        let kept = torn(&durable, &real, dice);
        let same = kept.iter().zip(&real).filter(|(a, b)| a == b).count();
        self.lost.bytes += (kept.len().max(real.len()) - same) as u64;
        fs::write(to, kept).with_context(|| format!("write {}", to.display()))
    }
}

/// A file of which `durable` was synced and the rest up to `real` was on its way.
fn torn(durable: &[u8], real: &[u8], dice: &mut Dice) -> Vec<u8> {
    if real.len() < durable.len() || dice.chance(0.4) {
        return durable.to_vec();
    }
    let mut kept = durable.to_vec();
    if dice.chance(0.5) && real.starts_with(durable) {
        // Its end reached the disk up to some byte.
        let more = dice.below((real.len() - durable.len()) as u64 + 1) as usize;
        kept.extend_from_slice(&real[durable.len()..durable.len() + more]);
        return kept;
    }
    // Its length reached the disk, and some of its pages.
    kept.resize(real.len(), 0);
    for start in (0..real.len()).step_by(PAGE) {
        let page = start..real.len().min(start + PAGE);
        if dice.chance(0.5) {
            kept[page.clone()].copy_from_slice(&real[page]);
        }
    }
    kept
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &to)?,
            false => fs::copy(entry.path(), to).map(drop)?,
        }
    }
    Ok(())
}
