//! `token`: a token for a caller, and what of it goes into the definitions.

use crate::cli::{Format, Token};
use anyhow::{Context, Result};
use std::process::ExitCode;
use tiderace_serve::auth::{mint, sha256};

pub fn token(args: &Token) -> Result<ExitCode> {
    let token = mint().context("make a token")?;
    let hash = sha256(&token);
    match args.format {
        Format::Text => println!(
            "{token}\n\nGive this token to the caller, by a way that nobody else reads: it is kept nowhere. \
             In tiderace.yaml\ngoes its hash, with what the caller may do:\n\n\
             serving:\n  auth:\n    callers:\n      \
             - {{ name: {}, tokens: [\"{hash}\"], services: [], views: [], push: [], admin: false }}",
            args.name
        ),
        Format::Json => println!("{}", serde_json::json!({"token": token, "sha256": hash})),
    }
    Ok(ExitCode::SUCCESS)
}
