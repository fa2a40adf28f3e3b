//! tiderace-source
