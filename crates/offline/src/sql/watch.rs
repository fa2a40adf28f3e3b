//! How a run ends before its query is answered: out of time, or told to.
//!
//! DataFusion gives way where rows are read, once in many batches. A join makes many rows of few, so that it
//! may compute for hours between two reads. So every operator of a plan gives way by what it answers, and
//! the condition of a join, which may never be true, looks at the watch each time it is asked.
//!
//! # Laws
//! - A run that is over computes a few batches more at most, on the thread that waits for it: when that
//!   returns, nothing of the run is left.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{exec_err, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
    SortMergeJoinExec,
};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// When a run is over.
#[derive(Debug)]
pub(super) struct Watch {
    begun: Instant,
    most: Duration,
    stop: Arc<AtomicBool>,
}

impl Watch {
    /// Of a run that begins now.
    pub(super) fn new(most: Duration, stop: Arc<AtomicBool>) -> Watch {
        Watch {
            begun: Instant::now(),
            most,
            stop,
        }
    }

    /// Whether it was told to end.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Whether it has taken longer than it may.
    pub(super) fn is_late(&self) -> bool {
        self.begun.elapsed() > self.most
    }
}

/// A plan whose operators all give way, and whose joins end when a watch says so.
pub(super) fn watched(
    plan: Arc<dyn ExecutionPlan>,
    watch: &Arc<Watch>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let watched = plan.transform_up(|node| {
        if node.is::<CooperativeExec>() {
            return Ok(Transformed::no(node));
        }
        let node = join(&node, watch)?.unwrap_or(node);
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(node))))
    });
    Ok(watched?.data)
}

/// A join whose condition looks at the watch; `None` of what is no join with a condition.
fn join(
    node: &Arc<dyn ExecutionPlan>,
    watch: &Arc<Watch>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let looking = |filter: &JoinFilter| {
        let condition = Looking {
            condition: Arc::clone(filter.expression()),
            watch: Arc::clone(watch),
        };
        let columns = filter.column_indices().to_vec();
        JoinFilter::new(Arc::new(condition), columns, Arc::clone(filter.schema()))
    };
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let builder = NestedLoopJoinExecBuilder::from(join).with_filter(Some(looking(filter)));
        return Ok(Some(Arc::new(builder.build()?)));
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        let builder = HashJoinExecBuilder::from(join).with_filter(Some(looking(filter)));
        return Ok(Some(Arc::new(builder.build()?)));
    }
    if let Some(join) = node.downcast_ref::<SortMergeJoinExec>()
        && let Some(filter) = join.filter()
    {
        let join = SortMergeJoinExec::try_new(
            Arc::clone(join.left()),
            Arc::clone(join.right()),
            join.on().to_vec(),
            Some(looking(filter)),
            join.join_type(),
            join.sort_options().to_vec(),
            join.null_equality(),
        )?;
        return Ok(Some(Arc::new(join)));
    }
    Ok(None)
}

/// A condition that fails once its run is over.
#[derive(Debug)]
struct Looking {
    condition: Arc<dyn PhysicalExpr>,
    watch: Arc<Watch>,
}

impl PartialEq for Looking {
    fn eq(&self, other: &Looking) -> bool {
        self.condition.eq(&other.condition) && Arc::ptr_eq(&self.watch, &other.watch)
    }
}

impl Eq for Looking {}

impl Hash for Looking {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl fmt::Display for Looking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl PhysicalExpr for Looking {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.condition.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.condition.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.condition.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.watch.is_stopped() || self.watch.is_late() {
            return exec_err!("the run is over");
        }
        self.condition.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let Ok([condition]) = <[_; 1]>::try_from(children) else {
            return internal_err!("a condition that looks at the watch is one condition");
        };
        Ok(Arc::new(Looking {
            condition,
            watch: Arc::clone(&self.watch),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}
