//! An allocator for tests: the system's, with a look at what is asked for.

use std::alloc::{GlobalAlloc, Layout, System};

/// Calls the function with the bytes of each piece before it asks the system for that.
pub struct Watched(pub fn(usize));

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        (self.0)(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the piece came from the system's allocator, with this layout, since all do.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        (self.0)(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        (self.0)(size);
        // SAFETY: the piece came from the system's allocator, with this layout, and the caller promises a size that there can be.
        unsafe { System.realloc(ptr, layout, size) }
    }
}
