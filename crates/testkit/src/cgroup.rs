//! A hard limit on the memory of child processes: a control group of the kernel.
//!
//! Past it the kernel first takes back the file cache that the children caused, and then kills
//! one of them. Only root can make one, and only where the kernel's memory controller is at hand
//! in its first version (second-version hierarchies hand theirs out otherwise): see
//! [`MemoryLimit::new`].

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

const ROOT: &str = "/sys/fs/cgroup/memory";

/// A control group with a limit; removed when dropped, once its processes have ended.
#[derive(Debug)]
pub struct MemoryLimit {
    group: PathBuf,
}

impl MemoryLimit {
    /// Makes a group whose processes may use `bytes` of memory together, file cache included.
    ///
    /// # Errors
    /// When this machine or this user cannot, saying so.
    pub fn new(bytes: u64) -> Result<MemoryLimit> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if !Path::new(ROOT).join("memory.limit_in_bytes").exists() {
            bail!("no memory controller (of the first version) in {ROOT}");
        }
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let group = Path::new(ROOT).join(format!("tiderace-{}-{made}", std::process::id()));
        std::fs::create_dir(&group).with_context(|| format!("make {}", group.display()))?;
        let limit = MemoryLimit { group };
        limit.write("memory.limit_in_bytes", bytes)?;
        // Swap would only hide what is used; a kernel that does not count it has no such file.
        let _ = limit.write("memory.memsw.limit_in_bytes", bytes);
        Ok(limit)
    }

    /// The same command, run inside the group.
    #[must_use]
    pub fn around(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        let script = "echo $$ > \"$0\" && exec \"$@\"";
        inside
            .arg("-c")
            .arg(script)
            .arg(self.group.join("cgroup.procs"));
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside
    }

    /// The most that was used, file cache included.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn peak(&self) -> Result<u64> {
        self.number("memory.max_usage_in_bytes")
    }

    /// How often the limit was met: mostly answered by taking back file cache.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn met(&self) -> Result<u64> {
        self.number("memory.failcnt")
    }

    fn number(&self, file: impl AsRef<OsStr>) -> Result<u64> {
        let path = self.group.join(Path::new(&file));
        let text = std::fs::read_to_string(&path);
        let text = text.with_context(|| format!("read {}", path.display()))?;
        text.trim()
            .parse()
            .with_context(|| format!("{}: {text:?}", path.display()))
    }

    fn write(&self, file: &str, bytes: u64) -> Result<()> {
        let path = self.group.join(file);
        std::fs::write(&path, bytes.to_string())
            .with_context(|| format!("write {}", path.display()))
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // A process that was only just killed may still be leaving.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
