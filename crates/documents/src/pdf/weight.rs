//! What a page costs. A form that draws forms that draw forms… costs a power of what it says, and the interpreter would draw it all.

use std::collections::HashMap;

use hayro_syntax::content::TypedIter;
use hayro_syntax::content::ops::TypedInstruction;
use hayro_syntax::object::{Dict, ObjectIdentifier};
use hayro_syntax::page::{Page, Resources};

/// Operations that one page may take; a form counts as often as it is drawn.
pub const MAX_OPERATIONS: u64 = 5_000_000;

/// Whether drawing the page takes no more than that.
pub fn is_bearable(page: &Page<'_>) -> bool {
    let resources = page.resources();
    resources.x_objects.is_empty() || operations(page.typed_operations(), resources, &mut HashMap::new()) <= MAX_OPERATIONS
}

/// The operations of a content, those of its forms included. `known`: forms seen, without a number while they are being counted; a
/// form that draws itself costs more than any bound.
fn operations<'a>(mut content: TypedIter<'_>, resources: &Resources<'a>, known: &mut HashMap<ObjectIdentifier, Option<u64>>) -> u64 {
    let mut count = 0u64;
    while let Some(operation) = content.next() {
        count = count.saturating_add(1);
        let TypedInstruction::XObject(object) = operation else { continue };
        let Some(form) = resources.get_x_object(object.0) else { continue };
        if form.dict().get::<hayro_syntax::object::Name<'_>>(b"Subtype").is_none_or(|kind| &*kind != b"Form") {
            continue;
        }
        let cost = match known.get(&form.obj_id()) {
            Some(cost) => cost.unwrap_or(u64::MAX),
            None if known.len() > 100_000 => u64::MAX,
            None => {
                known.insert(form.obj_id(), None);
                let own = form.dict().get::<Dict<'a>>(b"Resources").map(Resources::new);
                let cost = form.decoded().map_or(0, |data| operations(TypedIter::new(&data), own.as_ref().unwrap_or(resources), known));
                known.insert(form.obj_id(), Some(cost));
                cost
            }
        };
        count = count.saturating_add(cost);
        if count > MAX_OPERATIONS {
            return u64::MAX;
        }
    }
    count
}
