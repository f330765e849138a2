use super::super::{NodeNumbers, Partitioning, PlanInput, PlanNode, RowSchema};
use super::*;
use pelton_core::{EdgeId, StageId};
use pelton_storage::StoredInput;

/// A source, a generator, and windows of it by uid and size, each in a stage of its own and with a sink; those without a uid are `""`.
fn plan(windows: &[(&str, &str)]) -> LogicalPlan {
    let mut plan = LogicalPlan::new("job");
    let add = |plan: &mut LogicalPlan, node: PlanNode, uid: &str| {
        let id = plan.add(node);
        if !uid.is_empty() {
            plan.node_mut(id).give_uid(uid);
        }
        id
    };
    let numbers = NodeNumbers { source: Some(0), ..NodeNumbers::default() };
    let source = PlanNode::new("source", StageId(0)).numbers(numbers);
    let source = add(&mut plan, source.state("positions", RowSchema::None, RowSchema::None), "numbers");
    for (number, (uid, size)) in windows.iter().enumerate() {
        let stage = StageId(number as u16 + 1);
        let window = PlanNode::new("window", stage)
            .input(PlanInput::of(source, Partitioning::key::<u64>(None)))
            .state("panes", RowSchema::of::<u64>(), RowSchema::of::<(u64, String)>())
            .parameter("size", *size)
            .numbers(NodeNumbers { edges: vec![EdgeId(number as u16)], ..NodeNumbers::default() });
        let window = add(&mut plan, window, uid);
        let numbers = NodeNumbers { sink: Some(number), ..NodeNumbers::default() };
        let sink =
            PlanNode::new("sink", stage).input(PlanInput::of(window, Partitioning::Forward)).numbers(numbers);
        let uid = if uid.is_empty() { String::new() } else { format!("{uid}-rows") };
        add(&mut plan, sink, &uid);
    }
    plan
}

fn operators(windows: &[(&str, &str)]) -> Vec<StoredOperator> {
    plan(windows).fingerprint()
}

fn stage(operators: &[StoredOperator], uid: &str) -> (u32, Option<u32>) {
    let sink = by_uid(operators, &format!("{uid}-rows")).unwrap().numbers.sink;
    (by_uid(operators, uid).unwrap().numbers.stage, sink)
}

#[test]
fn operators_keep_their_numbers_whatever_comes_before_them() {
    let first = numbered(&operators(&[("a", "60s"), ("b", "60s")]), &[]);
    assert_eq!((stage(&first, "a"), stage(&first, "b")), ((1, Some(0)), (2, Some(1))));
    let change = |before: &[StoredOperator],
                  now: &[(&str, &str)],
                  programs: &[&[StoredOperator]],
                  drop: &[String]| { change(before, &operators(now), programs, drop) };
    // One more in front, and the others the other way round.
    let second = change(&first, &[("c", "1s"), ("b", "60s"), ("a", "60s")], &[&first], &[]).unwrap();
    assert_eq!(
        second.notes,
        [
            "the operator `c` (window) is new, and begins with nothing",
            "the operator `c-rows` (sink) is new, and begins with nothing"
        ]
    );
    let second = second.operators;
    assert_eq!((stage(&second, "a"), stage(&second, "b")), ((1, Some(0)), (2, Some(1))));
    assert_eq!(stage(&second, "c"), (3, Some(2)));
    // One that goes has to be named, and what comes then does not get its numbers, for savepoints still have its state.
    let gone = change(
        &second,
        &[("b", "60s"), ("d", "60s")],
        &[&second, &first],
        &["a".into(), "a-rows".into(), "c".into()],
    );
    assert!(gone.unwrap_err().contains("`c-rows` (sink), which it has no more"));
    let drop: Vec<String> = ["a", "a-rows", "c", "c-rows"].map(str::to_owned).into();
    let third = change(&second, &[("b", "60s"), ("d", "60s")], &[&second, &first], &drop).unwrap();
    assert_eq!(third.notes.len(), 6, "{:?}", third.notes);
    let third = third.operators;
    assert_eq!((stage(&third, "b"), stage(&third, "d")), ((2, Some(1)), (4, Some(3))));
    // Back to a savepoint of the first: its operators are known.
    let back = change(&first, &[("a", "60s"), ("b", "60s")], &[&third, &second, &first], &[]).unwrap();
    assert_eq!((back.operators, back.notes), (first, Vec::new()));
}

#[test]
fn what_keeps_something_else_is_refused_or_begins_anew() {
    let before = numbered(&operators(&[("a", "60s"), ("b", "60s")]), &[]);
    let now = operators(&[("a", "30s"), ("b", "60s")]);
    let refused = change(&before, &now, &[&before], &["b".into()]).unwrap_err();
    assert_eq!(
        refused,
        "the operator `a` (window) had size 60s where it now has size 30s. To give up what of it does not fit, start once with `drop_state = \"a\"`"
    );
    let change = change(&before, &now, &[&before], &["a".into()]).unwrap();
    assert_eq!(
        change.notes,
        [
            "what `a` had kept is given up, as `drop_state` says: the operator `a` (window) had size 60s where it now has size 30s"
        ]
    );
    // What `a` had kept is not found by what it is called now; where its rows go is what it was.
    assert_eq!((stage(&change.operators, "a"), stage(&change.operators, "b")), ((3, Some(0)), (2, Some(1))));
    // The permission does nothing where the state fits.
    let same =
        super::change(&before, &operators(&[("a", "60s"), ("b", "60s")]), &[&before], &["a".into()]).unwrap();
    assert_eq!((same.operators, same.notes), (before, Vec::new()));
}

#[test]
fn operators_without_uids_are_told_only_where_there_is_no_doubt() {
    let one = numbered(&operators(&[("", "60s")]), &[]);
    let two = operators(&[("", "60s"), ("", "60s")]);
    let doubt = change(&one, &two, &[&one], &[]).unwrap_err();
    assert!(
        doubt.contains(
            "other operators (window) without a uid than it has now (`window-0` and `window-0`, `window-1`)"
        ),
        "{doubt}"
    );
    // The old one is given the name that it had, and so is its sink.
    let mut named = plan(&[("", "60s"), ("other", "60s")]);
    let of = |plan: &LogicalPlan, kind: &str| {
        let mut nodes = (0..plan.nodes().len()).filter(|node| plan.nodes()[*node].kind == kind);
        super::super::NodeId(nodes.next().unwrap())
    };
    for (kind, uid) in [("window", "window-0"), ("sink", "sink-0")] {
        let node = of(&named, kind);
        named.node_mut(node).give_uid(uid);
    }
    let change = change(&one, &named.fingerprint(), &[&one], &[]).unwrap();
    assert_eq!(by_uid(&change.operators, "window-0").unwrap().numbers.stage, 1);
    assert_eq!(by_uid(&change.operators, "other").unwrap().numbers.stage, 2);
}

#[test]
fn the_graph_knows_its_operators_by_their_numbers() {
    let first = numbered(&operators(&[("a", "60s"), ("b", "60s")]), &[]);
    let now = plan(&[("c", "1s"), ("b", "60s"), ("a", "60s")]);
    let ids = ids(&now, &numbered(&now.fingerprint(), &[&first]));
    assert_eq!((ids.stages, ids.sinks, ids.sources), (vec![0, 3, 2, 1], vec![2, 1, 0], vec![0]));
}

#[test]
fn a_savepoint_is_gone_back_to_after_state_was_given_up() {
    let first = numbered(&operators(&[("a", "60s")]), &[]);
    let drop = ["a".to_owned()];
    let second = change(&first, &operators(&[("a", "30s")]), &[&first], &drop).unwrap().operators;
    assert_eq!(stage(&second, "a").0, 2);
    let back = change(&first, &operators(&[("a", "60s")]), &[&second, &first], &[]).unwrap();
    assert_eq!((back.operators, back.notes), (first, Vec::new()));
}

/// Two sources that are named, and what is said of each: with a window, or with an exchange and a generator behind it.
fn pipelines(sources: [&str; 2], windows: bool) -> Vec<StoredOperator> {
    let mut plan = LogicalPlan::new("job");
    for (number, uid) in sources.into_iter().enumerate() {
        let numbers = NodeNumbers { source: Some(number), ..NodeNumbers::default() };
        let source = PlanNode::new("source", StageId(0)).numbers(numbers);
        let source = plan.add(source.state("positions", RowSchema::None, RowSchema::None));
        plan.node_mut(source).give_uid(uid);
        let numbers = NodeNumbers { edges: vec![EdgeId(number as u16)], ..NodeNumbers::default() };
        let stage = StageId(number as u16 + 1);
        if windows {
            let input = PlanInput::of(source, Partitioning::key::<u64>(None));
            let window = PlanNode::new("window", stage).input(input).numbers(numbers);
            plan.add(window.state("panes", RowSchema::of::<u64>(), RowSchema::of::<u64>()));
        } else {
            let input = PlanInput::of(source, Partitioning::InTurn { chunk: 1 });
            let exchange = PlanNode::new("rebalance", stage).input(input).numbers(numbers);
            let exchange = plan.add(exchange.state("turn", RowSchema::None, RowSchema::None));
            let numbers = NodeNumbers { generator: Some(number), ..NodeNumbers::default() };
            let times = PlanNode::new("event_time", stage).numbers(numbers);
            let times = times.input(PlanInput::of(exchange, Partitioning::Forward));
            plan.add(times.state("watermark", RowSchema::None, RowSchema::None));
        }
    }
    plan.fingerprint()
}

#[test]
fn operators_without_uids_that_read_other_streams_are_not_guessed() {
    let before = numbered(&pipelines(["orders", "clicks"], true), &[]);
    let swapped = pipelines(["clicks", "orders"], true);
    let refused = change(&before, &swapped, &[&before], &[]).unwrap_err();
    assert!(refused.contains("operators (window) without a uid read other streams than before"), "{refused}");
    // What nobody would miss begins anew: the watermark of one stream is not taken for the other's.
    let before = numbered(&pipelines(["orders", "clicks"], false), &[]);
    let swapped =
        change(&before, &pipelines(["clicks", "orders"], false), &[&before], &[]).unwrap().operators;
    let numbers = |operators: &[StoredOperator], uid: &str| by_uid(operators, uid).unwrap().numbers.clone();
    let times = |number| format!("rebalance-{number}.event_time");
    let had: Vec<_> = (0..2).map(|number| numbers(&before, &times(number)).generator).collect();
    assert_eq!(had, [Some(0), Some(1)]);
    let has: Vec<_> = (0..2).map(|number| numbers(&swapped, &times(number)).generator).collect();
    assert_eq!(has, [Some(2), Some(3)]);
    assert_eq!(numbers(&swapped, "orders").source, Some(0));
}

#[test]
fn sides_that_were_swapped_are_not_taken_for_each_other() {
    let join = |left: &str, right: &str| StoredOperator {
        inputs: [left, right]
            .map(|from| StoredInput { from: from.to_owned(), ..StoredInput::default() })
            .into(),
        ..StoredOperator { uid: "j".to_owned(), kind: "join".to_owned(), ..StoredOperator::default() }
    };
    assert!(
        sides(&join("a", "b"), &join("b", "a"))
            .unwrap_err()
            .contains("read `a` as its input 0, and reads it as its input 1")
    );
    for same in [join("a", "b"), join("fork-0", "b"), join("a", "fork-0/1")] {
        assert_eq!(sides(&join("a", "b"), &same), Ok(()));
    }
    // A join of a stream with itself.
    assert_eq!(sides(&join("a", "a"), &join("a", "a")), Ok(()));
}

#[test]
fn what_waits_of_a_window_is_converted_as_its_panes_are() {
    let windows = |value: RowSchema| {
        let mut plan = LogicalPlan::new("job");
        let numbers = NodeNumbers { source: Some(0), ..NodeNumbers::default() };
        let source = plan.add(PlanNode::new("source", StageId(0)).numbers(numbers));
        let window = PlanNode::new("window", StageId(1))
            .input(PlanInput::of(source, Partitioning::key::<u64>(None)))
            .state("panes", RowSchema::of::<u64>(), value)
            .numbers(NodeNumbers { edges: vec![EdgeId(0)], ..NodeNumbers::default() });
        let window = plan.add(window);
        plan.node_mut(window).give_uid("counts");
        numbered(&plan.fingerprint(), &[])
    };
    let (before, now) = (windows(RowSchema::of::<(u32, bool)>()), windows(RowSchema::of::<(u64, bool)>()));
    let converted = conversions(&before, &now).unwrap();
    let first = Section::operator(1, 0);
    assert_eq!(converted.into_keys().collect::<Vec<_>>(), [first.state(0), first.state(WAITING)]);
    let notes = change(&before, &now, &[&before], &[]).unwrap().notes;
    assert_eq!(notes.len(), 1, "what waits is told with the panes: {notes:?}");
}
