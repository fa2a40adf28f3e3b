//! Messages as gRPC carries them, each written whole before it is handed on.
//!
//! Field by field into the transport's buffer, every byte of a tag would be a call; a vector takes them at
//! once.

use prost::Message;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::ProstDecoder;

/// What a call's buffer has room for at first, and past how much it is sent on; in bytes.
const ROOM: (usize, usize) = (1 << 10, 32 << 10);

/// Messages out of the type `T`, and in of the type `U`.
pub(crate) struct Whole<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Whole<T, U> {
    fn default() -> Self {
        Whole(PhantomData)
    }
}

impl<T, U> Codec for Whole<T, U>
where
    T: Message + 'static,
    U: Message + Default + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = Writer<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Writer<T> {
        Writer(PhantomData)
    }

    fn decoder(&mut self) -> ProstDecoder<U> {
        ProstDecoder::default()
    }
}

/// Writes messages.
pub(crate) struct Writer<T>(PhantomData<T>);

impl<T: Message> Encoder for Writer<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        use bytes::BufMut;
        let bytes = message.encode_to_vec();
        buffer.reserve(bytes.len());
        buffer.put_slice(&bytes);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(ROOM.0, ROOM.1)
    }
}
