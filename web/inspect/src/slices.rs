//! A file read in slices, line by line: neither the whole file nor more than one line of it is ever in this tab's memory.

use js_sys::Uint8Array;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

/// Bytes of a slice. Small enough that its lines are read in a few milliseconds: between two slices the page draws.
const SLICE: u64 = 1 << 20;
/// Bytes of a line at most: a row has a context of some hundred thousand tokens, and no row is longer than this.
const LONGEST: usize = 64 << 20;

/// What comes out of a file on the way.
pub enum Piece<'a> {
    /// The bytes that were read last, and where reading is.
    Read(&'a [u8], u64),
    /// A line without its end: its first byte in the file, one past its last, its number from 1.
    Line(u64, &'a [u8], usize),
}

/// The bytes of a file from `start` to `end`.
pub async fn bytes(file: &Blob, start: u64, end: u64) -> Result<Vec<u8>, String> {
    Ok(slice(file, start, end).await?.to_vec())
}

async fn slice(file: &Blob, start: u64, end: u64) -> Result<Uint8Array, String> {
    let said = |_| "The file can no longer be read: was it moved or changed? Open it again.".to_string();
    let slice = file.slice_with_f64_and_f64(start as f64, end as f64).map_err(said)?;
    let buffer = JsFuture::from(slice.array_buffer()).await.map_err(said)?;
    Ok(Uint8Array::new(&buffer.unchecked_into::<js_sys::ArrayBuffer>()))
}

/// All of a file as text.
pub async fn text(file: &Blob) -> Result<String, String> {
    let bytes = bytes(file, 0, file.size() as u64).await?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".into())
}

/// The first line of a file, as far as `most` bytes go.
pub async fn first(file: &Blob, most: u64) -> Result<Vec<u8>, String> {
    let all = (file.size() as u64).min(most);
    let mut end = SLICE.min(all);
    loop {
        let slice = slice(file, 0, end).await?;
        match line_end(&slice, 0) {
            Some(line) => return Ok(slice.subarray(0, line as u32).to_vec()),
            None if end == all => return Ok(slice.to_vec()),
            None => end = (4 * end).min(all),
        }
    }
}

/// The next end of a line, as the browser finds it.
fn line_end(slice: &Uint8Array, from: usize) -> Option<usize> {
    usize::try_from(slice.index_of(b'\n', from as i32)).ok()
}

/// Hands every slice and every line of a file to `take`, in order, until it says `false`.
pub async fn lines(file: &Blob, take: &mut dyn FnMut(Piece) -> bool) -> Result<(), String> {
    let all = file.size() as u64;
    let (mut at, mut number) = (0, 0);
    // The beginning of a line whose end has not come, and where it stands.
    let (mut begun, mut begun_at) = (Vec::new(), 0);
    while at < all {
        let array = slice(file, at, (at + SLICE).min(all)).await?;
        let slice = array.to_vec();
        if slice.is_empty() {
            return Err("The file became shorter while it was read.".into());
        }
        if !take(Piece::Read(&slice, at + slice.len() as u64)) {
            return Ok(());
        }
        // Where the next line begins, in the slice.
        let mut from = 0;
        while let Some(end) = line_end(&array, from) {
            number += 1;
            let whole = &slice[from..end];
            let go_on = match begun.is_empty() {
                true => take(Piece::Line(at + from as u64, whole, number)),
                false => {
                    begun.extend_from_slice(whole);
                    let go_on = take(Piece::Line(begun_at, &begun, number));
                    begun.clear();
                    go_on
                }
            };
            if !go_on {
                return Ok(());
            }
            from = end + 1;
        }
        if begun.is_empty() {
            begun_at = at + from as u64;
        }
        begun.extend_from_slice(&slice[from..]);
        if begun.len() > LONGEST {
            return Err(format!("Line {} has more than {} MB: this is no file of rows.", number + 1, LONGEST >> 20));
        }
        at += slice.len() as u64;
    }
    if !begun.is_empty() {
        take(Piece::Line(begun_at, &begun, number + 1));
    }
    Ok(())
}
