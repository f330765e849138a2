//! What a process function keeps of each key, in general: kinds of state, and how the operator opens them.

use super::expiring::Ttl;
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::record::key::Key;
use crate::record::schema::Schema;
use crate::stage::context::StageContext;
use crate::state::store::StateStore;
use alloc::vec::Vec;

/// What is kept of each key: a [`ValueState`](super::ValueState), a [`MapState`](super::MapState), one of these that is
/// [`Expiring`](super::Expiring), several of them as a tuple, or nothing, `()`.
///
/// A function says the kind, and is shown that of the key in hand as [`Of`](Self::Of).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no kind of state",
    note = "`ValueState<V>` keeps a value of each key, `MapState<S, V>` values in order; a tuple keeps several, and `()` nothing"
)]
pub trait KeyedState<K: Key>: Default + Clone + Send + Sync + 'static {
    /// What there is of one key, as the function sees it.
    type Of<'a>;
    /// What there is of all keys of a shard.
    #[doc(hidden)]
    type Open: OpenState<K>;

    #[doc(hidden)]
    fn open(&self, store: &StateStore) -> Self::Open;
    #[doc(hidden)]
    fn of<'a>(open: &'a mut Self::Open, key: &'a KeyInHand<'a, K>) -> Self::Of<'a>;
    #[doc(hidden)]
    fn describe(&self, into: &mut Vec<StateDescription>);
}

/// State of a function, as a plan shows it: one for each that the store has, in their order.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct StateDescription {
    /// What it is called.
    pub name: &'static str,
    /// By what it is kept, if not by the key alone.
    pub key: Option<&'static Schema>,
    /// What is kept of each key: in a `map` the rows with their keys. None for what is no part of any key.
    pub value: Option<&'static Schema>,
    /// When it expires, where it does; nothing in that where it was not said.
    pub expires: Option<Option<Ttl>>,
}

/// The key that a function is called for.
#[doc(hidden)]
pub struct KeyInHand<'a, K> {
    pub(super) hash: u64,
    pub(super) key: &'a K,
    /// The time of the record or of the timer.
    pub(super) time: EventTime,
    /// What the wall clock shows.
    pub(super) processing: EventTime,
    pub(super) context: &'a StageContext,
}

/// State of all keys of a shard.
#[doc(hidden)]
pub trait OpenState<K> {
    /// Asks the processor to have at hand what there is of a key.
    fn prefetch(&self, hash: u64) {
        let _ = hash;
    }

    /// A key is about to be used.
    ///
    /// # Errors
    /// When the memory limit refuses the room for it, or a row refuses to be archived that a checkpoint needs as it was.
    fn begin(&mut self, key: &KeyInHand<'_, K>) -> Result<(), Fault> {
        let _ = key;
        Ok(())
    }

    /// The key was used.
    ///
    /// # Errors
    /// As for [`begin`](Self::begin).
    fn end(&mut self, key: &KeyInHand<'_, K>) -> Result<(), Fault> {
        let _ = key;
        Ok(())
    }

    /// Lets go of what has expired, or was let go of otherwise, within a budget; true when all is done.
    ///
    /// # Errors
    /// When a row refuses to be archived that a checkpoint needs as it was.
    fn expire(
        &mut self,
        watermark: EventTime,
        processing: EventTime,
        budget: &mut usize,
    ) -> Result<bool, Fault> {
        let _ = (watermark, processing, budget);
        Ok(true)
    }
}

impl<K> OpenState<K> for () {}

impl<K: Key> KeyedState<K> for () {
    type Of<'a> = ();
    type Open = ();

    fn open(&self, _: &StateStore) {}
    fn of<'a>((): &'a mut (), _: &'a KeyInHand<'a, K>) {}
    fn describe(&self, _: &mut Vec<StateDescription>) {}
}

macro_rules! several {
    ($($state:ident $place:tt),+) => {
        impl<K: Key, $($state: OpenState<K>),+> OpenState<K> for ($($state,)+) {
            fn prefetch(&self, hash: u64) {
                $(self.$place.prefetch(hash);)+
            }
            fn begin(&mut self, key: &KeyInHand<'_, K>) -> Result<(), Fault> {
                $(self.$place.begin(key)?;)+
                Ok(())
            }
            fn end(&mut self, key: &KeyInHand<'_, K>) -> Result<(), Fault> {
                $(self.$place.end(key)?;)+
                Ok(())
            }
            fn expire(
                &mut self,
                watermark: EventTime,
                processing: EventTime,
                budget: &mut usize,
            ) -> Result<bool, Fault> {
                let mut done = true;
                $(done &= self.$place.expire(watermark, processing, budget)?;)+
                Ok(done)
            }
        }

        impl<K: Key, $($state: KeyedState<K>),+> KeyedState<K> for ($($state,)+) {
            type Of<'a> = ($($state::Of<'a>,)+);
            type Open = ($($state::Open,)+);

            fn open(&self, store: &StateStore) -> Self::Open {
                ($(self.$place.open(store),)+)
            }
            fn of<'a>(open: &'a mut Self::Open, key: &'a KeyInHand<'a, K>) -> Self::Of<'a> {
                ($($state::of(&mut open.$place, key),)+)
            }
            fn describe(&self, into: &mut Vec<StateDescription>) {
                $(self.$place.describe(into);)+
            }
        }
    };
}
several!(A 0);
several!(A 0, B 1);
several!(A 0, B 1, C 2);
several!(A 0, B 1, C 2, D 3);
