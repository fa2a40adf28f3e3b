//! The top of the table of customers.

use super::line::{Line, Look};
use super::moment::{Constants, Moment};
use super::text;
use std::fmt::Write;

/// The `leaders` first of the table, under two lines of heading.
pub fn table(constants: &Constants, moment: &Moment, columns: usize, leaders: usize) -> Vec<Line> {
    let Some(table) = &constants.table else {
        return Vec::new();
    };
    let customers = text::count(constants.customers.unsigned_abs());
    let ranked = &table.outputs[0];
    let about = format!("  the largest {ranked} of {customers} customers");
    let title = Line::default()
        .with(Look::Strong, &table.view)
        .with(Look::Dim, about);
    let mut heads = format!("  {:>11}", "customer_id");
    let mut widths = Vec::new();
    for output in &table.outputs {
        let width = output.chars().count().max(9);
        if heads.chars().count() + 2 + width <= columns {
            let _ = write!(heads, "  {output:>width$}");
            widths.push(width);
        }
    }
    let mut lines = vec![title, Line::default().with(Look::Dim, heads)];
    let watch = moment.seen.watch.as_ref();
    let victim = watch.filter(|watch| watch.begins <= moment.now);
    for (customer, values) in moment.seen.top.iter().take(leaders) {
        let look = match victim.is_some_and(|watch| watch.customer == *customer) {
            true => Look::Alarm,
            false => Look::Plain,
        };
        let mut line = format!("  {customer:>11}");
        for (value, width) in values.iter().zip(&widths) {
            let _ = write!(line, "  {:>width$}", text::value(value));
        }
        lines.push(Line::default().with(look, line));
    }
    lines.resize(leaders + 2, Line::default());
    lines
}
