//! Uids: what an operator is called wherever it has to be found again, in messages and in what an earlier program left.
//!
//! An operator without one of its own is called by its kind and its place among those of its kind that have none either, in the order of the
//! program. So neither a stateless operator more nor one that has a uid changes what the others are called. A watermark generator is called after
//! the operator whose records it gives times to.

use super::{LogicalPlan, PlanInput, PlanNode};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;

/// The longest uid.
const BYTES_MAX: usize = 100;

/// Whether a text can be a uid: a word of letters, digits, `-`, `_` and `.`, not too long.
pub fn is_uid(text: &str) -> bool {
    let fits = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    !text.is_empty() && text.len() <= BYTES_MAX && text.chars().all(fits)
}

/// What is wrong with a plan's uids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UidProblem {
    /// It is no word of letters, digits, `-`, `_` and `.`.
    Malformed,
    /// Two operators have it.
    Twice,
    /// One operator has this one and another.
    Another,
}

/// A uid that cannot be.
#[derive(Clone, PartialEq, Eq)]
pub struct UidError {
    /// The uid.
    pub uid: String,
    /// What is wrong with it.
    pub problem: UidProblem,
    /// Where it was given, or an operator made that is called so without having been given any.
    pub at: &'static Location<'static>,
    /// The place that it clashes with.
    pub other: &'static Location<'static>,
}

impl fmt::Display for UidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UidError { uid, problem, at, other } = self;
        match problem {
            UidProblem::Malformed => write!(
                f,
                "the uid `{uid}` at {at} is none: it must have letters, digits, `-`, `_` and `.`, and from 1 to {BYTES_MAX} of them"
            ),
            UidProblem::Twice => write!(
                f,
                "two operators have the uid `{uid}`, at {other} and at {at}: what one has kept would be taken for the other's. Give one of \
                 them another, by `.uid(..)`, or `.sink_with_uid(..)` for a sink"
            ),
            UidProblem::Another => write!(
                f,
                "the operator that has the uid `{uid}` by {at} was given another at {other}: `.uid(..)` names what the stream begins \
                 with, which is the same for both streams of a fork, and `.sink_with_uid(..)` names a sink"
            ),
        }
    }
}

impl fmt::Debug for UidError {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for UidError {}

impl LogicalPlan {
    /// The uid of each node, whether or not [all differ](Self::check_uids).
    pub fn uids(&self) -> Vec<String> {
        let mut counts = BTreeMap::new();
        let mut uids: Vec<String> = Vec::new();
        for node in &self.nodes {
            let uid = match (node.given.last(), self.timed_by(node)) {
                (Some((uid, _)), _) => uid.clone(),
                (None, Some(PlanInput { node: of, port: 0, .. })) => format!("{}.{}", uids[of.0], node.kind),
                (None, Some(PlanInput { node: of, port, .. })) => {
                    format!("{}.{port}.{}", uids[of.0], node.kind)
                }
                (None, None) => {
                    let count = counts.entry(node.kind).or_insert(0);
                    *count += 1;
                    format!("{}-{}", node.kind, *count - 1)
                }
            };
            uids.push(uid);
        }
        uids
    }

    /// What a watermark generator reads, stateless operators aside.
    fn timed_by<'a>(&'a self, node: &'a PlanNode) -> Option<&'a PlanInput> {
        node.numbers.generator?;
        Some(self.behind_chains(node.inputs.first()?))
    }

    /// The output that rows come from, stateless operators in between aside.
    pub(super) fn behind_chains<'a>(&'a self, input: &'a PlanInput) -> &'a PlanInput {
        match &*self.node(input.node).inputs {
            [before, ..] if !self.node(input.node).fused.is_empty() => self.behind_chains(before),
            _ => input,
        }
    }

    /// Whether the program says what a node is called, or what the one is called that it is called after.
    pub(super) fn is_named(&self, node: &PlanNode) -> bool {
        !node.given.is_empty() || self.timed_by(node).is_some_and(|of| self.is_named(self.node(of.node)))
    }

    /// Whether every operator has a uid, and one only.
    ///
    /// # Errors
    /// The first that is malformed, is given twice, or is one of two.
    pub fn check_uids(&self) -> Result<(), UidError> {
        for (uid, at) in self.nodes.iter().flat_map(|node| &node.given) {
            if !is_uid(uid) {
                return Err(UidError { uid: uid.clone(), problem: UidProblem::Malformed, at, other: at });
            }
        }
        for node in &self.nodes {
            if let [(first, other), .., (uid, at)] = &*node.given
                && first != uid
            {
                return Err(UidError { uid: uid.clone(), problem: UidProblem::Another, at, other });
            }
        }
        let mut there = BTreeMap::new();
        for (uid, node) in self.uids().into_iter().zip(&self.nodes) {
            let at = node.given.last().map_or(node.at, |(_, at)| at);
            if let Some(other) = there.insert(uid.clone(), at) {
                return Err(UidError { uid, problem: UidProblem::Twice, at, other });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::StageId;

    fn plan(nodes: &[(&'static str, &[&str])]) -> LogicalPlan {
        let mut plan = LogicalPlan::new("job");
        for (kind, given) in nodes {
            let id = plan.add(PlanNode::new(kind, StageId(0)));
            given.iter().for_each(|uid| plan.node_mut(id).give_uid(uid));
        }
        plan
    }

    #[test]
    fn a_uid_is_counted_among_those_of_its_kind_that_have_none() {
        let nodes: &[(&str, &[&str])] =
            &[("source", &[]), ("window", &[]), ("window", &["mine"]), ("window", &[]), ("sink", &[])];
        let plan = plan(nodes);
        assert_eq!(plan.uids(), ["source-0", "window-0", "mine", "window-1", "sink-0"]);
        assert_eq!(plan.check_uids(), Ok(()));
    }

    #[test]
    fn a_uid_that_cannot_be_is_refused_with_both_places() {
        let problem = |nodes: &[(&'static str, &[&str])]| {
            let error = plan(nodes).check_uids().unwrap_err();
            assert!(error.to_string().contains(&error.at.to_string()), "{error}");
            assert!(error.to_string().contains(&error.other.to_string()), "{error}");
            (error.uid, error.problem)
        };
        assert_eq!(problem(&[("window", &["a"]), ("sort", &["a"])]), ("a".to_owned(), UidProblem::Twice));
        // One that the other has without having been given any.
        let derived = problem(&[("window", &[]), ("sort", &["window-0"])]);
        assert_eq!(derived, ("window-0".to_owned(), UidProblem::Twice));
        assert_eq!(problem(&[("window", &["a", "b"])]), ("b".to_owned(), UidProblem::Another));
        assert_eq!(plan(&[("window", &["a", "a"])]).check_uids(), Ok(()));
        for odd in ["", "a b", "a/b", "a,b", &"x".repeat(BYTES_MAX + 1)] {
            assert_eq!(problem(&[("window", &[odd])]), (odd.to_owned(), UidProblem::Malformed));
        }
    }
}
