//! The ring that frames travel in, against a queue: frames of any length, claimed, written, published and consumed
//! in any order.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pelton_core::state::memory::HeapMemory;
use pelton_core::exchange::ring::{Prefix, ring};
use pelton_fuzz::Draw;
use std::collections::VecDeque;

const ALIGN: usize = 16;

fuzz_target!(|bytes: &[u8]| {
    let mut draw = Draw::new(bytes);
    let capacity = 4096 << (draw.byte() % 3);
    let (mut producer, mut consumer) = ring(&HeapMemory, capacity).expect("memory");
    // Frames that were committed, each with its length and fill; the first `visible` of them were published.
    let (mut frames, mut visible, mut fill) = (VecDeque::new(), 0, 0u8);
    while !draw.is_empty() {
        match draw.byte() % 4 {
            0 | 1 => {
                let min = ALIGN * (1 + draw.below(capacity / ALIGN / 2));
                let max = (min + ALIGN * draw.below(8)).min(capacity);
                let Some((at, len)) = producer.claim(min, max) else {
                    assert!(!frames.is_empty(), "an empty ring has room for half of itself");
                    continue;
                };
                assert!((min..=max).contains(&len) && len.is_multiple_of(ALIGN));
                if draw.byte() & 1 == 0 {
                    continue;
                }
                fill = fill.wrapping_add(1);
                // SAFETY: the claim is `len` bytes long, aligned to 16, and nobody else's until it is published.
                unsafe {
                    at.cast::<Prefix>().write(Prefix { len: len as u32, kind: 0 });
                    at.as_ptr().add(size_of::<Prefix>()).write_bytes(fill, len - size_of::<Prefix>());
                }
                producer.commit(len);
                frames.push_back((len, fill));
            }
            2 => {
                producer.publish();
                visible = frames.len();
            }
            _ => match consumer.peek() {
                Some(at) => {
                    assert!(visible > 0, "a frame that was not published is seen");
                    let (len, fill) = frames.pop_front().expect("a frame that nobody wrote");
                    visible -= 1;
                    // SAFETY: what `peek` shows is a whole frame, which stays until it is consumed.
                    let (found, body) = unsafe {
                        let body = at.cast::<u8>().add(size_of::<Prefix>());
                        (
                            at.as_ref().len as usize,
                            std::slice::from_raw_parts(body.as_ptr(), len - size_of::<Prefix>()),
                        )
                    };
                    assert_eq!(found, len);
                    assert!(body.iter().all(|&byte| byte == fill), "a frame was written over");
                    consumer.consume(len);
                }
                None => assert_eq!(visible, 0, "a published frame is not seen"),
            },
        }
    }
});
