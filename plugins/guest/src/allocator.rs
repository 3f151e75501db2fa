//! An allocator that moves a mark through memory: first through what the data and the stack leave of
//! the initial memory, then through pages it asks for. Only the latest block is ever given back. A
//! guest lives for one evaluation, so there is nothing to gain from more.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::Cell;

const PAGE: usize = 65_536;

/// What evaluations find below the settings, at least.
const RESERVE: usize = 24 * 1024;

unsafe extern "C" {
    /// Set by the linker: the first address behind data and stack.
    static __heap_base: u8;
}

struct Mark {
    /// Where the next block begins; 0 stands for the beginning of the heap.
    next: Cell<usize>,
    /// What lies between is kept; 0 and 0 if nothing is.
    kept: Cell<(usize, usize)>,
}

// SAFETY: wasm32-unknown-unknown without atomics has a single thread.
unsafe impl Sync for Mark {}

#[global_allocator]
static MARK: Mark = Mark { next: Cell::new(0), kept: Cell::new((0, 0)) };

/// Makes something of a text that is kept for all evaluations.
///
/// To write to a page behind the first costs as much as a small evaluation, since only the first is
/// reset without a system call. So if what is made would leave no room there, it is made behind it, and
/// evaluations get the room of the text.
pub(crate) fn keep<T>(text: String, make: impl FnOnce(&str) -> T) -> T {
    let first_page = MARK.heap().saturating_add(RESERVE).next_multiple_of(PAGE);
    let (start, end) = (text.as_ptr() as usize, MARK.get());
    // What is read is rarely larger than three times its JSON.
    let fits = end + 3 * text.len() + RESERVE <= first_page;
    if fits || start >= first_page || start + text.len() != end {
        return make(&text);
    }
    MARK.next.set(end.max(first_page));
    let made = make(&text);
    drop(text);
    MARK.kept.set((first_page, MARK.get()));
    // From here to the end of the page there was nothing but the text.
    MARK.next.set(start);
    made
}

impl Mark {
    fn heap(&self) -> usize {
        (&raw const __heap_base) as usize
    }

    fn get(&self) -> usize {
        match self.next.get() {
            0 => self.heap(),
            mark => mark,
        }
    }

    /// Where a block can begin: not in what is kept.
    fn start(&self, layout: Layout) -> Option<(usize, usize)> {
        let (kept, behind) = self.kept.get();
        let start = self.get().next_multiple_of(layout.align());
        let end = start.checked_add(layout.size())?;
        if start >= behind || end <= kept {
            return Some((start, end));
        }
        let start = behind.next_multiple_of(layout.align());
        Some((start, start.checked_add(layout.size())?))
    }

    /// Moves the mark to `end`, growing memory if need be.
    fn advance_to(&self, end: usize) -> bool {
        let available = memory_size(0) * PAGE;
        if end > available && memory_grow(0, (end - available).div_ceil(PAGE)) == usize::MAX {
            return false;
        }
        self.next.set(end);
        true
    }
}

// SAFETY: blocks lie behind one another between `__heap_base` and the end of memory; the mark only
// moves back over the latest block, when that is freed or shrunk.
unsafe impl GlobalAlloc for Mark {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.start(layout) {
            Some((start, end)) if self.advance_to(end) => start as *mut u8,
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let start = block as usize;
        if start + layout.size() == self.get() {
            self.next.set(start);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let start = block as usize;
        if start + layout.size() == self.get()
            && let Some(end) = start.checked_add(new_size)
            && (start >= self.kept.get().1 || end <= self.kept.get().0)
        {
            return if self.advance_to(end) { block } else { core::ptr::null_mut() };
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
