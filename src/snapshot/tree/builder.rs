//! Makes the parts of a set from a sequence of items, or from the parts of another set and edits.

use std::sync::Arc;

use super::part::{Chapter, Edit, Item, LIMIT, Page, Sum, ends_here};

/// Cuts a sequence of items into pages and chapters, taking over whole ones where the cuts fall alike.
pub(super) struct Builder<T> {
    items: Vec<T>,
    pages: Vec<Arc<Page<T>>>,
    chapters: Vec<Arc<Chapter<T>>>,
}

// === impl Builder ===

impl<T: Item> Builder<T> {
    pub(super) const fn new() -> Self {
        Self {
            items: Vec::new(),
            pages: Vec::new(),
            chapters: Vec::new(),
        }
    }

    pub(super) fn item(&mut self, item: T) {
        let ends = ends_here(item.key(), 0);
        self.item_that(ends, item);
    }

    fn item_that(&mut self, ends: bool, item: T) {
        self.items.push(item);
        if ends || self.items.len() == LIMIT {
            self.end_page();
        }
    }

    /// As it is, where a page begins here too.
    pub(super) fn page(&mut self, page: &Arc<Page<T>>) {
        if self.items.is_empty() {
            self.whole_page(Arc::clone(page));
        } else {
            self.edited(&page.items, &[]);
        }
    }

    /// As it is, where a chapter begins here too.
    pub(super) fn chapter(&mut self, chapter: &Arc<Chapter<T>>) {
        if self.items.is_empty() && self.pages.is_empty() {
            self.chapters.push(Arc::clone(chapter));
        } else {
            chapter.pages.iter().for_each(|page| self.page(page));
        }
    }

    /// The items of a page with edits among them.
    pub(super) fn edited(&mut self, page: &[T], edits: &[Edit<T>]) {
        let (mut items, mut edits) = (page.iter().peekable(), edits.iter().peekable());
        loop {
            match (items.peek(), edits.peek()) {
                (None, None) => return,
                (Some(item), Some((key, _))) if item.key() == key => drop(items.next()),
                (Some(item), Some((key, _))) if item.key() > key => self.edit(edits.next()),
                (None, Some(_)) => self.edit(edits.next()),
                (Some(_), Some(_) | None) => {
                    let item = items.next().cloned();
                    // Only the last item of a page can be one that ends it.
                    let may_end = items.peek().is_none();
                    if let Some(item) = item {
                        self.item_that(may_end && ends_here(item.key(), 0), item);
                    }
                }
            }
        }
    }

    fn edit(&mut self, edit: Option<&Edit<T>>) {
        if let Some((_, Some(item))) = edit {
            self.item(item.clone());
        }
    }

    fn whole_page(&mut self, page: Arc<Page<T>>) {
        let ends = page.ends_chapter;
        self.pages.push(page);
        if ends || self.pages.len() == LIMIT {
            self.end_chapter();
        }
    }

    fn end_page(&mut self) {
        let items = std::mem::take(&mut self.items).into_boxed_slice();
        if let Some(last) = items.last().map(|item| item.key().clone()) {
            let page = Page {
                ends_chapter: ends_here(&last, 1),
                sum: Sum::of_items(&items),
                last,
                items,
            };
            self.whole_page(Arc::new(page));
        }
    }

    fn end_chapter(&mut self) {
        let pages = std::mem::take(&mut self.pages).into_boxed_slice();
        if let Some(last) = pages.last().map(|page| page.last.clone()) {
            let sum = Sum::of_parts(b"chapter", &pages);
            self.chapters.push(Arc::new(Chapter { pages, last, sum }));
        }
    }

    /// The chapters, and what is known of all of them together.
    pub(super) fn finish(mut self) -> (Arc<[Arc<Chapter<T>>]>, Sum) {
        self.end_page();
        self.end_chapter();
        let sum = Sum::of_parts(b"set", &self.chapters);
        (self.chapters.into(), sum)
    }
}
