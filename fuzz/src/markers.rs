//! Markers, as lanes leave them in the online store.

use tiderace_types::Marker;

/// A marker.
///
/// # Panics
/// Where the property does not hold.
pub fn markers(bytes: &[u8]) {
    if let Ok(marker) = Marker::decode(bytes) {
        let written = marker.encode();
        assert_eq!(Marker::decode(&written), Ok(marker));
    }
}
