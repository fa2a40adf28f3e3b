//! tiderace-testkit
