//! A plan for people: as text, and as a drawing.

use super::{LogicalPlan, Partitioning, PlanInput, PlanNode, PlanState, RowSchema};
use std::fmt;

/// A job's plan, told: [`Display`](fmt::Display) as text, [`graphviz`](Self::graphviz) as a drawing.
///
/// ```text
/// stage 1
///   per-shop: window, src/main.rs:26
///     reads: source-0.event_time, by key u64 (src/main.rs:24), as u64
///     rows: Windowed<u64, u64>
///     parameters: aggregate sum, size 60s, slide 60s
///     keeps: panes: u64 to CarriedSum { low: u64, high: i64 }
///     memory: bounded by the keys of the windows that are open
/// ```
///
/// An input that names how it gets there comes through an exchange. Where a program is run by another path, its places have another one, too.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub(super) plan: LogicalPlan,
    pub(super) uids: Vec<String>,
}

impl Explanation {
    pub(super) fn new(plan: LogicalPlan) -> Self {
        let uids = plan.uids();
        Explanation { plan, uids }
    }

    /// The plan itself.
    pub fn plan(&self) -> &LogicalPlan {
        &self.plan
    }

    /// What is drawn by `dot -Tsvg`: a box for each operator within its stage, and an arrow for each input, thick where it is an exchange.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// let job = Job::new("copy").source(from_iter(|| 0..3u64)).rebalance().sink(collect());
    /// let drawing = job.explain().graphviz();
    /// assert!(drawing.starts_with("digraph \"copy\" {"));
    /// ```
    pub fn graphviz(&self) -> String {
        super::graphviz::draw(self)
    }

    /// Stages that have nodes, ascending, each with the numbers of its nodes.
    pub(super) fn stages(&self) -> Vec<(u16, Vec<usize>)> {
        let mut stages: Vec<u16> = self.plan.nodes.iter().map(|node| node.stage.0).collect();
        stages.sort_unstable();
        stages.dedup();
        let here = |stage| (0..self.plan.nodes.len()).filter(move |&n| self.plan.nodes[n].stage.0 == stage);
        stages.into_iter().map(|stage| (stage, here(stage).collect())).collect()
    }

    /// What a node is called, with the output if it is not the main one.
    pub(super) fn source_of(&self, input: &PlanInput) -> String {
        let uid = &self.uids[input.node.0];
        if input.port == 0 { uid.clone() } else { format!("{uid}/{}", input.port) }
    }

    fn input(&self, input: &PlanInput) -> String {
        let mut told = self.source_of(input);
        match &input.partitioning {
            Partitioning::Forward => {}
            Partitioning::Key { at: Some(at), .. } => {
                told += &format!(", {} ({}:{})", input.partitioning, at.file(), at.line());
            }
            other => told += &format!(", {other}"),
        }
        if let Some(rows) = &input.crossing {
            told += &format!(", as {rows}");
        }
        told
    }
}

/// What a node is, and where.
pub(super) fn what(node: &PlanNode) -> String {
    if node.fused.is_empty() {
        return format!("{}, {}:{}", node.kind, node.at.file(), node.at.line());
    }
    list(node.fused.iter().map(|fused| format!("{} at {}:{}", fused.kind, fused.at.file(), fused.at.line())))
}

/// What an operator keeps.
pub(super) fn kept(state: &PlanState) -> String {
    match &state.key {
        RowSchema::None => format!("{}: {}", state.name, state.value),
        key => format!("{}: {key} to {}", state.name, state.value),
    }
}

pub(super) fn named(all: &[(&'static str, String)]) -> String {
    list(all.iter().map(|(name, value)| format!("{name} {value}")))
}

fn list(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "job `{}`", self.plan.job)?;
        for (stage, nodes) in self.stages() {
            writeln!(f, "\nstage {stage}")?;
            for number in nodes {
                let node = &self.plan.nodes[number];
                writeln!(f, "  {}: {}", self.uids[number], what(node))?;
                for input in &node.inputs {
                    writeln!(f, "    reads: {}", self.input(input))?;
                }
                if !matches!(node.rows, RowSchema::None) {
                    writeln!(f, "    rows: {}", node.rows)?;
                }
                let lists = [("parameters", &node.parameters), ("settings", &node.settings)];
                for (name, all) in lists.into_iter().filter(|(_, all)| !all.is_empty()) {
                    writeln!(f, "    {name}: {}", named(all))?;
                }
                for state in &node.state {
                    writeln!(f, "    keeps: {}", kept(state))?;
                }
                if let Some(bound) = &node.bounded_by {
                    writeln!(f, "    memory: bounded by {bound}")?;
                }
            }
        }
        let more = self.plan.nodes.iter().zip(&self.uids);
        let more = more.filter_map(|(node, uid)| node.beyond_records.as_ref().map(|what| (uid, what)));
        for (number, (uid, what)) in more.enumerate() {
            if number == 0 {
                writeln!(f, "\nwhat follows from more than the records")?;
            }
            writeln!(f, "  {uid}: {what}")?;
        }
        Ok(())
    }
}
