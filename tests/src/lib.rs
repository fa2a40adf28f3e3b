//! tiderace-tests
