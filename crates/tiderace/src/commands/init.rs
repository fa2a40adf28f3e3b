//! `init`: a project that runs, to be changed into one's own.

use crate::cli::Init;
use anyhow::{Context, Result, bail};
use chrono::{SecondsFormat, Utc};
use std::fs::{self, File};
use std::io::Write;
use std::process::ExitCode;
use tiderace_plan::SourceFile;

/// The files of a new project; `NAME` stands for its name.
const FILES: [(&str, &str); 4] = [
    (
        "tiderace.yaml",
        include_str!("../../template/tiderace.yaml"),
    ),
    (
        "payments.yaml",
        include_str!("../../template/payments.yaml"),
    ),
    ("tests.yaml", include_str!("../../template/tests.yaml")),
    (".gitignore", include_str!("../../template/gitignore")),
];

pub fn init(args: &Init) -> Result<ExitCode> {
    let folder = args.folder.display();
    let files = FILES.map(|(name, text)| (name, text.replace("NAME", &args.name)));
    check(&files)?;
    if let Some((name, _)) = FILES
        .iter()
        .find(|(name, _)| args.folder.join(name).exists())
    {
        bail!("{folder}/{name} is there already; give a folder without a project in it");
    }
    fs::create_dir_all(&args.folder).with_context(|| format!("make folder {folder}"))?;
    for (name, text) in &files {
        let path = args.folder.join(name);
        // Nothing is written over, whoever was quicker.
        let file = File::create_new(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.with_context(|| format!("write {}", path.display()))?;
    }
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    println!(
        r#"Made a project in {folder}. To see it work:

  tiderace check {folder}
  tiderace test {folder}
  tiderace run --project {folder}

and in another terminal:

  tiderace push --project {folder} payments '{{"payment_id": 1, "paid_at": "{now}", "customer_id": 7, "shop_id": 3, "amount": 12.5}}'
  tiderace get --project {folder} model_v1 customer_id=7 amount=30

`tiderace schema > .tiderace.schema.json` prints every key, for editors."#
    );
    Ok(ExitCode::SUCCESS)
}

/// Refuses a name that no project can have, before anything is written.
fn check(files: &[(&str, String)]) -> Result<()> {
    let definitions = files.iter().filter(|(name, _)| name.ends_with(".yaml"));
    let definitions = definitions.map(|(name, text)| SourceFile {
        path: (*name).to_owned(),
        text: text.clone(),
    });
    let definitions: Vec<_> = definitions.collect();
    let (loaded, found) = tiderace_plan::load(&definitions, &|_| None);
    if loaded.is_none() {
        bail!("{}", tiderace_plan::render_text(&found, false));
    }
    Ok(())
}
