//! Stateful operators: behind exchanges, and within chains.

use super::ShardBuilder;
use crate::exchange::partition::{Keyed, Timed};
use crate::ids::{EdgeId, StageId};
use crate::operator::chained::Chained;
use crate::operator::push::Push;
use crate::operator::{Operator, Pass, Port};
use crate::record::Record;
use crate::record::key::Key;
use crate::stage::context::StageContext;
use crate::state::memory::Memory;
use crate::state::store::StateStore;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Where a stateful operator is built, and what it may use there.
pub struct OperatorContext {
    /// What the segments of its stage share.
    pub context: Rc<StageContext>,
    /// Its state.
    pub store: Rc<StateStore>,
    /// Where whatever else it keeps lives.
    pub memory: Arc<dyn Memory>,
    /// Whether it may pause when its output is full: no receiver of the output waits for another output of the stage.
    pub may_wait: bool,
}

/// An operator with its state and its name, and the exchanges in front of it; without any its number among the job's operators within chains.
pub(super) struct Built {
    pub(super) ports: Vec<Port>,
    pub(super) chained: Option<usize>,
    pub(super) operator: Box<dyn Operator>,
    pub(super) store: Rc<StateStore>,
    pub(super) name: String,
}

impl ShardBuilder {
    /// Adds the reader of an exchange that does not group, feeding `next`.
    pub fn add_pass<T: Record>(&mut self, edge: EdgeId, name: String, next: impl Push<T>) {
        let stage = self.wiring.graph.edges[usize::from(edge.0)].to;
        let (pass, store) = (Pass::new(self.context(stage), next), self.store());
        let (ports, operator) = (alloc::vec![Port::of::<Timed<T>>(edge)], Box::new(pass));
        self.add_built(stage, Built { ports, chained: None, operator, store, name });
    }

    fn add_built(&mut self, stage: StageId, built: Built) {
        self.stages[usize::from(stage.0)].operators.push(built);
    }

    /// The state of an operator that is to be built.
    fn store(&self) -> Rc<StateStore> {
        StateStore::new(self.memory.clone(), self.slabs.clone()).on(self.shard())
    }

    /// Adds what `operator` makes behind the exchanges that are its `ports`, which all lead into one stage.
    ///
    /// # Panics
    /// When there is no port, or they lead into several stages.
    pub fn add_operator<O: Operator>(
        &mut self,
        ports: &[Port],
        name: String,
        operator: impl FnOnce(OperatorContext) -> O,
    ) {
        let mut stages = ports.iter().map(|port| self.wiring.graph.edges[usize::from(port.edge.0)].to);
        let stage = stages.next().unwrap_or_else(|| panic!("`{name}` has no port"));
        assert!(stages.all(|other| other == stage), "the ports of `{name}` are of one stage");
        let (may_wait, context) = (self.wiring.graph.may_wait(stage), self.context(stage));
        let (store, memory) = (self.store(), self.memory.clone());
        let operator =
            Box::new(operator(OperatorContext { context, store: store.clone(), memory, may_wait }));
        let ports = ports.to_vec();
        self.add_built(stage, Built { ports, chained: None, operator, store, name });
    }

    /// Adds what `operator` makes within a chain, as number `number` of those of the job, and returns the end for the chain in front: that takes
    /// records that are on the shard of their `key`, of which `item` is what the operator needs.
    pub fn add_chained<K, T, I, O, FK, FI, F>(
        &mut self,
        number: usize,
        name: String,
        (key, item): (FK, FI),
        operator: F,
    ) -> impl Push<T> + use<K, T, I, O, FK, FI, F>
    where
        K: Key,
        T: 'static,
        I: Record,
        O: Operator,
        FK: Fn(&T) -> K + 'static,
        FI: Fn(T) -> I + 'static,
        F: FnOnce(OperatorContext) -> O,
    {
        let stage = self.wiring.graph.chained[number];
        let (may_wait, context) = (self.wiring.graph.may_wait(stage), self.context(stage));
        let (store, memory) = (self.store(), self.memory.clone());
        let at = OperatorContext { context: context.clone(), store: store.clone(), memory, may_wait };
        let chained = Chained::new::<Keyed<K, I>>(operator(at), store.clone(), &name, &self.memory);
        let end = chained.end((key, item), self.router(), context);
        let operator = Box::new(chained);
        self.add_built(stage, Built { ports: Vec::new(), chained: Some(number), operator, store, name });
        end
    }
}
