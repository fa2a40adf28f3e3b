//! The memory of a row's events: their columns in one allocation.
//!
//! Every column of numbers has `room` words, one column after another: times, identities,
//! filter bits, inputs, null flags. So each column is a slice, and an event that comes to a
//! small row touches a line or two of memory. What is no number (texts, decimals) lies apart.
//! Nothing here knows what order or identity mean.

use crate::column::{Cell, Column, Nulls, Slots};
use crate::events::{Event, Id};
use crate::incoming::Incoming;
use crate::spec::{IdKind, RowSpec};
use std::ops::Range;
use tiderace_types::{DataType, allocated};

/// How many inputs may lie in words: one bit each of a mask.
const IN_WORDS: usize = u64::BITS as usize;

/// Events have null flags for so many inputs in one word.
const FLAGS: usize = u64::BITS as usize;

/// The columns of a set of events.
#[derive(Clone, Debug)]
pub struct Columns {
    words: Box<[i64]>,
    apart: Option<Box<Apart>>,
    /// Which inputs lie in words.
    numbers: u64,
    /// Which of these are doubles.
    floats: u64,
    /// How many words each column has.
    room: u32,
    /// Where in them the first event is.
    start: u32,
    len: u32,
    inputs: u16,
    ids: IdKind,
    has_bits: bool,
    has_nulls: bool,
    /// The filter bit that is part of an event's identity.
    sign: Option<u8>,
}

/// What is no number.
#[derive(Clone, Debug)]
struct Apart {
    ids: Vec<Box<[u8]>>,
    /// The inputs that do not lie in words, in order.
    inputs: Vec<ApartColumn>,
}

/// An input that does not lie in words. Null slots hold the form's default.
#[derive(Clone, Debug)]
pub(crate) enum ApartColumn {
    Int(Vec<i64>),
    Float(Vec<f64>),
    Decimal(Vec<i128>),
    Bytes(Vec<Box<[u8]>>),
}

/// An input to be filled in.
pub(crate) enum ColumnMut<'a> {
    /// Int64s.
    Ints(&'a mut [i64]),
    /// Float64s.
    Floats(&'a mut [f64]),
    /// Decimals.
    Decimals(&'a mut [i128]),
    /// Texts.
    Bytes(&'a mut [Box<[u8]>]),
}

impl Columns {
    /// No events yet.
    pub(crate) fn new(spec: &RowSpec) -> Columns {
        let (mut numbers, mut floats) = (0, 0);
        let mut apart = Vec::new();
        for (input, data_type) in spec.inputs.iter().enumerate() {
            match ApartColumn::new(data_type) {
                ApartColumn::Int(_) if input < IN_WORDS => numbers |= 1 << input,
                ApartColumn::Float(_) if input < IN_WORDS => {
                    numbers |= 1 << input;
                    floats |= 1 << input;
                }
                column => apart.push(column),
            }
        }
        let whole = apart.is_empty() && spec.id != IdKind::Bytes;
        Columns {
            words: Box::default(),
            apart: (!whole).then(|| {
                Box::new(Apart {
                    ids: Vec::new(),
                    inputs: apart,
                })
            }),
            numbers,
            floats,
            room: 0,
            start: 0,
            len: 0,
            inputs: u16::try_from(spec.inputs.len()).expect("a view has fewer than 65536 inputs"),
            ids: spec.id,
            has_bits: spec.filters > 0,
            has_nulls: false,
            sign: spec
                .sign
                .map(|bit| u8::try_from(bit).expect("there are 64 bits")),
        }
    }

    /// The filter bit that is part of an event's identity, as a mask.
    #[inline]
    pub(crate) fn sign(&self) -> u64 {
        self.sign.map_or(0, |bit| 1 << bit)
    }

    /// `count` events of zeros, to be filled in.
    pub(crate) fn zeros(spec: &RowSpec, count: usize) -> Columns {
        let mut columns = Columns::new(spec);
        columns.relay(count, columns.has_nulls);
        columns.len = columns.room;
        if let Some(apart) = &mut columns.apart {
            if columns.ids == IdKind::Bytes {
                apart.ids.resize(count, Box::default());
            }
            for column in &mut apart.inputs {
                column.resize(count);
            }
        }
        columns
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    pub(crate) fn times(&self) -> &[i64] {
        self.column(0)
    }

    pub(crate) fn times_mut(&mut self) -> &mut [i64] {
        self.column_mut(0)
    }

    #[inline]
    pub(crate) fn id(&self, index: usize) -> Id<'_> {
        match self.ids {
            IdKind::Int64 => Id::Int(self.column(1)[index]),
            IdKind::Position => Id::Position {
                partition: self.column(1)[index] as u32,
                offset: self.column(2)[index],
            },
            IdKind::Bytes => Id::Bytes(&self.byte_ids()[index]),
        }
    }

    pub(crate) fn id_kind(&self) -> IdKind {
        self.ids
    }

    /// Integer ids, or the partitions of positions.
    pub(crate) fn id_words(&self) -> &[i64] {
        self.column(1)
    }

    /// See [`Columns::id_words`].
    pub(crate) fn id_words_mut(&mut self) -> &mut [i64] {
        self.column_mut(1)
    }

    /// The offsets of positions.
    pub(crate) fn offsets(&self) -> &[i64] {
        self.column(2)
    }

    /// See [`Columns::offsets`].
    pub(crate) fn offsets_mut(&mut self) -> &mut [i64] {
        self.column_mut(2)
    }

    pub(crate) fn byte_ids(&self) -> &[Box<[u8]>] {
        self.apart.as_ref().map_or(&[], |apart| &apart.ids)
    }

    pub(crate) fn byte_ids_mut(&mut self) -> &mut [Box<[u8]>] {
        self.apart.as_mut().map_or(&mut [], |apart| &mut apart.ids)
    }

    /// Filter bits; empty when the spec has no filters.
    #[inline]
    pub(crate) fn bits(&self) -> &[u64] {
        match self.has_bits {
            true => unsigned(self.column(self.bits_at())),
            false => &[],
        }
    }

    pub(crate) fn bits_mut(&mut self) -> &mut [u64] {
        match self.has_bits {
            true => zerocopy::transmute_mut!(self.column_mut(self.bits_at())),
            false => &mut [],
        }
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs.into()
    }

    /// The cells of input `input`.
    #[inline]
    pub(crate) fn input(&self, input: usize) -> Column<'_> {
        let nulls = self.nulls(input);
        if self.in_words(input) {
            let values = self.column(self.input_at(input));
            return match self.is_float(input) {
                true => Column::Float(Slots {
                    values: doubles(values),
                    nulls,
                }),
                false => Column::Int(Slots { values, nulls }),
            };
        }
        match &self.apart_inputs()[self.apart_at(input)] {
            ApartColumn::Int(values) => Column::Int(Slots { values, nulls }),
            ApartColumn::Float(values) => Column::Float(Slots { values, nulls }),
            ApartColumn::Decimal(values) => Column::Decimal(Slots { values, nulls }),
            ApartColumn::Bytes(values) => Column::Bytes(Slots { values, nulls }),
        }
    }

    /// The inputs of event `index`.
    pub(crate) fn cells(&self, index: usize) -> impl Iterator<Item = Cell<'_>> {
        (0..self.inputs()).map(move |input| self.input(input).cell(index))
    }

    /// The slots of input `input`.
    pub(crate) fn input_mut(&mut self, input: usize) -> ColumnMut<'_> {
        if self.in_words(input) {
            let is_float = self.is_float(input);
            let values = self.column_mut(self.input_at(input));
            return match is_float {
                true => ColumnMut::Floats(zerocopy::transmute_mut!(values)),
                false => ColumnMut::Ints(values),
            };
        }
        let place = self.apart_at(input);
        let apart = self.apart.as_mut().expect("an input lies somewhere");
        match &mut apart.inputs[place] {
            ApartColumn::Int(values) => ColumnMut::Ints(values),
            ApartColumn::Float(values) => ColumnMut::Floats(values),
            ApartColumn::Decimal(values) => ColumnMut::Decimals(values),
            ApartColumn::Bytes(values) => ColumnMut::Bytes(values),
        }
    }

    /// Flags one cell as null.
    pub(crate) fn set_null(&mut self, index: usize, input: usize) {
        if !self.has_nulls {
            self.relay(self.room as usize, true);
        }
        let column = self.nulls_at() + input / FLAGS;
        let flags = &mut self.column_mut(column)[index];
        *flags = (flags.cast_unsigned() | 1 << (input % FLAGS)).cast_signed();
    }

    /// Puts `event` before event `at`.
    pub(crate) fn insert(&mut self, at: usize, event: &Event<'_>) {
        debug_assert_eq!(event.inputs.len(), self.inputs());
        if self.is_full(1) {
            self.make_room(1);
        }
        let (room, len) = (self.room as usize, self.len());
        let place = self.start as usize + at;
        if at < len {
            let later = place..self.start as usize + len;
            for column in self.words.chunks_exact_mut(room) {
                column.copy_within(later.clone(), place + 1);
            }
        }
        self.len += 1;
        self.words[place] = event.time.0;
        match event.id {
            Id::Int(id) => self.words[room + place] = id,
            Id::Position { partition, offset } => {
                self.words[room + place] = partition.into();
                self.words[2 * room + place] = offset;
            }
            Id::Bytes(_) => {}
        }
        if self.has_bits {
            self.words[self.bits_at() * room + place] = event.bits.cast_signed();
        }
        let mut slot = self.inputs_at() * room + place;
        let mut nulls = false;
        for (input, cell) in event.inputs.iter().enumerate() {
            nulls |= *cell == Cell::Null;
            if self.in_words(input) {
                debug_assert!(matches!(
                    (cell, self.is_float(input)),
                    (Cell::Null, _) | (Cell::Int(_), false) | (Cell::Float(_), true)
                ));
                self.words[slot] = word(*cell);
                slot += room;
            }
        }
        if self.apart.is_some() {
            self.insert_apart(at, event);
        }
        if nulls || self.has_nulls {
            self.insert_nulls(at, event);
        }
    }

    /// Puts an event of words before event `at`.
    pub(crate) fn insert_packed(&mut self, at: usize, event: &[i64]) {
        debug_assert_eq!(event.len(), self.nulls_at());
        if self.is_full(1) {
            self.make_room(1);
        }
        let (room, later) = (self.room as usize, self.len() - at);
        let place = self.start as usize + at;
        self.len += 1;
        let mut columns = self.words.chunks_exact_mut(room);
        for (word, column) in event.iter().zip(&mut columns) {
            shift(column, place, place + 1, later);
            column[place] = *word;
        }
        // What is left of the columns are the flags of nulls, of which it has none.
        for column in columns {
            shift(column, place, place + 1, later);
            column[place] = 0;
        }
    }

    /// Whether event `index` is of these words, but for its time and its id.
    pub(crate) fn is_packed(&self, index: usize, event: &[i64]) -> bool {
        let words = event.iter().enumerate().skip(2);
        let nulls = self.nulls_at()..self.nulls_at() + self.null_words();
        words
            .map(|(column, word)| (column, *word))
            .chain(nulls.map(|column| (column, 0)))
            .all(|(column, word)| self.column(column)[index] == word)
    }

    /// Puts each event before the one that is at its place now. Places do not fall.
    pub(crate) fn insert_all<E: Incoming>(&mut self, fresh: &[(usize, E)]) {
        let columns = self.nulls_at();
        let mut rows = Vec::new();
        let mut apart = self.apart.is_some() || self.has_nulls || fresh.len() < 2;
        if !apart {
            rows.resize(fresh.len() * columns, 0);
            let mut events = rows.chunks_exact_mut(columns).zip(fresh);
            apart = events.any(|(row, (_, event))| event.write(self, row));
        }
        if apart {
            for (before, (at, event)) in fresh.iter().enumerate() {
                event.insert(self, at + before);
            }
            return;
        }
        if self.is_full(fresh.len()) {
            self.make_room(fresh.len());
        }
        let (start, end) = (self.start as usize, (self.start + self.len) as usize);
        let words = self.words.chunks_exact_mut(self.room as usize);
        for (column, words) in words.take(columns).enumerate() {
            let (mut from, mut to) = (end, end + fresh.len());
            for ((at, _), row) in fresh.iter().zip(rows.chunks_exact(columns)).rev() {
                let later = from - (start + at);
                shift(words, from - later, to - later, later);
                (from, to) = (from - later, to - later - 1);
                words[to] = row[column];
            }
        }
        self.len += fresh.len() as u32;
    }

    /// Writes an event that has nothing that lies apart, a word for each column.
    pub(crate) fn write(&self, event: &Event<'_>, row: &mut [i64]) {
        row[0] = event.time.0;
        match event.id {
            Id::Int(id) => row[1] = id,
            Id::Position { partition, offset } => {
                row[1] = partition.into();
                row[2] = offset;
            }
            Id::Bytes(_) => {}
        }
        if self.has_bits {
            row[self.bits_at()] = event.bits.cast_signed();
        }
        let inputs = row[self.inputs_at()..].iter_mut().zip(event.inputs);
        inputs.for_each(|(slot, cell)| *slot = word(*cell));
    }

    /// Reads the end of every column.
    #[inline]
    pub(crate) fn warm(&self) -> i64 {
        let room = (self.room as usize).max(1);
        let mut at = ((self.start + self.len) as usize).saturating_sub(1);
        let mut sum = 0;
        while let Some(word) = self.words.get(at) {
            sum ^= word;
            at += room;
        }
        sum
    }

    fn insert_apart(&mut self, at: usize, event: &Event<'_>) {
        let (numbers, Some(apart)) = (self.numbers, &mut self.apart) else {
            return;
        };
        if let Id::Bytes(id) = event.id {
            apart.ids.insert(at, id.into());
        }
        let cells = event.inputs.iter().enumerate();
        let cells = cells.filter(|(input, _)| *input >= IN_WORDS || numbers >> input & 1 == 0);
        for (column, (_, cell)) in apart.inputs.iter_mut().zip(cells) {
            column.insert(at, *cell);
        }
    }

    /// Sets the flags of event `at`, whose slot may hold those of another.
    fn insert_nulls(&mut self, at: usize, event: &Event<'_>) {
        if self.has_nulls {
            for column in 0..self.inputs().div_ceil(FLAGS) {
                let column = self.nulls_at() + column;
                self.column_mut(column)[at] = 0;
            }
        }
        for (input, cell) in event.inputs.iter().enumerate() {
            if *cell == Cell::Null {
                self.set_null(at, input);
            }
        }
    }

    /// Appends the events of `range` of other columns of the same spec.
    pub(crate) fn extend(&mut self, other: &Columns, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let len = self.len() + range.len();
        if self.start as usize + len > self.room as usize || other.has_nulls && !self.has_nulls {
            let room = roomy(len).max(self.room as usize);
            self.relay(room, self.has_nulls | other.has_nulls);
        }
        let end = (self.start + self.len) as usize;
        let room = self.room as usize;
        let columns = self.words.chunks_exact_mut(room);
        let nulls = other.nulls_at();
        for (index, column) in columns.enumerate() {
            let slots = &mut column[end..end + range.len()];
            match index < nulls || other.has_nulls {
                true => slots.copy_from_slice(&other.column(index)[range.clone()]),
                false => slots.fill(0),
            }
        }
        self.len += range.len() as u32;
        if let (Some(apart), Some(other)) = (&mut self.apart, &other.apart) {
            let ids = other.ids.get(range.clone()).unwrap_or_default();
            apart.ids.extend_from_slice(ids);
            for (column, other) in apart.inputs.iter_mut().zip(&other.inputs) {
                column.extend(other, range.clone());
            }
        }
    }

    /// Copies the events of `range`.
    pub(crate) fn part(&self, range: Range<usize>) -> Columns {
        let mut part = Columns {
            words: Box::default(),
            apart: self.apart.as_ref().map(|apart| {
                Box::new(Apart {
                    ids: Vec::new(),
                    inputs: apart.inputs.iter().map(ApartColumn::emptied).collect(),
                })
            }),
            room: 0,
            start: 0,
            len: 0,
            has_nulls: false,
            ..*self
        };
        part.relay(range.len(), self.has_nulls);
        part.extend(self, range);
        part
    }

    /// Forgets the first `count` events.
    pub(crate) fn drop_front(&mut self, count: usize) {
        let dropped = u32::try_from(count).unwrap_or(u32::MAX);
        self.start += dropped;
        self.len -= dropped;
        if let Some(apart) = &mut self.apart {
            if self.ids == IdKind::Bytes {
                apart.ids.drain(..count);
            }
            for column in &mut apart.inputs {
                column.drop_front(count);
            }
        }
        if self.len == 0 {
            self.start = 0;
        }
        // A row that was busy and is not any more gives its memory back.
        if self.room as usize > 4 * roomy(self.len()) {
            self.relay(roomy(self.len()), self.has_nulls);
        }
    }

    /// Roughly how many bytes of memory the columns take beside themselves.
    pub(crate) fn memory(&self) -> usize {
        let words = allocated(self.words.len() * size_of::<i64>());
        let apart = self.apart.as_ref().map_or(0, |apart| {
            let inputs: usize = apart.inputs.iter().map(ApartColumn::memory).sum();
            allocated(size_of::<Apart>()) + texts(&apart.ids) + inputs
        });
        words + apart
    }

    /// Whether there is no room for `more` events at the end.
    #[inline]
    pub(crate) fn is_full(&self, more: usize) -> bool {
        self.start as usize + self.len() + more > self.room as usize
    }

    /// Makes room for `more` events at the end.
    #[cold]
    fn make_room(&mut self, more: usize) {
        // Room that was given up at the front is taken again when it is a fair part of the whole.
        if self.start > self.room / 4 && self.start as usize >= more {
            let events = self.start as usize..(self.start + self.len) as usize;
            for column in self.words.chunks_exact_mut(self.room as usize) {
                column.copy_within(events.clone(), 0);
            }
            self.start = 0;
        } else {
            self.relay(roomy(self.len() + more), self.has_nulls);
        }
    }

    /// Lays the columns out anew with `room` words each.
    fn relay(&mut self, room: usize, has_nulls: bool) {
        let held = self.nulls_at() + self.null_words();
        let columns = self.nulls_at() + usize::from(has_nulls) * self.inputs().div_ceil(FLAGS);
        let mut words = vec![0; room * columns].into_boxed_slice();
        if self.len > 0 {
            for (index, to) in words.chunks_exact_mut(room).take(held).enumerate() {
                to[..self.len()].copy_from_slice(self.column(index));
            }
        }
        self.words = words;
        self.room = u32::try_from(room).expect("a row has fewer than 2^32 events");
        self.start = 0;
        self.has_nulls = has_nulls;
    }

    #[inline]
    fn column(&self, column: usize) -> &[i64] {
        let from = column * self.room as usize + self.start as usize;
        &self.words[from..from + self.len()]
    }

    #[inline]
    fn column_mut(&mut self, column: usize) -> &mut [i64] {
        let from = column * self.room as usize + self.start as usize;
        let to = from + self.len();
        &mut self.words[from..to]
    }

    fn nulls(&self, input: usize) -> Nulls<'_> {
        let words = match self.has_nulls {
            true => unsigned(self.column(self.nulls_at() + input / FLAGS)),
            false => &[],
        };
        Nulls {
            words,
            bit: (input % FLAGS) as u32,
        }
    }

    #[inline]
    fn in_words(&self, input: usize) -> bool {
        input < IN_WORDS && self.numbers >> input & 1 == 1
    }

    #[inline]
    fn is_float(&self, input: usize) -> bool {
        input < IN_WORDS && self.floats >> input & 1 == 1
    }

    /// The column of the filter bits.
    #[inline]
    fn bits_at(&self) -> usize {
        match self.ids {
            IdKind::Bytes => 1,
            IdKind::Int64 => 2,
            IdKind::Position => 3,
        }
    }

    /// The column of the first input that lies in words.
    #[inline]
    fn inputs_at(&self) -> usize {
        self.bits_at() + usize::from(self.has_bits)
    }

    /// The column of an input that lies in words.
    #[inline]
    fn input_at(&self, input: usize) -> usize {
        let before = self.numbers & ((1 << input) - 1);
        self.inputs_at() + before.count_ones() as usize
    }

    /// The place of an input that lies apart.
    fn apart_at(&self, input: usize) -> usize {
        let before = match input < IN_WORDS {
            true => self.numbers & ((1 << input) - 1),
            false => self.numbers,
        };
        input - before.count_ones() as usize
    }

    /// The first column of null flags.
    #[inline]
    fn nulls_at(&self) -> usize {
        self.inputs_at() + self.numbers.count_ones() as usize
    }

    fn null_words(&self) -> usize {
        usize::from(self.has_nulls) * self.inputs().div_ceil(FLAGS)
    }

    fn apart_inputs(&self) -> &[ApartColumn] {
        self.apart.as_ref().map_or(&[], |apart| &apart.inputs)
    }
}

impl ApartColumn {
    fn new(data_type: &DataType) -> ApartColumn {
        match data_type {
            DataType::Float64 => ApartColumn::Float(Vec::new()),
            DataType::Decimal { .. } => ApartColumn::Decimal(Vec::new()),
            DataType::String | DataType::Bytes => ApartColumn::Bytes(Vec::new()),
            DataType::Bool | DataType::Int64 | DataType::Timestamp | DataType::Duration => {
                ApartColumn::Int(Vec::new())
            }
            DataType::List(_) | DataType::Map(..) => {
                unreachable!("the plan refuses lists and maps as inputs")
            }
        }
    }

    fn emptied(&self) -> ApartColumn {
        match self {
            ApartColumn::Int(_) => ApartColumn::Int(Vec::new()),
            ApartColumn::Float(_) => ApartColumn::Float(Vec::new()),
            ApartColumn::Decimal(_) => ApartColumn::Decimal(Vec::new()),
            ApartColumn::Bytes(_) => ApartColumn::Bytes(Vec::new()),
        }
    }

    fn insert(&mut self, at: usize, cell: Cell<'_>) {
        match (self, cell) {
            (ApartColumn::Int(values), Cell::Int(n)) => values.insert(at, n),
            (ApartColumn::Int(values), Cell::Null) => values.insert(at, 0),
            (ApartColumn::Float(values), Cell::Float(x)) => values.insert(at, x),
            (ApartColumn::Float(values), Cell::Null) => values.insert(at, 0.0),
            (ApartColumn::Decimal(values), Cell::Decimal(n)) => values.insert(at, n),
            (ApartColumn::Decimal(values), Cell::Null) => values.insert(at, 0),
            (ApartColumn::Bytes(values), Cell::Bytes(bytes)) => values.insert(at, bytes.into()),
            (ApartColumn::Bytes(values), Cell::Null) => values.insert(at, Box::default()),
            (column, cell) => unreachable!("a {cell:?} in a column of {column:?}"),
        }
    }

    fn resize(&mut self, count: usize) {
        match self {
            ApartColumn::Int(values) => values.resize(count, 0),
            ApartColumn::Float(values) => values.resize(count, 0.0),
            ApartColumn::Decimal(values) => values.resize(count, 0),
            ApartColumn::Bytes(values) => values.resize(count, Box::default()),
        }
    }

    fn extend(&mut self, other: &ApartColumn, range: Range<usize>) {
        match (self, other) {
            (ApartColumn::Int(a), ApartColumn::Int(b)) => a.extend_from_slice(&b[range]),
            (ApartColumn::Float(a), ApartColumn::Float(b)) => a.extend_from_slice(&b[range]),
            (ApartColumn::Decimal(a), ApartColumn::Decimal(b)) => a.extend_from_slice(&b[range]),
            (ApartColumn::Bytes(a), ApartColumn::Bytes(b)) => a.extend_from_slice(&b[range]),
            (a, b) => unreachable!("columns of one input differ: {a:?} and {b:?}"),
        }
    }

    fn drop_front(&mut self, count: usize) {
        match self {
            ApartColumn::Int(values) => drop(values.drain(..count)),
            ApartColumn::Float(values) => drop(values.drain(..count)),
            ApartColumn::Decimal(values) => drop(values.drain(..count)),
            ApartColumn::Bytes(values) => drop(values.drain(..count)),
        }
    }

    fn memory(&self) -> usize {
        match self {
            ApartColumn::Int(values) => allocated(values.capacity() * size_of::<i64>()),
            ApartColumn::Float(values) => allocated(values.capacity() * size_of::<f64>()),
            ApartColumn::Decimal(values) => allocated(values.capacity() * size_of::<i128>()),
            ApartColumn::Bytes(values) => texts(values),
        }
    }
}

/// What a vector of texts takes.
fn texts(values: &Vec<Box<[u8]>>) -> usize {
    let bytes: usize = values.iter().map(|text| allocated(text.len())).sum();
    bytes + allocated(values.capacity() * size_of::<Box<[u8]>>())
}

/// Room for `len` events and some more: a half, or four; as many again where there are so many that
/// moving them shows.
const fn roomy(len: usize) -> usize {
    match len {
        0..=4 => 4,
        5..=255 => (len + len / 2).next_multiple_of(4),
        _ => len * 2,
    }
}

/// Moves `count` words from one place to a later one. They are few where many events come at once:
/// a loop is done before a call to move memory has begun.
#[inline]
fn shift(words: &mut [i64], from: usize, to: usize, count: usize) {
    const FEW: usize = 8;
    if count > FEW {
        words.copy_within(from..from + count, to);
        return;
    }
    for place in (0..count).rev() {
        words[to + place] = words[from + place];
    }
}

/// A number as a word.
#[inline]
fn word(cell: Cell<'_>) -> i64 {
    match cell {
        Cell::Null => 0,
        Cell::Int(n) => n,
        Cell::Float(x) => x.to_bits().cast_signed(),
        Cell::Decimal(_) | Cell::Bytes(_) => unreachable!("a {cell:?} in a column of numbers"),
    }
}

fn unsigned(words: &[i64]) -> &[u64] {
    zerocopy::transmute_ref!(words)
}

fn doubles(words: &[i64]) -> &[f64] {
    zerocopy::transmute_ref!(words)
}
