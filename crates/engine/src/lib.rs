//! tiderace-engine
