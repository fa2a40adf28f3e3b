//! tiderace-expr
