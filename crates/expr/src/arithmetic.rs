//! Integer arithmetic that fails where it would wrap.

use arrow::datatypes::{DataType, Schema};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::Operator;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Literal, NegativeExpr};
use std::sync::Arc;

/// Replaces every operation that could wrap by its checked twin.
pub(crate) fn checked(
    tree: Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Result<Arc<dyn PhysicalExpr>> {
    tree.transform_up(|node| {
        if let Some(binary) = node.downcast_ref::<BinaryExpr>() {
            let can_wrap = matches!(
                binary.op(),
                Operator::Plus | Operator::Minus | Operator::Multiply
            );
            return Ok(if can_wrap {
                Transformed::yes(binary_checked(binary.left(), *binary.op(), binary.right()))
            } else {
                Transformed::no(node)
            });
        }
        if let Some(negative) = node.downcast_ref::<NegativeExpr>()
            && negative.arg().data_type(schema)? == DataType::Int64
        {
            let zero: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(ScalarValue::Int64(Some(0))));
            return Ok(Transformed::yes(binary_checked(
                &zero,
                Operator::Minus,
                negative.arg(),
            )));
        }
        Ok(Transformed::no(node))
    })
    .data()
}

fn binary_checked(
    left: &Arc<dyn PhysicalExpr>,
    op: Operator,
    right: &Arc<dyn PhysicalExpr>,
) -> Arc<dyn PhysicalExpr> {
    let binary = BinaryExpr::new(Arc::clone(left), op, Arc::clone(right));
    Arc::new(binary.with_fail_on_overflow(true))
}
