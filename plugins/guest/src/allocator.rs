//! An allocator that moves a mark through memory: first through what the data and the stack leave of
//! the initial memory, then through pages it asks for. Only the latest block is ever given back. A
//! guest lives for one evaluation, so there is nothing to gain from more.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::Cell;

const PAGE: usize = 65_536;

unsafe extern "C" {
    /// Set by the linker: the first address behind data and stack.
    static __heap_base: u8;
}

struct Mark(Cell<usize>);

// SAFETY: wasm32-unknown-unknown without atomics has a single thread.
unsafe impl Sync for Mark {}

#[global_allocator]
static MARK: Mark = Mark(Cell::new(0));

impl Mark {
    fn get(&self) -> usize {
        match self.0.get() {
            0 => (&raw const __heap_base) as usize,
            mark => mark,
        }
    }

    /// Moves the mark to `end`, growing memory if need be.
    fn advance_to(&self, end: usize) -> bool {
        let available = memory_size(0) * PAGE;
        if end > available && memory_grow(0, (end - available).div_ceil(PAGE)) == usize::MAX {
            return false;
        }
        self.0.set(end);
        true
    }
}

// SAFETY: blocks lie behind one another between `__heap_base` and the end of memory; the mark only
// moves back over the latest block, when that is freed or shrunk.
unsafe impl GlobalAlloc for Mark {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.get().next_multiple_of(layout.align());
        match start.checked_add(layout.size()) {
            Some(end) if self.advance_to(end) => start as *mut u8,
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let start = block as usize;
        if start + layout.size() == self.get() {
            self.0.set(start);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let start = block as usize;
        if start + layout.size() == self.get() {
            return match start.checked_add(new_size) {
                Some(end) if self.advance_to(end) => block,
                _ => core::ptr::null_mut(),
            };
        }
        if new_size <= layout.size() {
            return block;
        }
        // SAFETY: the caller upholds `realloc`'s contract, so the new layout is valid and `block`
        // holds `layout.size()` bytes, fewer than the new block.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !moved.is_null() {
                core::ptr::copy_nonoverlapping(block, moved, layout.size());
            }
            moved
        }
    }
}
