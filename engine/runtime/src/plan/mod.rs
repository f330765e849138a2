//! The plan of a job, as data: its operators, what goes from one to the next, and what each of them keeps.
//!
//! The typed API adds a [`PlanNode`] for each source, stateful operator, fork, union and sink as it goes. What a `map`, a `filter` and their like
//! do lies in closures, so a stretch of them is one node, the chain, which knows where in the program the closures are. Nothing here runs a
//! record: the graph in `pelton-core` and the closures that build shards do. What reads the plan is whoever explains a job to people
//! ([`LogicalPlan::explain`]), and whoever compares it with what an earlier program left.
//!
//! An operator is added with one call:
//!
//! ```
//! use pelton_core::StageId;
//! use pelton_runtime::plan::{LogicalPlan, Partitioning, PlanInput, PlanNode, RowSchema};
//!
//! let mut plan = LogicalPlan::new("matches");
//! let orders = plan.add(PlanNode::new("source", StageId(0)).rows(RowSchema::of::<(u64, u64)>()));
//! let payments = plan.add(PlanNode::new("source", StageId(0)).rows(RowSchema::of::<(u64, String)>()));
//! // Two inputs, each by a key.
//! let by_id = |node| PlanInput::of(node, Partitioning::key::<u64>(None));
//! plan.add(
//!     PlanNode::new("join", StageId(1))
//!         .input(by_id(orders))
//!         .input(by_id(payments))
//!         .state("waiting", RowSchema::of::<u64>(), RowSchema::of::<(u64, u64)>())
//!         .parameter("within", "5s")
//!         .bounded_by("records that wait for a partner"),
//! );
//! assert_eq!(plan.uids(), ["source-0", "source-1", "join-0"]);
//! assert!(plan.explain().to_string().contains("join-0"));
//! ```

mod change;
mod explain;
mod fingerprint;
mod graphviz;
mod node;
mod uid;

use pelton_core::record::schema::Schema;
use std::collections::BTreeSet;

pub use change::{Change, change, conversions, ids, numbered};
pub use explain::Explanation;
pub(crate) use fingerprint::note_sources;
pub use fingerprint::{SOURCE_KIND, difference};
pub use node::{Fused, NodeNumbers, Partitioning, PlanInput, PlanNode, PlanState, RowSchema, nanos};
pub use uid::{UidError, UidProblem, is_uid};

/// The number of a node in its plan: nodes are numbered as they are added, so that inputs come before what reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// A job's operators and what goes from one to the next.
#[derive(Clone, Debug, Default)]
pub struct LogicalPlan {
    job: String,
    nodes: Vec<PlanNode>,
}

impl LogicalPlan {
    /// A plan without operators.
    pub fn new(job: &str) -> Self {
        LogicalPlan { job: job.to_owned(), nodes: Vec::new() }
    }

    /// What the job is called.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Adds a node.
    ///
    /// # Panics
    /// When one of its inputs has not been added.
    pub fn add(&mut self, node: PlanNode) -> NodeId {
        assert!(
            node.inputs.iter().all(|input| input.node.0 < self.nodes.len()),
            "an input that is not there"
        );
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// All nodes; the place of one is its [`NodeId`].
    pub fn nodes(&self) -> &[PlanNode] {
        &self.nodes
    }

    /// The node of that number.
    ///
    /// # Panics
    /// When there is none.
    pub fn node(&self, id: NodeId) -> &PlanNode {
        &self.nodes[id.0]
    }

    /// As [`node`](Self::node), to say more of it.
    ///
    /// # Panics
    /// When there is none.
    pub fn node_mut(&mut self, id: NodeId) -> &mut PlanNode {
        &mut self.nodes[id.0]
    }

    /// Whether the rows of a node are on the shards of keys of this schema: whether that is what they were grouped by last.
    ///
    /// # Errors
    /// What they were grouped by, if not that.
    pub fn is_grouped_by(&self, id: NodeId, key: &Schema) -> Result<(), String> {
        self.grouped_by(id, key, &mut BTreeSet::new())
    }

    /// As [`is_grouped_by`](Self::is_grouped_by), but for nodes that were seen already, of which each input of a union may have some.
    fn grouped_by(&self, id: NodeId, key: &Schema, seen: &mut BTreeSet<NodeId>) -> Result<(), String> {
        if !seen.insert(id) {
            return Ok(());
        }
        let inputs = &self.node(id).inputs;
        if inputs.is_empty() {
            return Err("it was not grouped".to_owned());
        }
        inputs.iter().try_for_each(|input| match &input.partitioning {
            Partitioning::Key { schema, .. } if schema.to_string() == key.to_string() => Ok(()),
            Partitioning::Key { schema, .. } => {
                Err(format!("it was grouped by keys of `{schema}`, and this one is of `{key}`"))
            }
            Partitioning::Forward | Partitioning::SameShard => self.grouped_by(input.node, key, seen),
            Partitioning::InTurn { .. } => {
                Err("it was spread over the shards since it was grouped".to_owned())
            }
        })
    }

    /// The plan for people.
    pub fn explain(&self) -> Explanation {
        Explanation::new(self.clone())
    }
}
