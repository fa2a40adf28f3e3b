//! tiderace-benches
