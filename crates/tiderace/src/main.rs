//! tiderace
fn main() {}
