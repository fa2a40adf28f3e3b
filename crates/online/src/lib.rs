//! tiderace-online
