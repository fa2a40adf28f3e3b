//! Writes the seeds of every target: `fuzz-seeds FOLDER`.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| std::io::Error::other("usage: fuzz-seeds FOLDER"))?;
    for (name, _) in tiderace_fuzz::ALL {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)?;
        for (place, seed) in tiderace_fuzz::seeds::of(name).iter().enumerate() {
            std::fs::write(folder.join(format!("{place:03}")), seed)?;
        }
    }
    Ok(())
}
