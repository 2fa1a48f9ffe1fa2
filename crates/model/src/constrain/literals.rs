//! Texts of which one must be written: the values of an `enum`, the keys of an object.

/// A tree of their bytes.
#[derive(Clone, Debug)]
pub struct Literals {
    places: Vec<Place>,
}

#[derive(Clone, Debug, Default)]
struct Place {
    children: Vec<(u8, u32)>,
    /// Numbers of the texts that begin with what led here, ascending.
    below: Vec<u32>,
    /// The text that ends here.
    ends: Option<u32>,
}

impl Literals {
    /// Where nothing has been written.
    pub const ROOT: u32 = 0;

    /// Of these texts, which are numbered in their order. Of equal ones the first counts.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut places = vec![Place::default()];
        for (number, text) in texts.into_iter().enumerate() {
            let number = number as u32;
            let mut at = 0;
            places[at].below.push(number);
            for &byte in text {
                let child = places[at].children.iter().find(|child| child.0 == byte).map(|child| child.1 as usize);
                at = child.unwrap_or_else(|| {
                    let new = places.len();
                    places[at].children.push((byte, new as u32));
                    places.push(Place::default());
                    new
                });
                places[at].below.push(number);
            }
            places[at].ends.get_or_insert(number);
        }
        Self { places }
    }

    /// The place after `byte`.
    pub fn next(&self, at: u32, byte: u8) -> Option<u32> {
        self.places[at as usize].children.iter().find(|child| child.0 == byte).map(|child| child.1)
    }

    /// The text that ends at a place.
    pub fn end(&self, at: u32) -> Option<u32> {
        self.places[at as usize].ends
    }

    /// Whether nothing follows a place.
    pub fn is_last(&self, at: u32) -> bool {
        self.places[at as usize].children.is_empty()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.places[0].below.is_empty()
    }

    /// Numbers within `range` of texts that begin with what led to a place.
    pub fn within(&self, at: u32, range: std::ops::Range<u32>) -> &[u32] {
        let below = &self.places[at as usize].below;
        let (start, end) = (below.partition_point(|&number| number < range.start), below.partition_point(|&number| number < range.end));
        &below[start..end.max(start)]
    }

    /// Every byte of every text.
    pub fn bytes(&self) -> impl Iterator<Item = u8> {
        self.places.iter().flat_map(|place| place.children.iter().map(|child| child.0))
    }
}
