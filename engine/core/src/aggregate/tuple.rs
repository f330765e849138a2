//! Several aggregates at once: up to twelve, and a tuple may hold tuples.

use super::{Aggregate, Overflow};
use crate::record::Archived;
use alloc::borrow::Cow;

macro_rules! tuples {
    ($(($($name:ident $index:tt),+))*) => { $(
        impl<T, $($name: Aggregate<T>),+> Aggregate<T> for ($($name,)+) {
            type Item = ($($name::Item,)+);
            type Acc = ($($name::Acc,)+);
            type Out = ($($name::Out,)+);

            fn kind(&self) -> Cow<'static, str> {
                let kinds = [$(self.$index.kind()),+];
                ["(", &kinds.join(", "), ")"].concat().into()
            }

            #[inline(always)]
            fn item(&self, record: &T) -> Self::Item {
                ($(self.$index.item(record),)+)
            }
            #[inline(always)]
            fn empty(&self) -> Self::Acc {
                ($(self.$index.empty(),)+)
            }
            #[inline(always)]
            fn add(&self, acc: &mut Self::Acc, item: Self::Item) {
                $(self.$index.add(&mut acc.$index, item.$index);)+
            }
            #[inline(always)]
            fn add_archived(&self, acc: &mut Self::Acc, item: &Archived<Self::Item>) {
                $(self.$index.add_archived(&mut acc.$index, &item.$index);)+
            }
            fn merge(&self, acc: &mut Self::Acc, other: &Self::Acc) {
                $(self.$index.merge(&mut acc.$index, &other.$index);)+
            }
            #[inline(always)]
            fn finish(&self, acc: &Self::Acc) -> Self::Out {
                ($(self.$index.finish(&acc.$index),)+)
            }
            #[inline(always)]
            fn try_finish(&self, acc: &Self::Acc) -> Result<Self::Out, Overflow> {
                Ok(($(self.$index.try_finish(&acc.$index)?,)+))
            }
        }
    )* };
}
tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11)
}
