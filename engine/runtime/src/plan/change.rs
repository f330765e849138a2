//! A changed job: what of an earlier program's state belongs to which operator of this one.
//!
//! Operators are matched by uid. Each has numbers by which logs and snapshots know what it keeps, and has them as long as the data directory
//! lives; a new one gets numbers that none has had. So what was kept is found though operators came, went or changed places.
//!
//! | an operator                                            | its state                                                              |
//! |--------------------------------------------------------|------------------------------------------------------------------------|
//! | is what it was, wherever it stands and whatever it reads | is restored                                                          |
//! | keeps records whose fields are others                  | is converted by name, if every value can be: [`Conversion`]            |
//! | is new                                                 | is empty: a source begins at its beginning                             |
//! | is gone, or keeps something else                       | is refused by name, or given up where the configuration says so (`drop_state`) |
//! | has no uid of its own, and they are more or fewer, or read something else | is refused: nobody can tell which is which         |

use super::LogicalPlan;
use super::fingerprint::{missing, operator_difference};
use pelton_core::checkpoint::snapshot::Section;
use pelton_core::record::convert::Conversion;
use pelton_core::stage::graph::{CHAINED_FIRST, Ids};
use pelton_storage::{StoredNumbers, StoredOperator, StoredState};
use std::collections::{BTreeMap, BTreeSet};

/// What a changed job makes of the state of an earlier program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The operators of the job, with the numbers by which this directory knows them.
    pub operators: Vec<StoredOperator>,
    /// What people should know, a sentence each.
    pub notes: Vec<String>,
}

/// Whether it keeps anything from one start to the next that anybody would miss. Whose turn it is in an exchange is nothing of the kind, nor is
/// how far a watermark had come: it comes there again with the next records, and no window that has closed opens again.
fn keeps(operator: &StoredOperator) -> bool {
    let is_missed = |state: &StoredState| !matches!(&*state.name, "turn" | "watermark");
    operator.numbers.sink.is_some() || operator.state.iter().any(is_missed)
}

/// The operator without the schema of what it logs: no log is read by a job that has changed.
fn without_log(operator: &StoredOperator) -> StoredOperator {
    let kept = operator.state.iter().filter(|state| operator.numbers.source.is_none() || state.name != "log");
    StoredOperator { state: kept.cloned().collect(), ..operator.clone() }
}

fn by_uid<'a>(operators: &'a [StoredOperator], uid: &str) -> Option<&'a StoredOperator> {
    operators.iter().find(|operator| operator.uid == uid)
}

/// The operators of a plan, with the numbers that they had in any of the `programs` of before, the newest first.
pub fn numbered(now: &[StoredOperator], programs: &[&[StoredOperator]]) -> Vec<StoredOperator> {
    with_numbers(now, programs, &BTreeSet::new())
}

/// As [`numbered`]; those of `anew` get numbers that none has had.
fn with_numbers(
    now: &[StoredOperator],
    programs: &[&[StoredOperator]],
    anew: &BTreeSet<String>,
) -> Vec<StoredOperator> {
    let before = |uid: &str| {
        let known = programs.iter().find_map(|operators| by_uid(operators, uid));
        known.filter(|_| !anew.contains(uid)).map(|operator| &operator.numbers)
    };
    let all = || programs.iter().copied().flatten().map(|operator| &operator.numbers);
    // A number for each thing that has one: what it was called before, or the next.
    let assign = |of: fn(&StoredNumbers) -> Option<u32>, first: u32| -> BTreeMap<u32, u32> {
        let mut next = all().filter_map(of).max().map_or(first, |last| (last + 1).max(first));
        let (mut assigned, mut taken) = (BTreeMap::new(), BTreeSet::new());
        for operator in now {
            let Some(number) = of(&operator.numbers).filter(|number| !assigned.contains_key(number)) else {
                continue;
            };
            let known = before(&operator.uid).and_then(of).filter(|known| !taken.contains(known));
            let id = known.unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            taken.insert(id);
            assigned.insert(number, id);
        }
        assigned
    };
    // A stage is known by the first operator that exchanges lead to; those within chains have numbers as stages have.
    let stages = assign(|numbers| (numbers.place == Some(0)).then_some(numbers.stage), 1);
    let sources = assign(|numbers| numbers.source, 0);
    let generators = assign(|numbers| numbers.generator, 0);
    let sinks = assign(|numbers| numbers.sink, 0);
    let of = |ids: &BTreeMap<u32, u32>, number: Option<u32>| number.map(|number| ids[&number]);
    let operator = |operator: &StoredOperator| {
        let StoredNumbers { stage, place, source, generator, sink } = operator.numbers;
        let numbers = StoredNumbers {
            stage: stages.get(&stage).copied().unwrap_or(0),
            place,
            source: of(&sources, source),
            generator: of(&generators, generator),
            sink: of(&sinks, sink),
        };
        StoredOperator { numbers, ..operator.clone() }
    };
    now.iter().map(operator).collect()
}

/// The state of a window where overdue records wait, of what its panes have as well: `operator/keyed_windows/waiting.rs`.
const WAITING: usize = 2;

/// The rows in the blocks of a state of an operator, as their schema prints: what can be converted by name, for the kinds of state
/// of which that is known: as `state/arena.rs`, `operator/process/map.rs`, and `state/bag.rs` with `operator/sort.rs`, have them. Of a window the
/// rows that wait are those of `WAITING`.
fn rows_of(kind: &str, state: &StoredState, waiting: bool) -> Option<String> {
    let (key, value) = (&state.key.as_ref()?.text, &state.value.as_ref()?.text);
    match (kind, &*state.name) {
        ("window", "panes") if waiting => Some(format!("(AtPane {{ pane: i64, key: {key} }}, {value})")),
        _ if waiting => None,
        ("window", "panes") => Some(format!("({key}, {value})")),
        // Of a process function the first is called by its kind, and the others by their kind and their number.
        ("process", name) => match name.split(' ').next() {
            Some("state") => Some(format!("({key}, {value})")),
            Some("map") => Some(value.clone()),
            _ => None,
        },
        ("sort", "waiting") => {
            Some(format!("Waiting {{ arrival: u64, hash: u64, row: Held {{ at: i64, record: {value} }} }}"))
        }
        _ => None,
    }
}

/// How what `old` kept becomes what `new` keeps: the number of each state whose rows are converted. If it `may_lose` something, that may be
/// fields and variants that are gone.
///
/// # Errors
/// In what they differ, if it cannot.
fn converted(
    old: &StoredOperator,
    new: &StoredOperator,
    may_lose: bool,
) -> Result<Vec<(usize, Conversion)>, String> {
    let (mut as_new, new) = (without_log(old), without_log(new));
    let mut conversions = Vec::new();
    for (number, (before, now)) in as_new.state.iter_mut().zip(&new.state).enumerate() {
        let same = (&before.name, &before.key) == (&now.name, &now.key) && before.value != now.value;
        let rows_of =
            |waiting| Some((rows_of(&old.kind, before, waiting)?, rows_of(&new.kind, now, waiting)?));
        if let Some((rows, wanted)) = rows_of(false).filter(|_| same) {
            let conversion = Conversion::between(&rows, &wanted).map_err(|why| {
                format!("what `{}` keeps (`{}`) cannot be converted: {why}", old.uid, before.name)
            })?;
            if let Some(lost) = conversion.iter().flat_map(Conversion::losses).next().filter(|_| !may_lose) {
                return Err(format!("what `{}` keeps (`{}`): {lost}", old.uid, before.name));
            }
            conversions.extend(conversion.map(|conversion| (number, conversion)));
            if let Some((rows, wanted)) = rows_of(true) {
                let waiting =
                    Conversion::between(&rows, &wanted).map_err(|why| format!("`{}`: {why}", old.uid))?;
                conversions.extend(waiting.map(|conversion| (WAITING, conversion)));
            }
            before.value.clone_from(&now.value);
        }
    }
    operator_difference(&as_new, &new).map_or(Ok(conversions), Err)
}

/// How blocks that the program `before` left become blocks of the program `now`, whose operators go by the same numbers: those of which sections
/// are converted.
///
/// # Errors
/// When some cannot be.
pub fn conversions(
    before: &[StoredOperator],
    now: &[StoredOperator],
) -> Result<BTreeMap<Section, Conversion>, String> {
    let mut all = BTreeMap::new();
    for old in before {
        let StoredNumbers { stage, place: Some(place), .. } = old.numbers else { continue };
        // One that begins anew is not found by these numbers.
        let Some(new) = by_uid(now, &old.uid).filter(|new| new.numbers == old.numbers) else { continue };
        let first = Section::operator(stage as usize, usize::from(place));
        all.extend(converted(old, new, true)?.into_iter().map(|(state, how)| (first.state(state), how)));
    }
    Ok(all)
}

/// What the operators `now`, as the plan has them, make of the state that those of `before` left; `programs` are all that the directory knows,
/// the newest first. State of operators in `drop_state` may be given up.
///
/// # Errors
/// Why the state does not fit.
pub fn change(
    before: &[StoredOperator],
    now: &[StoredOperator],
    programs: &[&[StoredOperator]],
    drop_state: &[String],
) -> Result<Change, String> {
    unnamed(before, now)?;
    // The program that left the state knows it by its own numbers.
    let programs: Vec<_> = std::iter::once(before).chain(programs.iter().copied()).collect();
    let may_go = |uid: &str| drop_state.iter().any(|drop| drop == uid);
    let (mut notes, mut converts, mut anew) = (Vec::new(), Vec::new(), doubtful(before, now));
    let mut give_up = |uid: &str, why: String| {
        if !may_go(uid) {
            return Err(format!(
                "{why}. To give up what of it does not fit, start once with `drop_state = \"{uid}\"`"
            ));
        }
        notes.push(format!("what `{uid}` had kept is given up, as `drop_state` says: {why}"));
        Ok(())
    };
    for old in before.iter().filter(|old| keeps(old)) {
        match by_uid(now, &old.uid) {
            None => {
                let renamed =
                    now.iter().find(|new| new.kind == old.kind && by_uid(before, &new.uid).is_none());
                give_up(&old.uid, missing(old, renamed))?;
            }
            Some(new) => {
                match converted(old, new, may_go(&old.uid)).and_then(|kept| sides(old, new).map(|()| kept)) {
                    Ok(conversions) => {
                        // What waits beside the panes is converted as they are.
                        let told = |of: &&(usize, Conversion)| old.kind != "window" || of.0 != WAITING;
                        let said =
                            conversions.iter().filter(told).flat_map(|(_, conversion)| conversion.notes());
                        converts.extend(said.map(|note| format!("what `{}` has kept: {note}", old.uid)));
                    }
                    Err(differs) => {
                        give_up(&old.uid, differs)?;
                        anew.insert(old.uid.clone());
                    }
                }
            }
        }
    }
    let operators = with_numbers(now, &programs, &anew);
    // A sink is found in whatever stage it is.
    let found = |StoredNumbers { stage, place, source, sink, .. }: &StoredNumbers| {
        (place.map(|place| (*stage, place)), *source, *sink)
    };
    for old in before.iter().filter(|old| keeps(old) && !anew.contains(&old.uid)) {
        let new = by_uid(&operators, &old.uid).filter(|new| found(&new.numbers) != found(&old.numbers));
        assert!(new.is_none(), "`{}` has other numbers than the program that left its state", old.uid);
    }
    notes.extend(converts);
    let is_new = |operator: &&StoredOperator| keeps(operator) && by_uid(before, &operator.uid).is_none();
    let begins = |operator: &StoredOperator| {
        format!("the operator `{}` ({}) is new, and begins with nothing", operator.uid, operator.kind)
    };
    notes.extend(operators.iter().filter(is_new).map(begins));
    Ok(Change { operators, notes })
}

/// Whether what an operator reads is what it read.
fn reads_the_same(old: &StoredOperator, new: &StoredOperator) -> bool {
    old.inputs == new.inputs
}

/// Whether the inputs of an operator have not changed sides: what it keeps of one would be taken for what it keeps of another.
fn sides(old: &StoredOperator, new: &StoredOperator) -> Result<(), String> {
    for (number, input) in old.inputs.iter().enumerate() {
        let other = new.inputs.iter().position(|other| other.from == input.from);
        if let Some(other) = other.filter(|other| *other != number && new.inputs[number].from != input.from) {
            let (uid, kind, from) = (&old.uid, &old.kind, &input.from);
            return Err(format!(
                "the operator `{uid}` ({kind}) read `{from}` as its input {number}, and reads it as its input {other} now"
            ));
        }
    }
    Ok(())
}

/// Operators that have nothing anybody would miss, and of which it is not certain that they are those of before: they begin anew. So does a
/// watermark generator that is called after one of them.
fn doubtful(before: &[StoredOperator], now: &[StoredOperator]) -> BTreeSet<String> {
    let mut doubtful = BTreeSet::new();
    // Inputs come before what reads them.
    for new in now.iter().filter(|new| !new.given && !keeps(new)) {
        let after_doubtful = new.numbers.generator.is_some()
            && new
                .inputs
                .iter()
                .any(|input| doubtful.contains(input.from.split('/').next().unwrap_or_default()));
        let is_another = by_uid(before, &new.uid).is_some_and(|old| !reads_the_same(old, new));
        if after_doubtful || is_another {
            doubtful.insert(new.uid.clone());
        }
    }
    doubtful
}

/// Whether operators without a uid of their own can be told from each other: those of a kind are as many as before, and read what they read.
fn unnamed(before: &[StoredOperator], now: &[StoredOperator]) -> Result<(), String> {
    const WAY_ON: &str = "give every one of them a uid, those of before the one that they had (`.uid(..)`, or `.sink_with_uid(..)` for a sink)";
    for operator in before.iter().chain(now) {
        let kind = &operator.kind;
        let of = |operators: &[StoredOperator]| -> BTreeSet<String> {
            let unnamed =
                operators.iter().filter(|other| other.kind == *kind && !other.given && keeps(other));
            unnamed.map(|operator| operator.uid.clone()).collect()
        };
        // One that has been given the uid that it had anyway is told by it.
        let given = |uid: &String| by_uid(now, uid).is_some_and(|operator| operator.given);
        let (had, has) = (of(before), of(now));
        let had: BTreeSet<String> = had.into_iter().filter(|uid| !given(uid)).collect();
        // Where there was none, or is none, there is no doubt either.
        if had != has && !had.is_empty() && !has.is_empty() {
            let list = |uids: BTreeSet<String>| {
                let uids: Vec<String> = uids.iter().map(|uid| format!("`{uid}`")).collect();
                uids.join(", ")
            };
            return Err(format!(
                "the job had other operators ({kind}) without a uid than it has now ({} and {}), so that nobody can tell which is which: {WAY_ON}",
                list(had),
                list(has)
            ));
        }
        for uid in &has {
            if let (Some(old), Some(new)) = (by_uid(before, uid), by_uid(now, uid))
                && !reads_the_same(old, new)
            {
                return Err(format!(
                    "the operators ({kind}) without a uid read other streams than before, so that nobody can tell which is which: {WAY_ON}"
                ));
            }
        }
    }
    Ok(())
}

/// By which numbers the graph of `plan` is known, where `operators` are its operators with theirs.
pub fn ids(plan: &LogicalPlan, operators: &[StoredOperator]) -> Ids {
    let mut ids = Ids::default();
    let known = |list: &mut Vec<u32>, number: u32, id: u32| {
        let number = number as usize;
        (list.len()..=number).for_each(|missing| list.push(missing as u32));
        list[number] = id;
    };
    for (raw, operator) in plan.fingerprint().iter().zip(operators) {
        assert_eq!(raw.uid, operator.uid, "the operators of another plan");
        let (from, to) = (&raw.numbers, &operator.numbers);
        if from.place == Some(0) {
            match from.stage.checked_sub(CHAINED_FIRST as u32) {
                Some(chained) => {
                    assert_eq!(
                        chained as usize,
                        ids.chained.len(),
                        "operators within chains are numbered in order"
                    );
                    ids.chained.push(to.stage);
                }
                None => known(&mut ids.stages, from.stage, to.stage),
            }
        }
        let pairs = [
            (&mut ids.sources, from.source, to.source),
            (&mut ids.generators, from.generator, to.generator),
            (&mut ids.sinks, from.sink, to.sink),
        ];
        for (list, from, to) in pairs {
            if let (Some(from), Some(to)) = (from, to) {
                known(list, from, to);
            }
        }
    }
    ids
}

#[cfg(test)]
mod tests;
