//! An allocator that moves a mark through memory: first through what the data and the stack leave of
//! the initial memory, then through pages it asks for. Only the latest block is ever given back. A
//! guest lives for one evaluation, so there is nothing to gain from more.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::Cell;
use core::mem::ManuallyDrop;

use crate::settings::Compact;

const PAGE: usize = 65_536;

/// What evaluations find below the settings, at least.
const RESERVE: usize = 12 * 1024;

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
/// To write to a page behind the first few costs as much as a small evaluation, since only those are reset
/// without a system call. So if what is made would leave no room in the first page, it is made behind it, and
/// evaluations get the room of the text.
pub(crate) fn keep<T>(text: String, make: impl FnOnce(&str) -> T) -> T {
    let Some(place) = Place::of(&text).filter(|place| !place.has_room_for_more(text.len())) else {
        let made = make(&text);
        mark_the_end();
        return made;
    };
    MARK.next.set(place.end.max(place.first_page));
    let made = make(&text);
    drop(text);
    mark_the_end();
    MARK.kept.set((place.first_page, MARK.get()));
    // From here to the end of the page there was nothing but the text.
    MARK.next.set(place.start);
    made
}

/// The same for what can be copied: a copy is kept, in one piece, and what reading the settings left is gone.
/// It is in the first page if it has room there, else at the end of as few pages as can be, since each of them
/// costs. Evaluations get the room that is left before it.
pub(crate) fn keep_compactly<P: Compact, E>(
    text: String,
    make: impl FnOnce(&str) -> Result<P, E>,
) -> Result<P, E> {
    let Some(place) = Place::of(&text) else { return keep(text, make) };
    let made = ManuallyDrop::new(make(&text)?);
    let copied = MARK.get().next_multiple_of(ALIGNMENT);
    MARK.next.set(copied);
    let copy = ManuallyDrop::new((*made).clone());
    let copied_end = MARK.get();
    let size = copied_end - copied;
    let low = place.start.next_multiple_of(ALIGNMENT);
    let fits = low + size + RESERVE <= place.first_page;
    // As much more as the mark of the end and beginning at a multiple may take.
    let whole = size + ALIGNMENT;
    let at = if fits { low } else { (low + RESERVE + whole).next_multiple_of(PAGE) - whole };
    let at = at - at % ALIGNMENT;
    if at + size >= copied {
        // No room below the copy.
        mark_the_end();
        return Ok(ManuallyDrop::into_inner(copy));
    }
    // What lies below the copy is written over from now on.
    core::mem::forget(text);
    MARK.next.set(at);
    let kept = (*copy).clone();
    mark_the_end();
    let kept_end = MARK.get();
    // SAFETY: nobody uses what is there: the text, what was read from it and the copy are not dropped, and
    // by the contract of `Compact` the one that is kept has nothing of theirs.
    unsafe {
        core::ptr::write_bytes(low as *mut u8, 0, at - low);
        core::ptr::write_bytes(kept_end as *mut u8, 0, copied_end - kept_end);
    }
    if !fits {
        MARK.kept.set((at, kept_end));
        MARK.next.set(low);
    }
    Ok(kept)
}

/// Where the text of settings lies, with nothing behind it.
struct Place {
    start: usize,
    end: usize,
    /// The end of the first page that has room for evaluations.
    first_page: usize,
}

impl Place {
    /// None if something else was allocated since.
    fn of(text: &str) -> Option<Self> {
        let first_page = MARK.heap().saturating_add(RESERVE).next_multiple_of(PAGE);
        let (start, end) = (text.as_ptr() as usize, MARK.get());
        let is_last = start < first_page && start + text.len() == end;
        is_last.then_some(Self { start, end, first_page })
    }

    /// Whether what is read from so much text has room in the first page too. It is rarely larger than three
    /// times its JSON.
    fn has_room_for_more(&self, text: usize) -> bool {
        self.end + 3 * text + RESERVE <= self.first_page
    }
}

/// Tells the host that pages of zeros at the end of memory, once the settings are in it, are no loss: nobody
/// relies on how much memory there is, and what is in use ends with a byte that is not zero.
#[used]
#[unsafe(link_section = "chancery-memory")]
static CAN_BE_CUT: [u8; 1] = [1];

fn mark_the_end() {
    core::hint::black_box(Box::leak(Box::new(CAN_BE_CUT[0])));
}

/// More than anything here is aligned to, so that two copies that begin so are of one shape.
const ALIGNMENT: usize = 16;

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
