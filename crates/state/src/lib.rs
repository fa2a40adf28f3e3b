//! tiderace-state
