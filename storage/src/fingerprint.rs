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
    /// The number of partitions of each source, fixed when the directory was made.
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
    /// What it is: `source`, `window` and so on.
    pub kind: String,
    /// What it reads.
    pub inputs: Vec<StoredInput>,
    /// What it keeps.
    pub state: Vec<StoredState>,
    /// What its state depends on.
    pub parameters: BTreeMap<String, String>,
    /// Where the graph had it when the directory was made: these numbers stand in logs and snapshots.
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

/// The numbers that the graph of a job has for an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredNumbers {
    /// The stage.
    pub stage: u16,
    /// The source.
    pub source: Option<u32>,
    /// The exchanges that lead to it.
    pub edges: Vec<u16>,
    /// The queues that it puts rows into.
    pub queues: Vec<u32>,
    /// The watermark generator.
    pub generator: Option<u32>,
}
