//! Text and source code: the file's own text.

use data::Text;

use crate::decode::decode;
use crate::limits::MAX_TEXT;
use crate::writer::Written;
use crate::{Bytes, Remark, Result};

pub fn convert(bytes: Bytes) -> Result<Written> {
    let (text, mut remarks) = decode(&bytes, None);
    let text = line_ends(text, &mut remarks);
    Ok(Written::plain(text, remarks))
}

/// Line ends as `\n`, so that a quote does not depend on who saved the file; lines keep their numbers. Shared where there is nothing
/// to do.
pub fn line_ends(text: Text, remarks: &mut Vec<Remark>) -> Text {
    if !text.contains('\r') {
        return text;
    }
    if text.len() > MAX_TEXT {
        remarks.push(Remark::LineEndsKept);
        return text;
    }
    text.replace("\r\n", "\n").replace('\r', "\n").into()
}

/// What a file of a format that is text is, when it cannot be taken apart.
#[allow(dead_code, reason = "each format uses what it needs")]
pub fn instead(bytes: Bytes, why: String) -> Result<Written> {
    let mut written = convert(bytes)?;
    written.remarks.push(Remark::AsPlainText { why });
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers() {
        let written = convert(b"one\r\ntwo\rthree\n\r\nfive".as_slice().into()).unwrap();
        assert_eq!(&*written.text, "one\ntwo\nthree\n\nfive");
        assert!(written.lines && written.remarks.is_empty());
    }
}
