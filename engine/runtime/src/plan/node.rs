//! A node of a plan: one operator, and what there is to know of it before it runs.

use super::NodeId;
use pelton_core::record::schema::Schema;
use pelton_core::{EdgeId, Key, Record, StageId};
use std::borrow::Cow;
use std::fmt;
use std::panic::Location;

/// Where in a program something was said.
type Place = &'static Location<'static>;

/// What rows are made of.
#[derive(Clone, Debug, Default)]
pub enum RowSchema {
    /// Records: what may cross an exchange and be kept.
    Schema(&'static Schema),
    /// Any other type, by the name that it has for people. It is never compared.
    Type(String),
    /// There are none.
    #[default]
    None,
}

impl RowSchema {
    /// The schema of records.
    pub fn of<T: Record>() -> Self {
        RowSchema::Schema(T::SCHEMA)
    }

    /// The name of a type, without those of modules.
    pub fn named<T>() -> Self {
        let (mut alone, mut path) = (String::new(), String::new());
        for letter in std::any::type_name::<T>().chars() {
            if letter.is_alphanumeric() || matches!(letter, '_' | ':' | '{' | '}' | '#') {
                path.push(letter);
            } else {
                alone.push_str(path.rsplit("::").next().unwrap_or(&path));
                alone.push(letter);
                path.clear();
            }
        }
        RowSchema::Type(alone + path.rsplit("::").next().unwrap_or(&path))
    }
}

impl fmt::Display for RowSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowSchema::Schema(schema) => schema.fmt(f),
            RowSchema::Type(name) => f.write_str(name),
            RowSchema::None => f.write_str("nothing"),
        }
    }
}

/// Which shard gets a record.
#[derive(Clone, Debug)]
pub enum Partitioning {
    /// The one that it is on: no exchange.
    Forward,
    /// The one that it is on, in another stage.
    SameShard,
    /// That of its key.
    Key {
        /// The key.
        schema: &'static Schema,
        /// Where the closure is that takes it from a record.
        at: Option<Place>,
    },
    /// Each in turn.
    InTurn {
        /// So many records go to one before it is the next one's turn.
        chunk: usize,
    },
}

impl Partitioning {
    /// By a key of type `K`, which the closure at `at` takes from a record.
    pub fn key<K: Key>(at: Option<Place>) -> Self {
        Partitioning::Key { schema: K::SCHEMA, at }
    }
}

impl fmt::Display for Partitioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Partitioning::Forward => f.write_str("forward"),
            Partitioning::SameShard => f.write_str("each shard to itself"),
            Partitioning::Key { schema, .. } => write!(f, "by key {schema}"),
            Partitioning::InTurn { chunk: 1 } => f.write_str("in turn"),
            Partitioning::InTurn { chunk } => write!(f, "in turn, {chunk} at a time"),
        }
    }
}

/// What a node reads.
#[derive(Clone, Debug)]
pub struct PlanInput {
    /// Of which node.
    pub node: NodeId,
    /// Which of its outputs: 0 is the main one, others are late or early records, and the second stream of a fork.
    pub port: u16,
    /// How rows get here.
    pub partitioning: Partitioning,
    /// What crosses, if it is not what the other node puts out: an aggregate needs less than whole records.
    pub crossing: Option<RowSchema>,
}

impl PlanInput {
    /// All of the main output of `node`.
    pub fn of(node: NodeId, partitioning: Partitioning) -> Self {
        PlanInput { node, port: 0, partitioning, crossing: None }
    }

    /// Says what crosses.
    #[must_use]
    pub fn crossing(self, rows: RowSchema) -> Self {
        PlanInput { crossing: Some(rows), ..self }
    }
}

/// Something that an operator keeps from one tick to the next.
#[derive(Clone, Debug)]
pub struct PlanState {
    /// What it is called within the operator.
    pub name: Cow<'static, str>,
    /// By what; [`RowSchema::None`] where there are no keys.
    pub key: RowSchema,
    /// What.
    pub value: RowSchema,
}

/// A stateless operator within a chain.
#[derive(Clone, Copy, Debug)]
pub struct Fused {
    /// What it is.
    pub kind: &'static str,
    /// Where its closure is.
    pub at: Place,
}

/// Under which numbers the graph has a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeNumbers {
    /// The source.
    pub source: Option<usize>,
    /// Its place among the operators within chains.
    pub chained: Option<usize>,
    /// The exchanges that lead to it, in the order of its inputs.
    pub edges: Vec<EdgeId>,
    /// The queues that it puts rows into, in the order of its outputs.
    pub queues: Vec<usize>,
    /// The watermark generator.
    pub generator: Option<usize>,
    /// The sink.
    pub sink: Option<usize>,
}

/// An operator of a job, or a chain of stateless ones.
#[derive(Clone, Debug)]
pub struct PlanNode {
    /// What it is: `source`, `window`, `sink` and so on; `chain` for stateless operators that were fused.
    pub kind: &'static str,
    /// The stage that it is in.
    pub stage: StageId,
    /// Where in the program it was made.
    pub at: Place,
    /// What it reads.
    pub inputs: Vec<PlanInput>,
    /// What its main output is.
    pub rows: RowSchema,
    /// What it keeps.
    pub state: Vec<PlanState>,
    /// What its state depends on, by name, in a form that does not change from one version to the next.
    pub parameters: Vec<(&'static str, String)>,
    /// What may be another at every start, for people.
    pub settings: Vec<(&'static str, String)>,
    /// For a chain: the operators.
    pub fused: Vec<Fused>,
    /// What bounds its memory, where that is known.
    pub bounded_by: Option<String>,
    /// What its output follows from besides the records, and what comes of it.
    pub beyond_records: Option<String>,
    /// Where the graph has it.
    pub numbers: NodeNumbers,
    /// The uids that it was given, with the places where that was said.
    pub(super) given: Vec<(String, Place)>,
}

impl PlanNode {
    /// A node that says nothing of itself yet, made where this is called.
    #[track_caller]
    pub fn new(kind: &'static str, stage: StageId) -> Self {
        PlanNode {
            kind,
            stage,
            at: Location::caller(),
            inputs: Vec::new(),
            rows: RowSchema::None,
            state: Vec::new(),
            parameters: Vec::new(),
            settings: Vec::new(),
            fused: Vec::new(),
            bounded_by: None,
            beyond_records: None,
            numbers: NodeNumbers::default(),
            given: Vec::new(),
        }
    }

    /// A chain of stateless operators, made where the last of them was.
    ///
    /// # Panics
    /// When there are none.
    pub fn chain(stage: StageId, fused: Vec<Fused>) -> Self {
        let Some(last) = fused.last() else { panic!("a chain has operators") };
        PlanNode { at: last.at, fused, ..PlanNode::new("chain", stage) }
    }

    /// Adds an input.
    #[must_use]
    pub fn input(mut self, input: PlanInput) -> Self {
        self.inputs.push(input);
        self
    }

    /// Says what its main output is.
    #[must_use]
    pub fn rows(self, rows: RowSchema) -> Self {
        PlanNode { rows, ..self }
    }

    /// Adds something that it keeps.
    #[must_use]
    pub fn state(mut self, name: impl Into<Cow<'static, str>>, key: RowSchema, value: RowSchema) -> Self {
        self.state.push(PlanState { name: name.into(), key, value });
        self
    }

    /// Adds something that its state depends on.
    #[must_use]
    pub fn parameter(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.parameters.push((name, value.into()));
        self
    }

    /// Adds something that may be another at the next start.
    #[must_use]
    pub fn setting(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    /// Says what bounds its memory.
    #[must_use]
    pub fn bounded_by(self, what: impl Into<String>) -> Self {
        PlanNode { bounded_by: Some(what.into()), ..self }
    }

    /// Says what its output follows from besides the records.
    #[must_use]
    pub fn beyond_records(self, what: impl Into<String>) -> Self {
        PlanNode { beyond_records: Some(what.into()), ..self }
    }

    /// Says where the graph has it.
    #[must_use]
    pub fn numbers(self, numbers: NodeNumbers) -> Self {
        PlanNode { numbers, ..self }
    }

    /// Gives it a uid, where this is called.
    #[track_caller]
    pub fn give_uid(&mut self, uid: &str) {
        self.given.push((uid.to_owned(), Location::caller()));
    }
}

/// A number of nanoseconds in the largest unit of which it is a whole number: what a plan says of times.
///
/// ```
/// use pelton_runtime::plan::nanos;
/// assert_eq!(nanos(60_000_000_000), "60s");
/// assert_eq!(nanos(1_500_000), "1500us");
/// assert_eq!(nanos(0), "0s");
/// ```
pub fn nanos(nanos: i64) -> String {
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];
    let fits = units.iter().find(|(_, unit)| nanos % unit == 0);
    let (name, unit) = fits.unwrap_or_else(|| unreachable!("everything is a whole number of nanoseconds"));
    format!("{}{name}", nanos / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types_have_no_modules() {
        let named = RowSchema::named::<Vec<(std::time::Duration, Option<std::string::String>)>>();
        assert_eq!(named.to_string(), "Vec<(Duration, Option<String>)>");
        assert_eq!(RowSchema::of::<Vec<u64>>().to_string(), "Vec<u64>");
    }
}
