use super::*;
use crate::exchange::hash::fold;
use crate::record::rows::{decode, encode};
use crate::record::schema::{Field, Schema, Variant};
use crate::record::{Record, is_fixed, struct_record};
use crate::{EventTime, Windowed};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use core::any::TypeId;
use core::marker::PhantomData;
use rkyv::{Archive, Deserialize, Serialize};

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        fold(self.0)
    }

    /// Often small, and often at the end of what its type holds.
    fn number(&mut self) -> u64 {
        match self.next() % 4 {
            0 => self.next() % 3,
            1 => u64::MAX - self.next() % 2,
            _ => self.next(),
        }
    }

    fn below(&mut self, end: u64) -> usize {
        (self.next() % end) as usize
    }

    fn text(&mut self) -> String {
        let len = [0, 1, 7, 8, 9, 63, 64, 200][self.below(8)] as usize;
        let mut text: String = (0..len).map(|_| char::from(b'a' + (self.next() % 26) as u8)).collect();
        if len > 20 {
            text.push_str("\u{e9}\u{1f600}");
        }
        text
    }
}

/// A type before and the one that it became, with values that correspond.
trait Pair {
    type Was: Record;
    type Is: Record;
    fn pair(random: &mut Random) -> (Self::Was, Self::Is);
}

macro_rules! numbers {
    ($($name:ident: $was:ty => $is:ty),* $(,)?) => { $(
        struct $name;
        impl Pair for $name {
            type Was = $was;
            type Is = $is;
            fn pair(random: &mut Random) -> ($was, $is) {
                let was = random.number() as $was;
                (was, <$is>::from(was))
            }
        }
    )* };
}
numbers!(
    U8AsU8: u8 => u8,
    U8AsU16: u8 => u16,
    U16AsI32: u16 => i32,
    U32AsU64: u32 => u64,
    U64AsI128: u64 => i128,
    U64AsU128: u64 => u128,
    U128AsU128: u128 => u128,
    I8AsI64: i8 => i64,
    I64AsI128: i64 => i128,
    I16AsF32: i16 => f32,
    U32AsF64: u32 => f64,
    I32AsF64: i32 => f64,
    F32AsF64: f32 => f64,
);

macro_rules! same {
    ($($name:ident: $of:ty = $random:ident => $value:expr;)*) => { $(
        struct $name;
        impl Pair for $name {
            type Was = $of;
            type Is = $of;
            fn pair($random: &mut Random) -> ($of, $of) {
                let value: $of = $value;
                (value.clone(), value)
            }
        }
    )* };
}
same!(
    Text: String = random => random.text();
    Truth: bool = random => random.next().is_multiple_of(2);
    Letter: char = random => ['a', '\u{e9}', '\u{1f600}'][random.below(3)];
    Time: EventTime = random => EventTime(random.number() as i64);
    Unit: () = random => { random.next(); };
    Bytes: Vec<u8> = random => random.text().into_bytes();
    Pairs: Vec<(u8, u64)> = random => (0..random.below(4)).map(|n| (n as u8, random.next())).collect();
);

macro_rules! made {
    ($($name:ident<$($param:ident),*>: $was:ty => $is:ty = $random:ident => $pair:expr;)*) => { $(
        struct $name<$($param),*>(PhantomData<($($param,)*)>);
        impl<$($param: Pair),*> Pair for $name<$($param),*> {
            type Was = $was;
            type Is = $is;
            fn pair($random: &mut Random) -> ($was, $is) {
                $pair
            }
        }
    )* };
}

#[derive(Archive, Serialize, Deserialize)]
struct Two<A, B> {
    first: A,
    second: B,
}
struct_record!(Two<A, B> { first: A, second: B });

#[derive(Archive, Serialize, Deserialize)]
struct Turned<A, B> {
    second: B,
    first: A,
}
struct_record!(Turned<A, B> { second: B, first: A });

/// With something around the value that comes and goes, fixed and not.
#[derive(Archive, Serialize, Deserialize)]
struct Around<A> {
    n: u8,
    text: String,
    value: A,
    list: Vec<u64>,
    boxed: Box<(u16, String)>,
    array: [Option<String>; 2],
    texts: [String; 2],
    none: Option<char>,
    time: EventTime,
    is: bool,
}
struct_record!(Around<A> {
    n: u8, text: String, value: A, list: Vec<u64>, boxed: Box<(u16, String)>, array: [Option<String>; 2], texts: [String; 2],
    none: Option<char>, time: EventTime, is: bool
});

#[derive(Archive, Serialize, Deserialize)]
struct Alone<A> {
    value: A,
}
struct_record!(Alone<A> { value: A });

/// Without any bytes.
#[derive(Archive, Serialize, Deserialize)]
struct Hollow {}
struct_record!(Hollow {});

/// Numbers around the value, so that it stays fixed.
#[derive(Archive, Serialize, Deserialize)]
struct Counted<A> {
    low: u8,
    value: A,
    high: [u32; 3],
}
struct_record!(Counted<A> { low: u8, value: A, high: [u32; 3] });

#[derive(Archive, Serialize, Deserialize)]
enum Before<A> {
    Empty,
    One(A),
    Named { first: A, n: u8 },
}

#[derive(Archive, Serialize, Deserialize)]
#[repr(u8)]
enum Now<A> {
    Named { extra: Vec<u64>, n: u16, first: A } = 7,
    Other(char),
    One(A) = 0x2_0,
    Empty,
}

impl<A: Record> Record for Before<A> {
    const SCHEMA: &'static Schema = &Schema::Enum {
        id: TypeId::of::<Self>(),
        name: "Before",
        variants: &[
            Variant { name: "Empty", number: "", fields: &[] },
            Variant { name: "One", number: "", fields: &[Field::of::<A>("0")] },
            Variant { name: "Named", number: "", fields: &[Field::of::<A>("first"), Field::of::<u8>("n")] },
        ],
    };
    fn heap_bytes(&self) -> usize {
        match self {
            Before::Empty => 0,
            Before::One(first) | Before::Named { first, .. } => first.heap_bytes(),
        }
    }
}

impl<A: Record> Record for Now<A> {
    const SCHEMA: &'static Schema = &Schema::Enum {
        id: TypeId::of::<Self>(),
        name: "Now",
        variants: &[
            Variant {
                name: "Named",
                number: "7",
                fields: &[Field::of::<Vec<u64>>("extra"), Field::of::<u16>("n"), Field::of::<A>("first")],
            },
            Variant { name: "Other", number: "", fields: &[Field::of::<char>("0")] },
            Variant { name: "One", number: "0x2_0", fields: &[Field::of::<A>("0")] },
            Variant { name: "Empty", number: "", fields: &[] },
        ],
    };
    fn heap_bytes(&self) -> usize {
        match self {
            Now::Named { extra, first, .. } => extra.heap_bytes() + first.heap_bytes(),
            Now::One(first) => first.heap_bytes(),
            Now::Other(_) | Now::Empty => 0,
        }
    }
}

fn list<P: Pair>(random: &mut Random, len: usize) -> (Vec<P::Was>, Vec<P::Is>) {
    (0..len).map(|_| P::pair(random)).unzip()
}

made!(
    Listed<P>: Vec<P::Was> => Vec<P::Is> = random => {
        let len = random.below(5);
        list::<P>(random, len)
    };
    Perhaps<P>: Option<P::Was> => Option<P::Is> = random => {
        let (was, is) = P::pair(random);
        if random.below(2) == 0 { (None, None) } else { (Some(was), Some(is)) }
    };
    MadePerhaps<P>: P::Was => Option<P::Is> = random => {
        let (was, is) = P::pair(random);
        (was, Some(is))
    };
    Boxed<P>: Box<P::Was> => Box<P::Is> = random => {
        let (was, is) = P::pair(random);
        (Box::new(was), Box::new(is))
    };
    Arrayed<P>: [P::Was; 3] => [P::Is; 3] = random => {
        let [a, b, c] = [P::pair(random), P::pair(random), P::pair(random)];
        ([a.0, b.0, c.0], [a.1, b.1, c.1])
    };
    Tupled<P, Q>: (P::Was, Q::Was) => (P::Is, Q::Is) = random => {
        let ((a, b), (c, d)) = (P::pair(random), Q::pair(random));
        ((a, c), (b, d))
    };
    Turning<P, Q>: Two<P::Was, Q::Was> => Turned<P::Is, Q::Is> = random => {
        let ((first, a), (second, b)) = (P::pair(random), Q::pair(random));
        (Two { first, second }, Turned { second: b, first: a })
    };
    Lost<P>: Around<P::Was> => Alone<P::Is> = random => {
        let (was, is) = P::pair(random);
        (around(random, was), Alone { value: is })
    };
    Emptied<P>: Alone<P::Was> => Hollow = random => (Alone { value: P::pair(random).0 }, Hollow {});
    Surrounded<P>: Alone<P::Was> => Around<P::Is> = random => {
        let (was, value) = P::pair(random);
        let is = Around {
            n: 0,
            text: String::new(),
            value,
            list: vec![],
            boxed: Box::default(),
            array: [None, None],
            texts: Default::default(),
            none: None,
            time: EventTime(0),
            is: false,
        };
        (Alone { value: was }, is)
    };
    CountedFrom<P>: Alone<P::Was> => Counted<P::Is> = random => {
        let (was, value) = P::pair(random);
        (Alone { value: was }, Counted { low: 0, value, high: [0; 3] })
    };
    Chosen<P>: Before<P::Was> => Now<P::Is> = random => {
        let ((first, is), n) = (P::pair(random), random.next() as u8);
        match random.below(3) {
            0 => (Before::Empty, Now::Empty),
            1 => (Before::One(first), Now::One(is)),
            _ => (Before::Named { first, n }, Now::Named { extra: vec![], n: u16::from(n), first: is }),
        }
    };
    Keyed<P, Q>: Windowed<P::Was, Q::Was> => Windowed<P::Is, Q::Is> = random => {
        let ((key, a), (value, b)) = (P::pair(random), Q::pair(random));
        let window = crate::Window { start: EventTime(random.number() as i64), end: EventTime(7) };
        (Windowed { window, key, value }, Windowed { window, key: a, value: b })
    };
);

fn around<A>(random: &mut Random, value: A) -> Around<A> {
    Around {
        n: random.next() as u8,
        text: random.text(),
        value,
        list: vec![random.next(); random.below(3)],
        boxed: Box::new((1, random.text())),
        array: [None, Some(random.text())],
        texts: [random.text(), random.text()],
        none: Some('x'),
        time: EventTime(4),
        is: true,
    }
}

fn between(before: &str, now: &str) -> Result<Option<Conversion>, Unconvertible> {
    Conversion::between(before, now)
}

fn schema<R: Record>() -> String {
    R::SCHEMA.to_string()
}

/// Rows that are converted are the bytes that the new ones are encoded to, wherever they begin; and what is damaged is an error or other rows.
fn check<P: Pair>() {
    let (was, is) = (schema::<P::Was>(), schema::<P::Is>());
    assert_eq!(layout::is_fixed(&parse::parse(&was).unwrap()), is_fixed::<P::Was>(), "{was}");
    let Layout { size, align } = layout::layout(&parse::parse(&is).unwrap()).unwrap();
    assert_eq!(size, size_of::<<P::Is as Archive>::Archived>(), "{is}");
    assert_eq!(align, align_of::<<P::Is as Archive>::Archived>(), "{is}");
    let conversion = between(&was, &is).unwrap();
    for seed in 0..40 {
        let mut random = Random(seed * 1_000_000);
        let (before, now) = list::<P>(&mut random, seed as usize % 5);
        let mut block = Vec::new();
        encode(&mut block, &before).unwrap();
        let mut expected = vec![7; seed as usize];
        encode(&mut expected, &now).unwrap();
        let Some(conversion) = &conversion else {
            assert_eq!(block, expected[seed as usize..], "{was} | {is}");
            continue;
        };
        let mut found = vec![7; seed as usize];
        conversion.block(&block, &mut found).unwrap();
        assert_eq!(found, expected, "{was} | {is}");
        if seed == 3 {
            damage::<P>(conversion, &mut block);
        }
    }
}

fn damage<P: Pair>(conversion: &Conversion, block: &mut [u8]) {
    let mut into = vec![1, 2, 3];
    for len in 0..block.len() {
        assert!(conversion.block(&block[..len], &mut into).is_err(), "{len} bytes of {}", block.len());
        assert_eq!(into, [1, 2, 3], "nothing is appended");
    }
    let mut attempt = |block: &[u8]| {
        into.clear();
        if conversion.block(block, &mut into).is_ok() {
            let _ = decode::<P::Is>(&into).unwrap().take(1_000).filter_map(Result::ok).count();
        }
    };
    for bit in 0..block.len() * 8 {
        block[bit / 8] ^= 1 << (bit % 8);
        attempt(block);
        block[bit / 8] ^= 1 << (bit % 8);
    }
    // Several bytes at once, and words that may be lengths and pointers.
    let mut random = Random(block.len() as u64);
    let words = (block.len() - HEADER) as u64 / 4;
    for _ in 0..if words == 0 { 0 } else { 500 } {
        let mut damaged = block.to_vec();
        for _ in 0..=random.below(3) {
            let at = HEADER + random.below(words) * 4;
            let word = random.number() as u32 >> random.below(32);
            damaged[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        attempt(&damaged);
    }
}

#[test]
fn numbers_get_more_room() {
    check::<U8AsU8>();
    check::<U8AsU16>();
    check::<U16AsI32>();
    check::<U32AsU64>();
    check::<U64AsI128>();
    check::<U64AsU128>();
    check::<U128AsU128>();
    check::<I8AsI64>();
    check::<I64AsI128>();
    check::<I16AsF32>();
    check::<U32AsF64>();
    check::<I32AsF64>();
    check::<F32AsF64>();
}

#[test]
fn a_number_that_is_none_keeps_its_bits() {
    let conversion = between("f32", "f64").unwrap().unwrap();
    let rows =
        [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::INFINITY, -0.0, f32::MIN_POSITIVE / 2.0];
    let (mut block, mut into) = (Vec::new(), Vec::new());
    encode(&mut block, &rows).unwrap();
    conversion.block(&block, &mut into).unwrap();
    let bits: Vec<u64> = decode::<f64>(&into).unwrap().map(|row| row.unwrap().to_bits()).collect();
    assert_eq!(bits[..3], [0x7ff8 << 48, 0xfff8 << 48, 0x7ff0_0000_2000_0000]);
    let values: Vec<u64> = rows[3..].iter().map(|&row| f64::from(row).to_bits()).collect();
    assert_eq!(bits[3..], values);
}

#[test]
fn every_kind_of_part_is_converted() {
    check::<Tupled<Text, U8AsU16>>();
    check::<Tupled<U64AsU128, Truth>>();
    check::<Tupled<U8AsU16, Tupled<Unit, Letter>>>();
    check::<Listed<U8AsU16>>();
    check::<Listed<Text>>();
    check::<Tupled<Bytes, Tupled<Pairs, U8AsU16>>>();
    check::<Listed<Tupled<Text, U32AsU64>>>();
    check::<Listed<Listed<U64AsU128>>>();
    check::<Listed<Perhaps<Listed<Tupled<U8AsU16, Text>>>>>();
    check::<Perhaps<U32AsU64>>();
    check::<Perhaps<Perhaps<U8AsU16>>>();
    check::<MadePerhaps<U8AsU8>>();
    check::<MadePerhaps<U64AsU128>>();
    check::<MadePerhaps<Perhaps<U8AsU16>>>();
    check::<MadePerhaps<MadePerhaps<Text>>>();
    check::<Boxed<U8AsU16>>();
    check::<Boxed<Boxed<Tupled<Text, U64AsU128>>>>();
    check::<Perhaps<Boxed<Listed<U8AsU16>>>>();
    check::<Arrayed<U8AsU16>>();
    check::<Arrayed<Arrayed<Text>>>();
    check::<Arrayed<MadePerhaps<Listed<Text>>>>();
    check::<Listed<Tupled<Unit, MadePerhaps<U8AsU8>>>>();
    check::<Listed<Tupled<Letter, Tupled<Truth, Tupled<Time, U128AsU128>>>>>();
}

#[test]
fn fields_and_variants_are_found_by_name() {
    check::<Turning<U8AsU8, U64AsU128>>();
    check::<Turning<Text, Listed<Text>>>();
    check::<Turning<U8AsU16, Turning<Truth, F32AsF64>>>();
    check::<Lost<U8AsU16>>();
    check::<Lost<Text>>();
    check::<Lost<Listed<Lost<U64AsU128>>>>();
    check::<Emptied<U8AsU8>>();
    check::<Tupled<Listed<Emptied<Text>>, Boxed<Emptied<Listed<U8AsU8>>>>>();
    check::<Surrounded<U8AsU8>>();
    check::<Surrounded<Text>>();
    check::<Listed<Surrounded<Perhaps<Surrounded<U64AsU128>>>>>();
    check::<CountedFrom<Turning<U8AsU8, U16AsI32>>>();
    check::<CountedFrom<U64AsU128>>();
    check::<Arrayed<CountedFrom<Truth>>>();
    check::<Chosen<U8AsU16>>();
    check::<Chosen<U128AsU128>>();
    check::<Chosen<Listed<Chosen<Text>>>>();
    check::<Perhaps<Chosen<Boxed<Surrounded<Text>>>>>();
    check::<Keyed<Text, Lost<Chosen<I8AsI64>>>>();
    check::<Keyed<Tupled<U32AsU64, Text>, Listed<Turning<Surrounded<Bytes>, Letter>>>>();
}

/// `between`, as text: what is refused, or the notes.
fn said(before: &str, now: &str) -> String {
    match between(before, now) {
        Ok(Some(conversion)) => conversion.notes().join("; "),
        Ok(None) => "the same".to_string(),
        Err(error) => alloc::format!("refused: {error:?}"),
    }
}

#[test]
fn what_is_refused_is_named() {
    let is = |before: &str, now: &str, expected: &str| {
        assert_eq!(said(before, now), alloc::format!("refused: {expected}"), "{before} | {now}");
    };
    let totals = |of: &str| alloc::format!("Totals {{ orders: u64, cents: {of} }}");
    let field = |was: &str, now: &str, why: &str| {
        let expected =
            alloc::format!("the record `Totals`: field `cents` was `{was}` and is `{now}` now, {why}");
        is(&totals(was), &totals(now), &expected);
    };
    let narrow = "which does not hold every value";
    for (was, now) in [("u64", "u32"), ("u64", "i64"), ("i8", "u128"), ("f64", "f32"), ("f32", "i128")] {
        field(was, now, narrow);
    }
    for (was, now) in [("u32", "f32"), ("i64", "f64"), ("u64", "f64"), ("u128", "i128")] {
        field(was, now, narrow);
    }
    field("Vec<(u8, u16)>", "Vec<(u8, u8)>", narrow);
    let other = "and nothing makes the one of the other";
    for (was, now) in [
        ("String", "u64"),
        ("u64", "String"),
        ("Option<u64>", "u64"),
        ("i64", "EventTime"),
        ("bool", "u8"),
        ("(u8, u8)", "(u8, u8, u8)"),
        ("[u8; 2]", "[u8; 3]"),
        ("u8", "(u8,)"),
        ("Box<u8>", "u8"),
        ("Vec<u8>", "String"),
    ] {
        field(was, now, other);
    }
    is(
        "Vec<u64>",
        "Vec<u32>",
        "the record was `Vec<u64>` and is `Vec<u32>` now, which does not hold every value",
    );
    is(
        "(u8, Outer { a: Option<Inner { b: u64 }> })",
        "(u8, Outer { a: Option<Inner { b: u8 }> })",
        "the record `Inner`: field `b` was `u64` and is `u8` now, which does not hold every value",
    );
    is(
        "Outer { a: Inner { b: u64 } }",
        "Outer { a: u8 }",
        "the record `Outer`: field `a` was `Inner` and is `u8` now, and nothing makes the one of the other",
    );
    is(
        "enum Side { Buy, Limit { price: u64 } }",
        "enum Side { Limit { price: u8 } }",
        "the record `Side::Limit`: field `price` was `u64` and is `u8` now, which does not hold every value",
    );
    for of in ["char", "enum Side { Buy }", "Box<char>", "Other { at: (u8, [char; 2]) }"] {
        let name = of.strip_prefix("enum ").unwrap_or(of).split(" {").next().unwrap();
        let now = alloc::format!("Totals {{ cents: u64, side: {of} }}");
        let expected = alloc::format!(
            "the record `Totals`: field `side` is new, and a `{name}` has no empty value to begin with"
        );
        is("Totals { cents: u64 }", &now, &expected);
    }
    is(
        "Pair { 0: u64, 1: u64 }",
        "Pair { 0: u64 }",
        "the record `Pair`: it had 2 fields and has 1 now, and no names that tell which",
    );
    is(
        "A { of: Vec<B { }> }",
        "A { of: Vec<B { n: u8 }> }",
        "the record `A`: field `of` was `Vec<B>` and is `Vec<B>` now, and elements without bytes cannot get any",
    );
    is("B { }", "B { n: u8 }", "the record `B`: it had no bytes, and cannot get any");
    let huge = "a record of more than 2147483647 bytes cannot be converted";
    is("[u16; 2000000000]", "[u32; 2000000000]", huge);
    is("A { of: [u64; 18446744073709551615] }", "A { of: [u64; 18446744073709551615], n: u8 }", huge);
}

#[test]
fn what_is_strange_is_refused_and_named_unless_nothing_changed() {
    let cases = [
        ("rates: BTreeMap<String, f64>", "field `rates` has a `BTreeMap<String, f64>`"),
        ("next: Option<Box<^Totals>>", "field `next` has a `Totals` within a `Totals`"),
        ("at: u64 as rkyv(with=Skip,omit_bounds)", "field `at` is archived `rkyv(with=Skip,omit_bounds)`"),
        ("of: (u8, Vec<Price>)", "field `of` has a `Price`"),
        (
            "of: enum Side { Buy = BUY, Sell }",
            "field `of` has the enum `Side`, whose variant `Buy` has a number BUY",
        ),
    ];
    for (strange, found) in cases {
        let before = alloc::format!("Totals {{ {strange} }}");
        let more = alloc::format!("Totals {{ {strange}, cents: u64 }}");
        let expected =
            alloc::format!("refused: the record `Totals`: {found}, and has changed: it cannot be converted");
        assert_eq!(said(&before, &more), expected);
        assert_eq!(said(&more, &before), expected);
        assert_eq!(said("Totals { cents: u64 }", &more), expected);
        assert_eq!(said(&before, &before), "the same");
        let renamed = before.replace("Totals", "Sums").replace("Side", "Direction");
        assert_eq!(said(&before, &renamed), "the same");
    }
    // Of two types of one name nothing tells which is meant.
    assert!(said("A { a: A { a: Box<^A> } }", "A { a: A { b: Box<^A> } }").contains("is no schema"));
}

#[test]
fn what_people_should_know_is_noted_once() {
    let is = |before: &str, now: &str, expected: &str| {
        assert_eq!(said(before, now), expected, "{before} | {now}");
    };
    is(
        "(A { x: u8, y: u8 }, A { x: u8, y: u8 })",
        "(A { x: u16 }, A { x: u16 })",
        "the record `A`: field `y` is gone, and its values are dropped; the record `A`: field `x` was `u8` and is `u16` now",
    );
    // An option that has become one within another stays what it was.
    is("Option<u8>", "Option<Option<u8>>", "the record was `Option<u8>` and is `Option<Option<u8>>` now");
    is("u8", "Option<u16>", "the record was `u8` and is `Option<u16>` now");
    is(
        "enum E { A, B }",
        "enum E { C, B }",
        "the variant `E::A` is gone, and no row can be restored that has it",
    );
    is("A { x: u8, y: u8 }", "B { y: u8, x: u8 }", "");
    let begins = [
        ("f64", "with 0"),
        ("bool", "with `false`"),
        ("String", "without text"),
        ("Vec<enum E { A }>", "without elements"),
        ("Option<char>", "with `None`"),
        ("EventTime", "with the epoch"),
        ("[enum E { A }; 0]", "without elements"),
        ("[u8; 4]", "with empty elements"),
        ("Box<String>", "without text"),
        ("(u8, B { of: Vec<u8> })", "with all of its parts empty"),
    ];
    for (of, begins) in begins {
        let now = alloc::format!("A {{ x: u8, y: {of} }}");
        is("A { x: u8 }", &now, &alloc::format!("the record `A`: field `y` is new and begins {begins}"));
    }
}

#[test]
fn a_variant_that_is_gone_is_an_error_where_a_row_has_it() {
    let conversion =
        between(&schema::<Before<u8>>(), "enum Now { Named { n: u8 }, Empty }").unwrap().unwrap();
    let mut into = Vec::new();
    let convert = |rows: &[Before<u8>], into: &mut Vec<u8>| {
        let mut block = Vec::new();
        encode(&mut block, rows).unwrap();
        conversion.block(&block, into)
    };
    convert(&[Before::Named { first: 1, n: 5 }, Before::Empty], &mut into).unwrap();
    assert_eq!(into[HEADER..], [0, 5, 1, 0]);
    let fault = convert(&[Before::Empty, Before::One(1)], &mut into).unwrap_err();
    let said = "a record of type Now that was saved cannot be restored: it has the variant `Now::One`, which is gone";
    assert!(matches!(&fault, Fault::Restore { message } if message == said), "{fault}");
}

#[test]
fn schemas_are_read_as_they_are_printed() {
    type Odd = (BTreeMap<u8, (u8,)>, [(); 3], Windowed<(), Vec<[String; 0]>>, Now<u8>);
    let texts = [schema::<Odd>(), schema::<Around<Before<Turned<i8, char>>>>(), schema::<()>()];
    for text in &texts {
        let read = parse::parse(text).unwrap();
        assert!(parse::is_same(&read, &parse::parse(text).unwrap()));
        // What is cut off, or has one letter changed, is no schema or another.
        for at in 0..text.len() {
            assert!(parse::parse(&text[..at]).is_none_or(|cut| !parse::is_same(&cut, &read)));
            for letter in " <>(){}[],;:^=aB1".chars() {
                let changed = alloc::format!("{}{letter}{}", &text[..at], &text[at + 1..]);
                let _ = between(text, &changed);
                let _ = between(&changed, text);
            }
        }
    }
    assert!(is_fixed::<[String; 0]>() && layout::is_fixed(&parse::parse("[String; 0]").unwrap()));
    let deep = |levels: usize| "Vec<".repeat(levels) + "u8" + &">".repeat(levels);
    assert!(parse::parse(&deep(90)).is_some());
    assert_eq!(said(&deep(90), &deep(90).replace("u8", "u16")).matches("is `Vec").count(), 1);
    assert!(parse::parse(&deep(100_000)).is_none());
    let damaged = said(&deep(100_000), "u8");
    assert!(damaged.starts_with("refused: `Vec<Vec<") && damaged.len() < 200, "{damaged}");
}

#[test]
fn parts_that_are_read_twice_are_damage() {
    let conversion = between("(u8, Vec<String>)", "(u64, Vec<String>)").unwrap().unwrap();
    let text = "a text of some length";
    let (mut block, mut into) = (Vec::new(), Vec::new());
    encode(&mut block, &[(1u8, vec![text.to_string(); 1_000])]).unwrap();
    conversion.block(&block, &mut into).unwrap();
    // Each text is said to be all that there is, from the beginning of the row.
    let len = 1_000 * text.len() as u32;
    let length = (len & 0x3f) | 0x80 | (len & !0x3f) << 2;
    let first = (HEADER * 2 + len as usize).next_multiple_of(4);
    for at in (first..).step_by(8).take(1_000) {
        block[at..at + 4].copy_from_slice(&length.to_le_bytes());
        block[at + 4..at + 8].copy_from_slice(&(HEADER as i32 * 2 - at as i32).to_le_bytes());
    }
    let fault = conversion.block(&block, &mut into).unwrap_err();
    assert!(fault.to_string().ends_with("is damaged: parts of a row lie over each other"), "{fault}");
}
