//! Who waits for time to pass, and who keeps it from passing: why no row has come.
//!
//! Read from what cores write anyway: each generator notes where its partitions are, and each stage where it is. Nothing is asked
//! of a core.

use crate::job::JobPlan;
use pelton_core::stage::context::WatermarkOrigin;
use pelton_core::stage::graph::Edge;
use pelton_core::stats::{HeardState, ShardStats};
use pelton_core::{EventTime, Nanos, StageId};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// An operator that waits for a watermark, and what holds it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The operator, as it is called in reports.
    pub operator: String,
    /// How far time has passed there, on the shard that is furthest behind: [`EventTime::MIN`] before it begins to, [`EventTime::MAX`] after the
    /// end of the input.
    pub watermark: EventTime,
    /// What holds it back; none when every partition that could is idle or has ended.
    pub held_by: Option<HeldBy>,
}

/// What holds a watermark back: of all that count, the one that is furthest behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBy {
    /// What is heard: a source, or behind an exchange the input of a stage on one shard.
    pub origin: Origin,
    /// How far that is. [`EventTime::MIN`] when it has said nothing yet.
    pub watermark: EventTime,
    /// When it came there, on the driver's clock, which goes on where it was when a job with durability is started again.
    pub since: Nanos,
    /// How long it has been there by now.
    pub since_ago: Duration,
}

/// What a watermark comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A partition of a source: the number of the source in the job, and that of the partition.
    Source {
        /// In the order in which the job named them.
        source: usize,
        /// From 0 on.
        partition: u32,
    },
    /// Where the event time is set behind an exchange: all that reaches a stage on one shard.
    Stage {
        /// The stage.
        stage: u16,
        /// The shard.
        shard: u16,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Source { source, partition } => write!(f, "partition {partition} of source {source}"),
            Origin::Stage { stage, shard } => write!(f, "what reaches stage {stage} on shard {shard}"),
        }
    }
}

/// A watermark for people.
struct At(EventTime);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            EventTime::MIN => f.write_str("nowhere yet"),
            EventTime::MAX => f.write_str("at the end"),
            EventTime(nanos) => {
                write!(f, "at {}.{:09} s", nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000))
            }
        }
    }
}

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ago = self.since_ago.as_secs_f64();
        match self.watermark {
            EventTime::MIN => write!(f, "{}, which has said nothing for {ago:.1} s", self.origin),
            watermark => write!(f, "{}, which is {} for {ago:.1} s", self.origin, At(watermark)),
        }
    }
}

/// ```text
/// source 0 > event_time > window: at 1700000000.000000000 s, held back by partition 3 of source 1, which has said nothing for 41.0 s
/// ```
impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operator, At(self.watermark))?;
        match &self.held_by {
            Some(held_by) => write!(f, ", held back by {held_by}"),
            None if self.watermark == EventTime::MAX => Ok(()),
            None => f.write_str(", held back by nobody: whoever might is idle or has ended"),
        }
    }
}

/// What of a job has to do with waiting.
#[derive(Debug)]
pub(crate) struct Waits {
    operators: Vec<(StageId, String)>,
    edges: Vec<Edge>,
    /// The stage of each generator.
    generators: Vec<StageId>,
}

impl Waits {
    pub(crate) fn of(plan: &JobPlan) -> Self {
        Waits {
            operators: plan.waits.iter().map(|(stage, label)| (*stage, label.get())).collect(),
            edges: plan.graph.edges.clone(),
            generators: plan.graph.generators.iter().map(|generator| generator.stage).collect(),
        }
    }

    /// The generators that a stage hears in the end.
    fn heard_by(&self, stage: StageId) -> Vec<usize> {
        let (mut stages, mut generators, mut next) = (vec![stage], Vec::new(), 0);
        while let Some(&stage) = stages.get(next) {
            next += 1;
            for edge in self.edges.iter().filter(|edge| edge.to == stage) {
                for origin in &edge.origins {
                    match *origin {
                        WatermarkOrigin::Generator(index) => generators.push(index),
                        WatermarkOrigin::Input if !stages.contains(&edge.from) => stages.push(edge.from),
                        WatermarkOrigin::Input => {}
                    }
                }
            }
        }
        generators
    }

    /// Who waits now; `now` is the driver's clock.
    pub(crate) fn read(&self, stats: &[Arc<ShardStats>], now: Nanos) -> Vec<Waiting> {
        let waiting = |(stage, operator): &(StageId, String)| {
            let lines = stats.iter().filter_map(|stats| stats.stages.get(usize::from(stage.0)));
            let watermark = lines.map(|line| line.get()).min().unwrap_or(EventTime::MIN);
            let generators = self.heard_by(*stage);
            let heard = stats
                .iter()
                .enumerate()
                .flat_map(|(shard, stats)| stats.heard.iter().map(move |line| (shard, stats, line)));
            let counts = heard.filter(|(.., line)| {
                generators.contains(&line.generator) && line.state() == HeardState::Counts
            });
            let held_by = counts.map(|(shard, stats, line)| {
                let (stage, since) = (self.generators[line.generator], line.since());
                let origin = match stage {
                    StageId(0) => {
                        Origin::Source { source: (line.name >> 32) as usize, partition: line.name as u32 }
                    }
                    StageId(stage) => Origin::Stage { stage, shard: shard as u16 },
                };
                let ago = (now.0 + stats.clock_offset()).saturating_sub(since.0);
                HeldBy { origin, watermark: line.watermark(), since, since_ago: Duration::from_nanos(ago) }
            });
            let held_by = held_by.min_by_key(|held_by| (held_by.watermark, held_by.since));
            Waiting { operator: operator.clone(), watermark, held_by }
        };
        self.operators.iter().map(waiting).collect()
    }
}
