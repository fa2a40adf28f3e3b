//! tiderace-decode
