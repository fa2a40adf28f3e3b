//! tiderace-serve
