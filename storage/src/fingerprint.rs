//! What a job's state is state of, as the manifest keeps it: its operators by uid, what they read and keep, and what that depends on.
//!
//! Nothing in it is the name of a type in a program, or a text that was made for people: a schema stands in it as its canonical text and the
//! XXH3 of that. Storage compares nothing: whoever starts a job does.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of what stands in a fingerprint.
pub const FINGERPRINT_VERSION: u32 = 2;

/// The program that a data directory belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// The version of what follows.
    pub fingerprint: u32,
    /// Its operators but the stateless ones.
    pub operators: Vec<StoredOperator>,
    /// The number of partitions of each source, in the order of the program: fixed when the source was there first.
    pub partitions: Vec<u32>,
}

impl Default for Job {
    fn default() -> Self {
        Job {
            name: String::new(),
            fingerprint: FINGERPRINT_VERSION,
            operators: Vec::new(),
            partitions: Vec::new(),
        }
    }
}

/// An operator of the job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredOperator {
    /// By which it is found again.
    pub uid: String,
    /// Whether the program says so. Otherwise it is its kind and its place among those of its kind of which the program says nothing.
    pub given: bool,
    /// What it is: `source`, `window` and so on.
    pub kind: String,
    /// What it reads.
    pub inputs: Vec<StoredInput>,
    /// What it keeps.
    pub state: Vec<StoredState>,
    /// What its state depends on.
    pub parameters: BTreeMap<String, String>,
    /// Streams that it fills besides its main one.
    pub side_outputs: u16,
    /// By which numbers what it keeps is known in logs and snapshots. An operator has them as long as the directory lives.
    pub numbers: StoredNumbers,
}

/// What an operator reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredInput {
    /// The uid of the operator, and its output if it is not the main one: `window-0/1`.
    pub from: String,
    /// How rows get here: `forward`, `same shard`, `key` or `in turn`.
    pub how: String,
    /// By which key.
    pub key: Option<StoredSchema>,
}

/// Something that an operator keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredState {
    /// What it is called within the operator.
    pub name: String,
    /// By what, if it has keys.
    pub key: Option<StoredSchema>,
    /// What, if it is records.
    pub value: Option<StoredSchema>,
}

/// What records are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredSchema {
    /// XXH3 of the text, as 16 hexadecimal digits.
    pub id: String,
    /// The canonical text.
    pub text: String,
}

/// By which numbers what an operator keeps is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredNumbers {
    /// Its stage.
    pub stage: u32,
    /// Its place among the operators of the stage, if exchanges lead to it.
    pub place: Option<u16>,
    /// The source.
    pub source: Option<u32>,
    /// The watermark generator.
    pub generator: Option<u32>,
    /// The sink.
    pub sink: Option<u32>,
}

/// A program that a data directory belonged to before it was changed, and whose checkpoints are still there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierJob {
    /// The last generation of shards that ran it.
    pub through: u32,
    /// What it was.
    pub job: Job,
}
