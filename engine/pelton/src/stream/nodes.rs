//! What the plan says of the nodes that streams add to it.

use pelton_core::operator::WatermarkKind;
use pelton_core::sink::Delivery;
use pelton_core::{EdgeId, StageId};
use pelton_runtime::plan::{NodeNumbers, PlanInput, PlanNode, RowSchema, nanos};

/// Says of a node how it gives records their times.
pub(super) fn timed(node: PlanNode, timing: WatermarkKind) -> PlanNode {
    let node = node.state("watermark", RowSchema::None, RowSchema::Type("of each partition".to_owned()));
    match timing {
        WatermarkKind::Bounded { nanos: bound, idle_nanos, early_nanos } => {
            let mut node = node.setting("out of order by", nanos(bound));
            if early_nanos < i64::MAX {
                node = node.setting("early after", nanos(early_nanos));
            }
            if idle_nanos > 0 {
                let idle = nanos(i64::try_from(idle_nanos).unwrap_or(i64::MAX));
                node = node.setting("idle after", idle).beyond_records(
                    "which partitions are idle follows from the clock, whose readings the log keeps",
                );
            }
            node
        }
        WatermarkKind::Source => node.setting("by", "the source"),
        WatermarkKind::Clock => node.beyond_records(
            "times are those of the clock as records came, which the log keeps: a replay gives the same rows, the same records sent again do not",
        ),
    }
}

/// The node of a union.
#[track_caller]
pub(super) fn united(
    stage: StageId,
    inputs: [PlanInput; 2],
    edges: Vec<EdgeId>,
    queue: usize,
    rows: RowSchema,
) -> PlanNode {
    let [left, right] = inputs;
    let numbers = NodeNumbers { edges, queues: vec![queue], ..NodeNumbers::default() };
    let node = PlanNode::new("union", stage).input(left).input(right).rows(rows).numbers(numbers);
    node.bounded_by("the records of one step")
}

/// Says of a sink what a restart does to its rows.
pub(super) fn delivered(node: PlanNode, delivery: Delivery) -> PlanNode {
    let (often, beyond) = match delivery {
        Delivery::AtMostOnce => (
            "at most once",
            Some("rows that had not been shown by the end of a run that was killed are lost"),
        ),
        Delivery::AtLeastOnce => (
            "at least once",
            Some("after a restart rows since the last checkpoint are shown again, by the same names"),
        ),
        Delivery::ExactlyOnce => ("exactly once", None),
    };
    let node = node.setting("delivery", often);
    match beyond {
        Some(beyond) => node.beyond_records(beyond),
        None => node,
    }
}
