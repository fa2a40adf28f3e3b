//! A small disk that can be full.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs at a folder, taken away when dropped.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one of so many bytes (`48m`) at a folder, which is made; `None`, said loudly, without the
    /// right to.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn mount(folder: &Path, size: &str) -> Option<Disk> {
        fs::create_dir_all(folder).expect("make the folder");
        let size = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tiderace-test"])
            .arg(folder)
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("SKIPPED: no right to mount a tmpfs, so no disk is full");
            return None;
        }
        Some(Disk {
            folder: folder.to_owned(),
        })
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Takes all the room there is.
    ///
    /// # Panics
    /// When there is none for a name.
    pub fn fill(&self) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())
            .expect("open");
        for size in [1 << 20, 4096, 1] {
            let piece = vec![7; size];
            while file.write_all(&piece).is_ok() {}
        }
    }

    /// Gives it back.
    ///
    /// # Panics
    /// When it has not been taken.
    pub fn clear(&self) {
        fs::remove_file(self.ballast()).expect("remove");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Should it fail, the mount outlives the test and nothing else.
        drop(Command::new("umount").arg("-l").arg(&self.folder).output());
    }
}
