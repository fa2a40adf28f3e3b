//! What is done with a datum of one schema: read this, step over that.
//!
//! A schema and the wanted paths are compiled into a flat list of steps, in the order of the
//! bytes. Running it neither recurses nor allocates.

use super::schema::{Type, TypeId, Types};
use super::skip::{Frame, skip};
use crate::cursor::Cursor;
use crate::fault::Fault;
use crate::item::{Item, Tick, Wire, big_endian};
use crate::paths::Paths;
use crate::settings::SchemaError;
use crate::sink::Sink;
use std::sync::Arc;
use tiderace_types::Column;

/// The steps for data of one schema.
#[derive(Debug)]
pub struct Program {
    types: Arc<Types>,
    steps: Vec<Step>,
    /// Where each branch of each union begins.
    branches: Vec<usize>,
    /// The targets that no datum of the schema has anything for.
    pub absent: Vec<usize>,
}

/// One step.
#[derive(Clone, Copy, Debug)]
enum Step {
    SkipIntegers(usize),
    SkipBytes(usize),
    SkipCounted,
    Skip(TypeId),
    Boolean(usize),
    Int(usize, Tick),
    Long(usize, Tick),
    Float(usize),
    Double(usize),
    String(usize),
    Bytes(usize),
    Fixed(usize, usize),
    Decimal(usize, i32),
    FixedDecimal(usize, usize, i32),
    Uuid(usize),
    Enum(usize, TypeId),
    /// A whole value of any type, as its bytes.
    Whole(usize, TypeId),
    Null(usize),
    Absent(usize),
    /// What is there is of no use for the target.
    Wrong(usize, TypeId),
    /// One of so many branches, from a place in `branches` on.
    Union(usize, usize),
    Jump(usize),
    /// Remembers the place, to read a value again for another target.
    Mark,
    Return,
}

/// What the targets are.
#[derive(Clone, Copy)]
pub enum Targets<'a> {
    /// Columns with types.
    Columns(&'a [Column]),
    /// So many places that take whatever there is.
    Any(usize),
}

/// How far records that are not wanted are taken apart into steps.
const INLINE_DEPTH: usize = 8;
/// How many steps there may be before nothing more is taken apart.
const INLINE_STEPS: usize = 4096;
/// How many steps a program may have.
const MOST_STEPS: usize = 1 << 20;

impl Program {
    /// Compiles the reading of `paths` from data of type `root`.
    ///
    /// # Errors
    /// When a field can never be of its column's type.
    pub fn compile(
        types: &Arc<Types>,
        root: TypeId,
        paths: &Paths,
        targets: Targets<'_>,
    ) -> Result<Program, SchemaError> {
        let count = match targets {
            Targets::Columns(columns) => columns.len(),
            Targets::Any(count) => count,
        };
        let mut compiler = Compiler {
            types,
            paths,
            targets,
            steps: Vec::new(),
            branches: Vec::new(),
            fixed: 0,
            given: vec![false; count],
            useless: vec![None; count],
        };
        compiler.value(root, 0)?;
        for (target, useless) in compiler.useless.iter().enumerate() {
            if let (Some(id), false, Targets::Columns(columns)) =
                (useless, compiler.given[target], targets)
            {
                return Err(SchemaError::Column {
                    column: columns[target].name.clone(),
                    expected: columns[target].data_type.to_string(),
                    found: types.describe(*id),
                });
            }
        }
        let wanted = paths.nodes[0].all();
        let absent =
            wanted.filter(|target| !compiler.given[*target] && compiler.useless[*target].is_none());
        Ok(Program {
            absent: absent.collect(),
            steps: compiler.steps,
            branches: compiler.branches,
            types: Arc::clone(types),
        })
    }

    /// Reads one datum from `cursor` on; every target is given exactly one thing.
    #[inline]
    pub fn run<'a, S: Sink<'a>>(
        &'a self,
        cursor: &mut Cursor<'a>,
        stack: &mut Vec<Frame>,
        sink: &mut S,
    ) -> Result<(), Fault> {
        let mut mark = 0;
        let mut next = 0;
        while let Some(step) = self.steps.get(next) {
            next += 1;
            match *step {
                Step::SkipIntegers(count) => {
                    for _ in 0..count {
                        cursor.long()?;
                    }
                }
                Step::SkipBytes(count) => {
                    cursor.take(count)?;
                }
                Step::SkipCounted => {
                    cursor.counted()?;
                }
                Step::Skip(id) => skip(cursor, &self.types, id, stack)?,
                Step::Boolean(target) => {
                    sink.put(target, Item::Bool(cursor.boolean()?), Tick::MICRO)?;
                }
                Step::Int(target, tick) => sink.put(target, Item::Int(cursor.int()?), tick)?,
                Step::Long(target, tick) => sink.put(target, Item::Int(cursor.long()?), tick)?,
                Step::Float(target) => {
                    let number = f32::from_le_bytes(cursor.array()?);
                    sink.put(target, Item::Float(number.into()), Tick::MICRO)?;
                }
                Step::Double(target) => {
                    let number = f64::from_le_bytes(cursor.array()?);
                    sink.put(target, Item::Float(number), Tick::MICRO)?;
                }
                Step::String(target) => {
                    sink.put(target, Item::Text(cursor.counted()?), Tick::MICRO)?;
                }
                Step::Bytes(target) => {
                    sink.put(target, Item::Raw(cursor.counted()?), Tick::MICRO)?;
                }
                Step::Fixed(target, size) => {
                    sink.put(target, Item::Raw(cursor.take(size)?), Tick::MICRO)?;
                }
                Step::Decimal(target, scale) => {
                    let bytes = cursor.counted()?;
                    sink.put(target, unscaled(bytes, scale), Tick::MICRO)?;
                }
                Step::FixedDecimal(target, size, scale) => {
                    let bytes = cursor.take(size)?;
                    sink.put(target, unscaled(bytes, scale), Tick::MICRO)?;
                }
                Step::Uuid(target) => {
                    let bytes = cursor.array()?;
                    sink.put(target, Item::Uuid(bytes), Tick::MICRO)?;
                }
                Step::Enum(target, id) => {
                    if let Type::Enum(symbols) = &self.types.types[id] {
                        let symbol = &symbols[cursor.choice(symbols.len())?];
                        sink.put(target, Item::Text(symbol), Tick::MICRO)?;
                    }
                }
                Step::Whole(target, id) => {
                    let start = cursor.at;
                    skip(cursor, &self.types, id, stack)?;
                    let bytes = &cursor.bytes[start..cursor.at];
                    sink.put(target, Item::Raw(bytes), Tick::MICRO)?;
                }
                Step::Null(target) => sink.null(target)?,
                Step::Absent(target) => sink.absent(target)?,
                Step::Wrong(target, id) => sink.wrong(target, &self.types.describe(id))?,
                Step::Union(first, count) => next = self.branches[first + cursor.choice(count)?],
                Step::Jump(to) => next = to,
                Step::Mark => mark = cursor.at,
                Step::Return => cursor.at = mark,
            }
        }
        Ok(())
    }
}

/// A decimal; as bytes when it is too wide for any column.
fn unscaled(bytes: &[u8], scale: i32) -> Item<'_> {
    match big_endian(bytes) {
        Some(number) => Item::Unscaled(number, scale),
        None => Item::Raw(bytes),
    }
}

struct Compiler<'a> {
    types: &'a Types,
    paths: &'a Paths,
    targets: Targets<'a>,
    steps: Vec<Step>,
    branches: Vec<usize>,
    /// Steps before this one are jumped to from elsewhere, and not to be changed.
    fixed: usize,
    given: Vec<bool>,
    useless: Vec<Option<TypeId>>,
}

impl Compiler<'_> {
    fn push(&mut self, step: Step) {
        let last = match self.steps.len() > self.fixed {
            true => self.steps.last_mut(),
            false => None,
        };
        match (last, step) {
            (Some(Step::SkipIntegers(count)), Step::SkipIntegers(more))
            | (Some(Step::SkipBytes(count)), Step::SkipBytes(more)) => {
                *count = count.saturating_add(more);
            }
            _ => self.steps.push(step),
        }
    }

    /// The place of the next step, which is jumped to.
    fn label(&mut self) -> usize {
        self.fixed = self.steps.len();
        self.fixed
    }

    /// Steps for a value of type `id`, of which what `node` wants is read.
    fn value(&mut self, id: TypeId, node: usize) -> Result<(), SchemaError> {
        if self.steps.len() > MOST_STEPS {
            let what = "the wanted fields lie in too many unions".to_owned();
            return Err(SchemaError::Unreadable(what));
        }
        let wanted = &self.paths.nodes[node];
        if wanted.is_unwanted() {
            self.skip(id, 0);
            return Ok(());
        }
        match &self.types.types[id] {
            Type::Null => self.null(node),
            Type::Union(branches) => {
                let first = self.branches.len();
                self.push(Step::Union(first, branches.len()));
                self.branches.resize(first + branches.len(), 0);
                let mut ends = Vec::with_capacity(branches.len());
                for (number, branch) in branches.iter().enumerate() {
                    self.branches[first + number] = self.label();
                    self.value(*branch, node)?;
                    ends.push(self.steps.len());
                    self.steps.push(Step::Jump(0));
                }
                let end = self.label();
                for place in ends {
                    self.steps[place] = Step::Jump(end);
                }
            }
            Type::Record { fields, .. } if !wanted.fields.is_empty() => {
                // Of names and former names the names come first.
                let mut found = vec![None; fields.len()];
                for (name, inner) in &wanted.fields {
                    let by_name = fields.iter().position(|field| field.name == *name);
                    let place = by_name.or_else(|| {
                        let former = |field: &super::schema::Field| field.aliases.contains(name);
                        fields.iter().position(former)
                    });
                    match place {
                        Some(place) if found[place].is_none() => found[place] = Some(*inner),
                        _ => self.absent(*inner),
                    }
                }
                for target in &wanted.targets {
                    self.wrong(*target, id);
                }
                for (field, inner) in fields.iter().zip(found) {
                    match inner {
                        Some(inner) => self.value(field.id, inner)?,
                        None => self.skip(field.id, 0),
                    }
                }
            }
            _ => {
                let all: Vec<usize> = wanted.targets.clone();
                for target in &wanted.below {
                    self.wrong(*target, id);
                }
                self.leaf(id, &all);
            }
        }
        Ok(())
    }

    /// Steps for a value that is wanted as a whole.
    fn leaf(&mut self, id: TypeId, targets: &[usize]) {
        let steps: Vec<Option<Step>> = targets.iter().map(|to| self.read(id, *to)).collect();
        let readers = steps.iter().flatten().count();
        if readers == 0 {
            for target in targets {
                self.wrong(*target, id);
            }
            self.skip(id, 0);
            return;
        }
        if readers > 1 {
            self.push(Step::Mark);
        }
        let mut read = 0;
        for (target, step) in targets.iter().zip(steps) {
            let Some(step) = step else {
                self.wrong(*target, id);
                continue;
            };
            if read > 0 {
                self.push(Step::Return);
            }
            self.push(step);
            self.given[*target] = true;
            read += 1;
        }
    }

    /// The step that reads a value for `target`; none when it can never be one of its type.
    fn read(&self, id: TypeId, target: usize) -> Option<Step> {
        let r#type = &self.types.types[id];
        let wire = match r#type {
            Type::Boolean => Some(Wire::Bool),
            Type::Int(wire) | Type::Long(wire) => Some(*wire),
            Type::Float | Type::Double => Some(Wire::Float),
            Type::Bytes(Some(_))
            | Type::Fixed {
                decimal: Some(_), ..
            } => Some(Wire::Decimal),
            Type::Bytes(None) => Some(Wire::Raw),
            Type::Fixed { uuid: true, .. } => Some(Wire::Uuid),
            Type::Fixed { .. } => Some(Wire::Raw),
            Type::String | Type::Enum(_) => Some(Wire::Text),
            _ => None,
        };
        let tick = match (self.targets, wire) {
            (Targets::Any(_), Some(_)) => Tick::MICRO,
            (Targets::Any(_), None) => return Some(Step::Whole(target, id)),
            (Targets::Columns(columns), wire) => wire?.read_as(&columns[target])?,
        };
        Some(match r#type {
            Type::Boolean => Step::Boolean(target),
            Type::Int(_) => Step::Int(target, tick),
            Type::Long(_) => Step::Long(target, tick),
            Type::Float => Step::Float(target),
            Type::Double => Step::Double(target),
            Type::Bytes(Some(scale)) => Step::Decimal(target, *scale),
            Type::Bytes(None) => Step::Bytes(target),
            Type::String => Step::String(target),
            Type::Enum(_) => Step::Enum(target, id),
            Type::Fixed { uuid: true, .. } => Step::Uuid(target),
            Type::Fixed { size, decimal, .. } => match decimal {
                Some(scale) => Step::FixedDecimal(target, *size, *scale),
                None => Step::Fixed(target, *size),
            },
            _ => return None,
        })
    }

    /// Steps that step over a value.
    fn skip(&mut self, id: TypeId, depth: usize) {
        match &self.types.types[id] {
            _ if self.types.empty[id] => {}
            Type::Boolean => self.push(Step::SkipBytes(1)),
            Type::Float => self.push(Step::SkipBytes(4)),
            Type::Double => self.push(Step::SkipBytes(8)),
            Type::Fixed { size, .. } => self.push(Step::SkipBytes(*size)),
            Type::Int(_) | Type::Long(_) => self.push(Step::SkipIntegers(1)),
            Type::Bytes(_) | Type::String => self.push(Step::SkipCounted),
            Type::Record { fields, .. }
                if depth < INLINE_DEPTH && self.steps.len() < INLINE_STEPS =>
            {
                for field in fields {
                    self.skip(field.id, depth + 1);
                }
            }
            _ => self.push(Step::Skip(id)),
        }
    }

    fn null(&mut self, node: usize) {
        let node = &self.paths.nodes[node];
        for target in &node.targets {
            self.push(Step::Null(*target));
            // A column may be nothing but null.
            self.given[*target] |= matches!(self.targets, Targets::Any(_));
        }
        for target in &node.below {
            self.push(Step::Absent(*target));
        }
    }

    fn absent(&mut self, node: usize) {
        for target in self.paths.nodes[node].all() {
            self.push(Step::Absent(target));
        }
    }

    fn wrong(&mut self, target: usize, id: TypeId) {
        self.useless[target].get_or_insert(id);
        self.push(Step::Wrong(target, id));
    }
}
