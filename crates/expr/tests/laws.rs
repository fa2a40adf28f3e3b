//! Laws: compiled expressions agree with a row-wise evaluator, and batches with their slices.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::compute::concat;
use arrow::datatypes::{Field, Float64Type, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;
use std::sync::Arc;
use tiderace_expr::{Compiled, Now, compile};
use tiderace_types::{DataType, Timestamp};

/// A small language: columns `a` and `b` are int64, `x` and `y` float64.
#[derive(Clone, Debug)]
enum Tree {
    Column(&'static str),
    Number(i32),
    Arithmetic(Box<Tree>, char, Box<Tree>),
    Negated(Box<Tree>),
    Coalesced(Box<Tree>, Box<Tree>),
    Chosen(Box<Condition>, Box<Tree>, Box<Tree>),
}

#[derive(Clone, Debug)]
enum Condition {
    Compared(Tree, &'static str, Tree),
    IsNull(Tree),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    Null,
    Int(i64),
    Float(f64),
}

/// One row's answer, or a failure of that row.
type Answer = Result<Cell, ()>;

#[derive(Clone, Debug)]
struct Row {
    a: Option<i64>,
    b: Option<i64>,
    x: Option<f64>,
    y: Option<f64>,
}

impl Tree {
    fn sql(&self) -> String {
        match self {
            Tree::Column(name) => (*name).to_owned(),
            Tree::Number(n) => format!("({n})"),
            Tree::Arithmetic(left, op, right) => format!("({} {op} {})", left.sql(), right.sql()),
            Tree::Negated(inner) => format!("(- {})", inner.sql()),
            Tree::Coalesced(left, right) => format!("coalesce({}, {})", left.sql(), right.sql()),
            Tree::Chosen(condition, yes, no) => format!(
                "(CASE WHEN {} THEN {} ELSE {} END)",
                condition.sql(),
                yes.sql(),
                no.sql()
            ),
        }
    }

    fn is_float(&self) -> bool {
        match self {
            Tree::Column(name) => matches!(*name, "x" | "y"),
            Tree::Number(_) => false,
            Tree::Negated(inner) => inner.is_float(),
            Tree::Arithmetic(left, _, right)
            | Tree::Coalesced(left, right)
            | Tree::Chosen(_, left, right) => left.is_float() || right.is_float(),
        }
    }

    /// The answer for a row: integers checked, a float wherever one takes part.
    fn answer(&self, row: &Row) -> Answer {
        let found = match self {
            Tree::Column("a") => row.a.map_or(Cell::Null, Cell::Int),
            Tree::Column("b") => row.b.map_or(Cell::Null, Cell::Int),
            Tree::Column("x") => row.x.map_or(Cell::Null, Cell::Float),
            Tree::Column(_) => row.y.map_or(Cell::Null, Cell::Float),
            Tree::Number(n) => Cell::Int(i64::from(*n)),
            Tree::Negated(inner) => match inner.answer(row)? {
                Cell::Int(n) => Cell::Int(n.checked_neg().ok_or(())?),
                Cell::Float(x) => Cell::Float(-x),
                Cell::Null => Cell::Null,
            },
            Tree::Arithmetic(left, op, right) => {
                arithmetic(left.answer(row)?, *op, right.answer(row)?)?
            }
            Tree::Coalesced(left, right) => match left.answer(row)? {
                Cell::Null => right.answer(row)?,
                found => found,
            },
            Tree::Chosen(condition, yes, no) => {
                if condition.answer(row)? == Some(true) {
                    yes.answer(row)?
                } else {
                    no.answer(row)?
                }
            }
        };
        Ok(match found {
            Cell::Int(n) if self.is_float() => Cell::Float(n as f64),
            found => found,
        })
    }
}

fn arithmetic(left: Cell, op: char, right: Cell) -> Answer {
    Ok(match (left, right) {
        (Cell::Null, _) | (_, Cell::Null) => Cell::Null,
        (Cell::Int(l), Cell::Int(r)) => Cell::Int(
            match op {
                '+' => l.checked_add(r),
                '-' => l.checked_sub(r),
                _ => l.checked_mul(r),
            }
            .ok_or(())?,
        ),
        (l, r) => Cell::Float(match op {
            '+' => float(l) + float(r),
            '-' => float(l) - float(r),
            _ => float(l) * float(r),
        }),
    })
}

fn float(cell: Cell) -> f64 {
    match cell {
        Cell::Int(n) => n as f64,
        Cell::Float(x) => x,
        Cell::Null => f64::NAN,
    }
}

impl Condition {
    fn sql(&self) -> String {
        match self {
            Condition::Compared(left, op, right) => {
                format!("({} {op} {})", left.sql(), right.sql())
            }
            Condition::IsNull(tree) => format!("({} IS NULL)", tree.sql()),
            Condition::And(left, right) => format!("({} AND {})", left.sql(), right.sql()),
            Condition::Or(left, right) => format!("({} OR {})", left.sql(), right.sql()),
            Condition::Not(inner) => format!("(NOT {})", inner.sql()),
        }
    }

    fn answer(&self, row: &Row) -> Result<Option<bool>, ()> {
        Ok(match self {
            Condition::IsNull(tree) => Some(tree.answer(row)? == Cell::Null),
            Condition::Not(inner) => inner.answer(row)?.map(|b| !b),
            Condition::And(left, right) => match (left.answer(row)?, right.answer(row)?) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Condition::Or(left, right) => match (left.answer(row)?, right.answer(row)?) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Condition::Compared(left, op, right) => {
                let order = match (left.answer(row)?, right.answer(row)?) {
                    (Cell::Null, _) | (_, Cell::Null) => return Ok(None),
                    (Cell::Int(l), Cell::Int(r)) => l.cmp(&r),
                    // Zeros of both signs do not occur, so that total order is the usual one.
                    (l, r) => float(l).total_cmp(&float(r)),
                };
                Some(match *op {
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    "=" => order.is_eq(),
                    _ => order.is_ne(),
                })
            }
        })
    }
}

/// Sums and differences of a few small numbers, so that floats are exact; or extremes, for overflow.
fn ints() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        1 => Just(None),
        6 => (1i64..9).prop_map(Some),
        1 => Just(Some(i64::MAX)),
        1 => Just(Some(i64::MIN)),
    ]
}

fn floats() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![1 => Just(None), 5 => (1i32..9).prop_map(|n| Some(f64::from(n) / 4.0))]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (ints(), ints(), floats(), floats()).prop_map(|(a, b, x, y)| Row { a, b, x, y });
    prop::collection::vec(row, 0..24)
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["a", "b", "x", "y"]).prop_map(Tree::Column),
        (1i32..5).prop_map(Tree::Number),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            3 => (inner.clone(), prop::sample::select(vec!['+', '-', '*']), inner.clone())
                .prop_map(|(l, op, r)| Tree::Arithmetic(Box::new(l), op, Box::new(r))),
            1 => inner.clone().prop_map(|tree| Tree::Negated(Box::new(tree))),
            1 => pair.prop_map(|(l, r)| Tree::Coalesced(Box::new(l), Box::new(r))),
            1 => (conditions_over(inner.clone()), inner.clone(), inner)
                .prop_map(|(c, l, r)| Tree::Chosen(Box::new(c), Box::new(l), Box::new(r))),
        ]
    })
}

fn conditions_over(tree: impl Strategy<Value = Tree> + Clone) -> impl Strategy<Value = Condition> {
    let operators = prop::sample::select(vec!["<", "<=", "=", "<>"]);
    prop_oneof![
        (tree.clone(), operators, tree.clone())
            .prop_map(|(l, op, r)| Condition::Compared(l, op, r)),
        tree.prop_map(Condition::IsNull),
    ]
}

fn conditions() -> impl Strategy<Value = Condition> {
    conditions_over(trees().boxed()).prop_recursive(2, 6, 2, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            pair.clone()
                .prop_map(|(l, r)| Condition::And(Box::new(l), Box::new(r))),
            pair.prop_map(|(l, r)| Condition::Or(Box::new(l), Box::new(r))),
            inner.prop_map(|c| Condition::Not(Box::new(c))),
        ]
    })
}

fn columns() -> Vec<(String, DataType)> {
    [
        ("a", DataType::Int64),
        ("b", DataType::Int64),
        ("x", DataType::Float64),
        ("y", DataType::Float64),
    ]
    .map(|(name, data_type)| (name.to_owned(), data_type))
    .to_vec()
}

fn batch(rows: &[Row]) -> RecordBatch {
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.a))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.b))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.x))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.y))),
    ];
    let fields: Vec<Field> = columns()
        .iter()
        .map(|(name, data_type)| Field::new(name, data_type.to_arrow(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns fit")
}

fn expression(sql: &str) -> Compiled {
    compile(sql, &columns(), Now::Refused).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

fn cell(array: &ArrayRef, row: usize) -> Cell {
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        arrow::datatypes::DataType::Int64 => {
            Cell::Int(array.as_primitive::<Int64Type>().value(row))
        }
        _ => Cell::Float(array.as_primitive::<Float64Type>().value(row)),
    }
}

/// Equal up to rounding; both zeros are one.
fn near(found: Cell, expected: Cell) -> bool {
    match (found, expected) {
        (Cell::Float(l), Cell::Float(r)) => l == r || (l - r).abs() <= 1e-9 * l.abs().max(r.abs()),
        (found, expected) => found == expected,
    }
}

const T: Timestamp = Timestamp(0);

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arithmetic_agrees_with_rows(tree in trees(), rows in rows()) {
        let compiled = expression(&tree.sql());
        let (found, errors) = compiled.evaluate_each(&batch(&rows), T);
        prop_assert_eq!(found.len(), rows.len());
        for (index, row) in rows.iter().enumerate() {
            let failed = errors.iter().any(|error| error.row == index);
            match tree.answer(row) {
                // What is simplified away cannot overflow any more.
                Err(()) => {}
                Ok(expected) => {
                    prop_assert!(!failed, "row {}: {:?}", index, errors);
                    prop_assert!(
                        near(cell(&found, index), expected),
                        "{}: row {}: {:?}, expected {:?}", tree.sql(), index, cell(&found, index), expected
                    );
                }
            }
        }
    }

    #[test]
    fn conditions_agree_with_rows(condition in conditions(), rows in rows()) {
        let compiled = expression(&condition.sql());
        let (found, errors) = compiled.evaluate_each(&batch(&rows), T);
        for (index, row) in rows.iter().enumerate() {
            if let Ok(expected) = condition.answer(row) {
                prop_assert!(!errors.iter().any(|error| error.row == index), "{:?}", errors);
                let found = found.as_boolean();
                let found = found.is_valid(index).then(|| found.value(index));
                prop_assert_eq!(found, expected, "{}: row {}", condition.sql(), index);
            }
        }
    }

    #[test]
    fn a_batch_gives_what_its_slices_give(tree in trees(), rows in rows(), cut in 0usize..24) {
        let compiled = expression(&tree.sql());
        let whole = batch(&rows);
        let cut = cut.min(rows.len());
        let (all, all_errors) = compiled.evaluate_each(&whole, T);
        let (first, first_errors) = compiled.evaluate_each(&whole.slice(0, cut), T);
        let (second, second_errors) = compiled.evaluate_each(&whole.slice(cut, rows.len() - cut), T);
        let joined = concat(&[first.as_ref(), second.as_ref()]).expect("one type");
        prop_assert_eq!(&all, &joined);
        let rows: Vec<usize> = all_errors.iter().map(|error| error.row).collect();
        let parts: Vec<usize> = first_errors
            .iter()
            .map(|error| error.row)
            .chain(second_errors.iter().map(|error| error.row + cut))
            .collect();
        prop_assert_eq!(rows, parts);
    }
}
