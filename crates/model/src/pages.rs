//! Which cache pages belong to whom: reference counts, and reuse of full pages among sequences that begin alike.

use std::collections::{BTreeMap, HashMap};

use kernels::attention::PAGE_TOKENS;

/// Hands out cache pages. A full page is remembered under its tokens and the page before it, so that a later sequence with
/// the same beginning starts from it; pages nobody holds are kept until room is needed, least recently released first.
pub struct PagePool {
    holders: Vec<u32>,
    free: Vec<u32>,
    /// Released pages whose contents may still be reused: release time → page.
    idle: BTreeMap<u64, u32>,
    idle_since: Vec<u64>,
    clock: u64,
    by_prefix: HashMap<PrefixKey, u32>,
    prefix_of: Vec<Option<PrefixKey>>,
    serial: Vec<u64>,
    next_serial: u64,
}

/// The page before (by its serial, unique over the pool's life; 0 at the start) and the page's own tokens.
type PrefixKey = (u64, [u32; PAGE_TOKENS]);

impl PagePool {
    /// A pool of `pages` free pages.
    pub fn new(pages: usize) -> Self {
        Self {
            holders: vec![0; pages],
            free: (0..pages as u32).rev().collect(),
            idle: BTreeMap::new(),
            idle_since: vec![0; pages],
            clock: 0,
            by_prefix: HashMap::new(),
            prefix_of: vec![None; pages],
            serial: vec![0; pages],
            next_serial: 1,
        }
    }

    /// Pages that can be handed out now.
    pub fn available(&self) -> usize {
        self.free.len() + self.idle.len()
    }

    /// All pages.
    pub fn capacity(&self) -> usize {
        self.holders.len()
    }

    /// Takes hold of the cached full pages that `tokens` begins with, at most `limit` of them.
    pub fn share_prefix(&mut self, tokens: &[u32], limit: usize) -> Vec<u32> {
        let mut pages = Vec::new();
        let mut before = 0;
        for chunk in tokens.chunks_exact(PAGE_TOKENS).take(limit) {
            let mut key = (before, [0; PAGE_TOKENS]);
            key.1.copy_from_slice(chunk);
            let Some(&page) = self.by_prefix.get(&key) else { break };
            if self.holders[page as usize] == 0 {
                self.idle.remove(&self.idle_since[page as usize]);
            }
            self.holders[page as usize] += 1;
            before = self.serial[page as usize];
            pages.push(page);
        }
        pages
    }

    /// A fresh page, or `None` when every page is held.
    pub fn take(&mut self) -> Option<u32> {
        let page = match self.free.pop() {
            Some(page) => page,
            None => {
                let (_, page) = self.idle.pop_first()?;
                if let Some(key) = self.prefix_of[page as usize].take() {
                    self.by_prefix.remove(&key);
                }
                page
            }
        };
        self.holders[page as usize] = 1;
        Some(page)
    }

    /// Remembers that `page`, which follows `before` (`None` at the start), is full and holds `tokens`.
    pub fn publish(&mut self, page: u32, before: Option<u32>, tokens: &[u32]) {
        let parent = before.map_or(0, |page| self.serial[page as usize]);
        if self.prefix_of[page as usize].is_some() || (before.is_some() && parent == 0) || tokens.len() != PAGE_TOKENS {
            return;
        }
        let mut key = (parent, [0; PAGE_TOKENS]);
        key.1.copy_from_slice(tokens);
        if self.by_prefix.contains_key(&key) {
            return;
        }
        self.serial[page as usize] = self.next_serial;
        self.next_serial += 1;
        self.by_prefix.insert(key, page);
        self.prefix_of[page as usize] = Some(key);
    }

    /// Lets go of pages; those that were published stay reusable until room is needed.
    pub fn release(&mut self, pages: &[u32]) {
        // Later pages first, so that a prefix outlives what follows it.
        for &page in pages.iter().rev() {
            let holders = &mut self.holders[page as usize];
            *holders -= 1;
            if *holders > 0 {
                continue;
            }
            if self.prefix_of[page as usize].is_some() {
                self.clock += 1;
                self.idle_since[page as usize] = self.clock;
                self.idle.insert(self.clock, page);
            } else {
                self.serial[page as usize] = 0;
                self.free.push(page);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(pages: usize, last: u32) -> Vec<u32> {
        let mut tokens: Vec<u32> = (0..(pages * PAGE_TOKENS) as u32).collect();
        *tokens.last_mut().unwrap() = last;
        tokens
    }

    fn fill(pool: &mut PagePool, tokens: &[u32]) -> Vec<u32> {
        let mut pages: Vec<u32> = pool.share_prefix(tokens, usize::MAX);
        for (index, chunk) in tokens.chunks(PAGE_TOKENS).enumerate().skip(pages.len()) {
            let page = pool.take().unwrap();
            pool.publish(page, index.checked_sub(1).map(|i| pages[i]), chunk);
            pages.push(page);
        }
        pages
    }

    #[test]
    fn sequences_that_begin_alike_share_full_pages_until_they_differ() {
        let mut pool = PagePool::new(8);
        let a = fill(&mut pool, &tokens(3, 1));
        let b = fill(&mut pool, &tokens(3, 2));
        assert_eq!(a[..2], b[..2]);
        assert_ne!(a[2], b[2]);
        assert_eq!(pool.available(), 4);
        pool.release(&a);
        assert_eq!(pool.available(), 5);
        pool.release(&b);
        assert_eq!(pool.available(), 8);
        assert_eq!(fill(&mut pool, &tokens(3, 1)), a, "released pages are found again");
    }

    #[test]
    fn a_reused_page_forgets_its_old_prefix() {
        let mut pool = PagePool::new(2);
        let a = fill(&mut pool, &tokens(2, 1));
        pool.release(&a);
        let other: Vec<u32> = (1000..1000 + 2 * PAGE_TOKENS as u32).collect();
        let b = fill(&mut pool, &other);
        assert!(pool.share_prefix(&tokens(2, 1), usize::MAX).is_empty());
        assert!(pool.take().is_none());
        pool.release(&b);
    }

    #[test]
    fn a_child_is_not_found_under_a_page_that_was_replaced() {
        let mut pool = PagePool::new(3);
        let a = fill(&mut pool, &tokens(2, 1));
        pool.release(&a);
        // Evict in order of release: the second page goes first, its parent stays.
        pool.take().unwrap();
        pool.take().unwrap();
        assert_eq!(pool.share_prefix(&tokens(2, 1), usize::MAX).len(), 1);
    }
}
