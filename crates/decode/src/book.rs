//! The schemas that a decoder was taught, by number.

use crate::fault::Fault;
use crate::settings::Framing;
use crate::table::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use tiderace_types::{Reason, RecordBatch};

/// What is known of schemas: what to do with their records, or why they are refused.
#[derive(Debug)]
pub struct Book<P> {
    framing: Framing,
    known: BTreeMap<u32, Result<P, Verdict>>,
    refused: usize,
}

/// How many refused numbers are remembered, so that nonsense in a topic does not grow the book.
const MOST_REFUSED: usize = 10_000;

/// How many bytes the framing takes.
const FRAME: usize = 5;

impl<P> Book<P> {
    /// An empty book.
    pub fn new(framing: Framing) -> Book<P> {
        Book {
            framing,
            known: BTreeMap::new(),
            refused: 0,
        }
    }

    /// Notes what becomes of records of schema `id`.
    pub fn note(&mut self, id: u32, known: Result<P, Verdict>) {
        if known.is_err() {
            self.refused += 1;
            if self.refused > MOST_REFUSED {
                self.known.retain(|_, known| known.is_ok());
                self.refused = 1;
            }
        }
        self.known.insert(id, known);
    }

    /// The number of a record's schema, and the record.
    ///
    /// # Errors
    /// When the framing is not there.
    #[inline]
    pub fn unframe<'a>(&self, payload: &'a [u8]) -> Result<(u32, &'a [u8]), Fault> {
        match (self.framing, payload.split_first_chunk::<FRAME>()) {
            (Framing::Bare, _) => Ok((0, payload)),
            (Framing::Confluent, Some(([0, id @ ..], datum))) => {
                Ok((u32::from_be_bytes(*id), datum))
            }
            (Framing::Confluent, _) => Err(Fault::Malformed {
                at: 0,
                expected: "a zero byte and the four bytes of a schema's number",
            }),
        }
    }

    /// How many bytes of a payload come before the record.
    pub fn skipped(&self) -> usize {
        match self.framing {
            Framing::Bare => 0,
            Framing::Confluent => FRAME,
        }
    }

    /// What is known of schema `id`.
    ///
    /// # Errors
    /// The verdict on its records, when they are refused.
    #[inline]
    pub fn get(&self, id: u32) -> Result<&P, Verdict> {
        match self.known.get(&id) {
            Some(Ok(known)) => Ok(known),
            Some(Err(verdict)) => Err(verdict.clone()),
            None => Err((
                Reason::UnknownSchema,
                format!("schema {id}: nothing is known of it"),
            )),
        }
    }

    /// What is known of schema `id`, if it is of use.
    pub fn known(&self, id: u32) -> Option<&P> {
        self.known.get(&id).and_then(|known| known.as_ref().ok())
    }

    /// The schemas of the records of `batch` that nothing is known of.
    pub fn lacking(&self, batch: &RecordBatch) -> Vec<u32> {
        let mut lacking = BTreeSet::new();
        let mut last = None;
        for index in 0..batch.len() {
            let record = index as u32;
            let Ok((id, _)) = self.unframe(batch.payload(index)) else {
                continue;
            };
            // Records come in runs of one schema.
            if last == Some(id) {
                continue;
            }
            let absent = [&batch.nulls, &batch.others];
            if absent
                .iter()
                .any(|list| list.binary_search(&record).is_ok())
            {
                continue;
            }
            last = Some(id);
            if !self.known.contains_key(&id) {
                lacking.insert(id);
            }
        }
        lacking.into_iter().collect()
    }
}
