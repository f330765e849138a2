//! A plan as the manifest keeps it, and in what two of them differ.
//!
//! Operators are compared by uid. Settings, places, types that are not kept and stateless operators are no part of it. What to make of a
//! difference is another question: [`change`](super::change).

use super::{LogicalPlan, Partitioning, PlanInput, PlanNode, RowSchema};
use pelton_core::record::schema::{self, Schema, SchemaId};
use pelton_core::stage::graph::CHAINED_FIRST;
use pelton_storage::{Manifest, StoredInput, StoredNumbers, StoredOperator, StoredSchema, StoredState};
use std::collections::BTreeMap;

fn stored(schema: &Schema) -> StoredSchema {
    let text = schema.to_string();
    StoredSchema { id: SchemaId::of(&text).to_string(), text }
}

fn kept(rows: &RowSchema) -> Option<StoredSchema> {
    match rows {
        RowSchema::Schema(schema) => Some(stored(schema)),
        RowSchema::Type(_) | RowSchema::None => None,
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or_else(|_| unreachable!("a graph has no such numbers"))
}

impl LogicalPlan {
    /// What the state of the job is state of, with the numbers of the graph.
    pub fn fingerprint(&self) -> Vec<StoredOperator> {
        let uids = self.uids();
        let operators = self.nodes.iter().zip(&uids).filter(|(node, _)| node.fused.is_empty());
        // As a shard is built: operators of a stage stand in the order of their exchanges.
        let place = |node: &PlanNode| {
            if node.numbers.chained.is_some() {
                return Some(0);
            }
            let first = node.numbers.edges.first()?;
            let before = self.nodes.iter().filter(|other| other.stage == node.stage);
            let before =
                before.filter(|other| other.numbers.edges.first().is_some_and(|other| other < first));
            let place = small(before.count()) as u16;
            // So that a stage is known by its operator: see `change`.
            assert!(place == 0, "a stage has one operator that exchanges lead to");
            Some(place)
        };
        let operator = |(node, uid): (&PlanNode, &String)| StoredOperator {
            uid: uid.clone(),
            given: self.is_named(node),
            kind: node.kind.to_owned(),
            inputs: node.inputs.iter().map(|input| self.stored_input(input, &uids)).collect(),
            state: node
                .state
                .iter()
                .map(|state| StoredState {
                    name: state.name.clone().into_owned(),
                    key: kept(&state.key),
                    value: kept(&state.value),
                })
                .collect(),
            parameters: node
                .parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            side_outputs: node.numbers.queues.len() as u16,
            numbers: StoredNumbers {
                // Of one within a chain it is a number of its own, like that of a stage.
                stage: node
                    .numbers
                    .chained
                    .map_or(node.stage.0.into(), |number| small(CHAINED_FIRST + number)),
                place: place(node),
                source: node.numbers.source.map(small),
                generator: node.numbers.generator.map(small),
                sink: node.numbers.sink.map(small),
            },
        };
        operators.map(operator).collect()
    }

    fn stored_input(&self, input: &PlanInput, uids: &[String]) -> StoredInput {
        let of = self.behind_chains(input);
        let uid = &uids[of.node.0];
        let from = if of.port == 0 { uid.clone() } else { format!("{uid}/{}", of.port) };
        let (how, key) = match &input.partitioning {
            Partitioning::Forward => ("forward", None),
            Partitioning::SameShard => ("same shard", None),
            Partitioning::Key { schema, .. } => ("key", Some(stored(schema))),
            // How many at a time may change.
            Partitioning::InTurn { .. } => ("in turn", None),
        };
        StoredInput { from, how: how.to_owned(), key }
    }
}

/// Of which kind a source is, among its parameters.
pub const SOURCE_KIND: &str = "reads";

/// Notes of which kind the sources of a job are, where the directory is from before that was noted: as they are now, so from the next start on it is
/// known.
pub(crate) fn note_sources(mut manifest: Manifest, now: &[StoredOperator]) -> Manifest {
    let earlier = manifest.earlier.iter_mut().map(|earlier| &mut earlier.job);
    for old in std::iter::once(&mut manifest.job).chain(earlier).flat_map(|job| &mut job.operators) {
        let new = now.iter().find(|new| new.uid == old.uid && new.kind == old.kind);
        if let Some(kind) = new.and_then(|new| new.parameters.get(SOURCE_KIND)) {
            old.parameters.entry(SOURCE_KIND.to_owned()).or_insert_with(|| kind.clone());
        }
    }
    manifest
}

/// The first thing in which the operators of a job are not those that left the state; none if the state is theirs.
pub fn difference(before: &[StoredOperator], now: &[StoredOperator]) -> Option<String> {
    let by_uid = |all: &'_ [StoredOperator]| -> BTreeMap<String, StoredOperator> {
        all.iter().map(|operator| (operator.uid.clone(), operator.clone())).collect()
    };
    let (there, here) = (by_uid(before), by_uid(now));
    // In the order of the program that left it.
    for old in before {
        let Some(new) = here.get(&old.uid) else {
            let renamed = now.iter().find(|new| new.kind == old.kind && !there.contains_key(&new.uid));
            return Some(missing(old, renamed));
        };
        if let Some(differs) = operator_difference(old, new).or_else(|| input_difference(old, new)) {
            return Some(differs);
        }
    }
    if let Some(new) = now.iter().find(|new| !there.contains_key(&new.uid)) {
        return Some(format!(
            "the job has the operator `{}` ({}), which it had not, and there is no state of it",
            new.uid, new.kind
        ));
    }
    let moved = before.iter().zip(now).find(|(old, new)| old.uid != new.uid || old.numbers != new.numbers)?.0;
    Some(format!("the operator `{}` ({}) stands elsewhere in the program", moved.uid, moved.kind))
}

pub(super) fn missing(old: &StoredOperator, renamed: Option<&StoredOperator>) -> String {
    let StoredOperator { uid, kind, .. } = old;
    let gone = format!(
        "the job had the operator `{uid}` ({kind}), which it has no more, and what that has kept would be lost"
    );
    match renamed {
        Some(new) => format!(
            "{gone}; if it is the one that is called `{}` now, give that its uid back: `.uid(\"{uid}\")`, or `.sink_with_uid(\"{uid}\", ..)` \
             for a sink",
            new.uid
        ),
        None => gone,
    }
}

/// The first thing in which an operator, or what it keeps, is not what it was.
pub(super) fn operator_difference(old: &StoredOperator, new: &StoredOperator) -> Option<String> {
    let uid = &old.uid;
    if old.kind != new.kind {
        return Some(format!("the operator `{uid}` was a {} and is a {} now", old.kind, new.kind));
    }
    // Programs of before it was noted do not say of which kind their sources were.
    let is_told = |name: &&String| *name != SOURCE_KIND || old.parameters.contains_key(*name);
    let names = old.parameters.keys().chain(new.parameters.keys()).filter(is_told);
    for name in names {
        let told = |operator: &StoredOperator| match operator.parameters.get(name) {
            Some(value) => format!("{name} {value}"),
            None => format!("no {name}"),
        };
        let (before, now) = (told(old), told(new));
        if before != now {
            return Some(format!("the operator `{uid}` ({}) had {before} where it now has {now}", old.kind));
        }
    }
    for number in 0..old.state.len().max(new.state.len()) {
        let (before, now) = (old.state.get(number), new.state.get(number));
        let name =
            |state: Option<&StoredState>| state.map_or("nothing".to_owned(), |state| state.name.clone());
        if name(before) != name(now) {
            return Some(format!(
                "the operator `{uid}` kept {} where it now keeps {}",
                name(before),
                name(now)
            ));
        }
        let (Some(before), Some(now)) = (before, now) else { continue };
        let what = format!("what `{uid}` keeps (`{}`)", before.name);
        let differs = schema_difference(&what, before.key.as_ref(), now.key.as_ref())
            .or_else(|| schema_difference(&what, before.value.as_ref(), now.value.as_ref()));
        if differs.is_some() {
            return differs;
        }
    }
    None
}

/// The first thing in which what an operator reads is not what it was, or whither its rows go.
fn input_difference(old: &StoredOperator, new: &StoredOperator) -> Option<String> {
    let uid = &old.uid;
    for number in 0..old.inputs.len().max(new.inputs.len()) {
        let (before, now) = (old.inputs.get(number), new.inputs.get(number));
        if let (Some(before), Some(now)) = (before, now)
            && before.from == now.from
            && before.how == now.how
        {
            if let Some(differs) =
                schema_difference(&format!("the key of `{uid}`"), before.key.as_ref(), now.key.as_ref())
            {
                return Some(differs);
            }
            continue;
        }
        let told = |input: Option<&StoredInput>| match input {
            Some(StoredInput { from, how, .. }) => format!("`{from}` ({how})"),
            None => "nothing".to_owned(),
        };
        return Some(format!(
            "the operator `{uid}` ({}) read {} where it now reads {}",
            old.kind,
            told(before),
            told(now)
        ));
    }
    (old.side_outputs != new.side_outputs).then(|| {
        format!("the operator `{uid}` has another number of outputs: late or early records are a stream of their own, or are no more")
    })
}

pub(super) fn schema_difference(
    of: &str,
    before: Option<&StoredSchema>,
    now: Option<&StoredSchema>,
) -> Option<String> {
    if before.map(|schema| &schema.id) == now.map(|schema| &schema.id) {
        return None;
    }
    let text =
        |schema: Option<&StoredSchema>| schema.map_or("nothing".to_owned(), |schema| schema.text.clone());
    let (before, now) = (text(before), text(now));
    let quote =
        |part: &Option<String>| part.as_ref().map_or("nothing".to_owned(), |part| format!("`{part}`"));
    Some(match schema::difference(&before, &now) {
        Some(schema::Difference { within, before: had, now: has }) => format!(
            "the record `{within}` had {} where it now has {}, and what was saved by one would be read wrongly by the other ({of} was \
             \"{before}\" and is \"{now}\" now)",
            quote(&had),
            quote(&has)
        ),
        None => format!("{of} was `{before}` and is `{now}` now"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::change::numbered;
    use super::super::{PlanNode, RowSchema};
    use super::*;
    use pelton_core::StageId;
    use pelton_storage::Job;

    /// Two windows of one source, whose stages are in either order.
    fn plan(
        first: &str,
        second: &str,
        size: &str,
        change: impl Fn(&str, PlanNode) -> PlanNode,
    ) -> Vec<StoredOperator> {
        let mut plan = LogicalPlan::new("job");
        let source = plan.add(PlanNode::new("source", StageId(0)));
        for (stage, uid) in [(1, first), (2, second)] {
            let window = PlanNode::new("window", StageId(stage))
                .input(PlanInput::of(source, Partitioning::key::<u64>(None)))
                .state("panes", RowSchema::of::<u64>(), RowSchema::of::<(u64, String)>())
                .parameter("size", size);
            let node = plan.add(change(uid, window));
            plan.node_mut(node).give_uid(uid);
        }
        plan.fingerprint()
    }

    #[test]
    fn operators_are_compared_by_uid() {
        let same = |_: &str, node| node;
        let before = plan("a", "b", "60s", same);
        assert_eq!(difference(&before, &before), None);
        let moved = plan("b", "a", "60s", same);
        let moved = difference(&before, &numbered(&moved, &[&before])).unwrap();
        assert!(moved.contains("`a` (window) stands elsewhere"), "{moved}");
        let told = |now: &[StoredOperator]| difference(&before, now).unwrap();
        let other = told(&plan("a", "b", "30s", same));
        assert_eq!(other, "the operator `a` (window) had size 60s where it now has size 30s");
        let renamed = told(&plan("a", "c", "60s", same));
        assert!(
            renamed.contains("`b` (window), which it has no more") && renamed.contains(".uid(\"b\")"),
            "{renamed}"
        );
        let b_is = |change: fn(PlanNode) -> PlanNode| {
            told(&plan("a", "b", "60s", move |uid, node| if uid == "b" { change(node) } else { node }))
        };
        assert!(
            b_is(|node| PlanNode { kind: "sort", ..node }).contains("`b` was a window and is a sort now")
        );
        let key = b_is(|mut node| {
            node.inputs[0].partitioning = Partitioning::key::<String>(None);
            node
        });
        assert_eq!(key, "the key of `b` was `u64` and is `String` now");
        let value = b_is(|mut node| {
            node.state[0].value = RowSchema::of::<u64>();
            node
        });
        assert_eq!(value, "what `b` keeps (`panes`) was `(u64, String)` and is `u64` now");
        assert!(
            b_is(|node| node.state("more", RowSchema::None, RowSchema::None))
                .contains("kept nothing where it now keeps more")
        );
        let late = b_is(|mut node| {
            node.numbers.queues.push(0);
            node
        });
        assert!(late.contains("another number of outputs"), "{late}");
    }

    /// What an earlier version did not note is taken as it is.
    #[test]
    fn a_source_is_compared_by_its_kind_where_that_is_known() {
        let plan = |kind: Option<&str>| {
            let mut plan = LogicalPlan::new("job");
            let node = PlanNode::new("source", StageId(0));
            plan.add(match kind {
                Some(kind) => node.parameter(SOURCE_KIND, kind),
                None => node,
            });
            plan.fingerprint()
        };
        assert_eq!(difference(&plan(Some("a list")), &plan(Some("a list"))), None);
        assert_eq!(difference(&plan(None), &plan(Some("a list"))), None);
        let job = Job { operators: plan(None), ..Job::default() };
        let noted = note_sources(Manifest { job, ..Manifest::default() }, &plan(Some("a list")));
        assert_eq!(noted.job.operators, plan(Some("a list")), "from the next start on");
        let other = difference(&plan(Some("a list")), &plan(Some("an inlet"))).unwrap();
        assert!(other.contains("had reads a list where it now has reads an inlet"), "{other}");
    }

    #[test]
    fn one_more_and_one_less_are_named() {
        let both = plan("a", "b", "60s", |_, node| node);
        let one = &both[..2];
        assert!(difference(&both, one).unwrap().contains("the job had the operator `b` (window)"));
        assert!(
            difference(one, &both)
                .unwrap()
                .contains("the job has the operator `b` (window), which it had not")
        );
    }
}
