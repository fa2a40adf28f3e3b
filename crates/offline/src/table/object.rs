//! A file of a store as a reader of Parquet wants it: byte ranges.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use std::ops::Range;
use std::sync::Arc;

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) key: Key,
    pub(super) size: u64,
    /// When it was written, in microseconds, where it must not have been written since.
    pub(super) pinned: Option<i64>,
}

impl Object {
    /// Fails where it is another file than the one that was opened. Asked after its bytes were read: so
    /// they are of that one.
    async fn is_the_same(&self) -> Result<()> {
        let Some(modified) = self.pinned else {
            return Ok(());
        };
        let head = self.store.head(&self.key).await?;
        if head.size == self.size && head.last_modified.timestamp_micros() == modified {
            return Ok(());
        }
        Err(ParquetError::General(
            "it was replaced while it was read".to_owned(),
        ))
    }
}

impl AsyncFileReader for Object {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            let bytes = self.store.get_range(&self.key, range).await?;
            self.is_the_same().await?;
            Ok(bytes)
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            let bytes = self.store.get_ranges(&self.key, &ranges).await?;
            self.is_the_same().await?;
            Ok(bytes)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move {
            let size = self.size;
            let options = options.map(|options| options.metadata_options().clone());
            let reader = ParquetMetaDataReader::new().with_metadata_options(options);
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}
