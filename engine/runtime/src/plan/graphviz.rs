//! A plan in the language of Graphviz.

use super::explain::{Explanation, kept, named, what};
use super::{Partitioning, PlanInput};
use std::fmt::Write as _;

/// A string as Graphviz quotes it; every line is set flush left.
fn quoted(lines: &[String]) -> String {
    let mut text = String::from("\"");
    for line in lines {
        text += &line.replace('\\', "\\\\").replace('"', "\\\"");
        if lines.len() > 1 {
            text += "\\l";
        }
    }
    text + "\""
}

fn arrow(input: &PlanInput) -> String {
    let port = if input.port == 0 { String::new() } else { format!("output {}", input.port) };
    match &input.partitioning {
        Partitioning::Forward if port.is_empty() => String::new(),
        Partitioning::Forward => format!(" [label={}]", quoted(&[port])),
        exchange => {
            let port = if port.is_empty() { port } else { port + ", " };
            format!(" [label={}, penwidth=2]", quoted(&[format!("{port}{exchange}")]))
        }
    }
}

pub(super) fn draw(explanation: &Explanation) -> String {
    let Explanation { plan, uids } = explanation;
    let mut drawing = format!(
        "digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n",
        quoted(std::slice::from_ref(&plan.job))
    );
    for (stage, nodes) in explanation.stages() {
        let _ = writeln!(drawing, "  subgraph cluster_{stage} {{\n    label=\"stage {stage}\";");
        for number in nodes {
            let node = &plan.nodes[number];
            let mut lines = vec![uids[number].clone(), what(node)];
            if !node.parameters.is_empty() {
                lines.push(named(&node.parameters));
            }
            lines.extend(node.state.iter().map(|state| format!("keeps {}", kept(state))));
            let _ = writeln!(drawing, "    n{number} [label={}];", quoted(&lines));
        }
        drawing += "  }\n";
    }
    for (number, node) in plan.nodes.iter().enumerate() {
        for input in &node.inputs {
            let _ = writeln!(drawing, "  n{} -> n{number}{};", input.node.0, arrow(input));
        }
    }
    drawing + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_string_is_escaped() {
        assert_eq!(quoted(&["a \"b\" \\c".to_owned()]), r#""a \"b\" \\c""#);
        assert_eq!(quoted(&["a".to_owned(), "b".to_owned()]), r#""a\lb\l""#);
    }
}
