//! PDF: the text a page shows, in reading order.
//!
//! hayro interprets the page (fonts, encodings, encryption with an empty password) and hands over each glyph with its place; what
//! makes lines of them is [`layout`]. Text that is there but not drawn, as OCR leaves it behind a scan, counts as text.

mod layout;
mod weight;

use data::Place;
use hayro_interpret::font::{Glyph, GlyphRun};
use hayro_interpret::hayro_cmap::BfString;
use hayro_interpret::kurbo::{Affine, BezPath, Point, Rect};
use hayro_interpret::{
    BlendMode, ClipPath, Context, Device, DrawMode, DrawProps, Image, ImageDrawProps, InterpreterCache, InterpreterSettings, SoftMask,
    TransformExt, interpret_page,
};
use hayro_syntax::{DecryptionError, LoadPdfError, Pdf};
use layout::Piece;

use crate::limits::{MAX_GLYPHS, MAX_PAGES};
use crate::writer::{Writer, Written};
use crate::{Bytes, DocumentError, Format, Remark, Result};

pub fn convert(bytes: &Bytes) -> Result<Written> {
    let pdf = Pdf::new(std::sync::Arc::new(bytes.clone())).map_err(|error| match error {
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) => DocumentError::Encrypted { format: Format::Pdf },
        LoadPdfError::Decryption(error) => DocumentError::damaged(Format::Pdf, format!("its encryption cannot be undone ({error:?})")),
        LoadPdfError::Invalid => DocumentError::damaged(Format::Pdf, "neither its table of objects nor its pages can be found"),
    })?;
    let pages = pdf.pages();
    if pages.is_empty() {
        return Err(DocumentError::damaged(Format::Pdf, "it has no pages"));
    }
    if pages.len() > MAX_PAGES {
        return Err(DocumentError::TooLarge { format: Format::Pdf, what: "pages", limit: MAX_PAGES as u64 });
    }
    let mut writer = Writer::new(Format::Pdf);
    writer.title = pdf.metadata().title.as_deref().map(string).filter(|title| !title.is_empty());
    let cache = InterpreterCache::new();
    let settings = InterpreterSettings::default();
    let (mut without, mut images, mut unknown, mut by_code) = (Vec::new(), 0, (0, 0), 0);
    for (index, page) in pages.iter().enumerate() {
        let number = index as u32 + 1;
        if !weight::is_bearable(page) {
            return Err(DocumentError::TooLarge { format: Format::Pdf, what: "operations on a page", limit: weight::MAX_OPERATIONS });
        }
        let (width, height) = page.render_dimensions();
        let transform = page.initial_transform(true).to_kurbo();
        let mut shown = Shown { page: Rect::new(0.0, 0.0, width.into(), height.into()), ..Shown::default() };
        let mut context = Context::new(transform, shown.page, &cache, pdf.xref(), settings.clone());
        interpret_page(page, &mut context, &mut shown);
        if shown.glyphs > MAX_GLYPHS {
            return Err(DocumentError::TooLarge { format: Format::Pdf, what: "glyphs on a page", limit: MAX_GLYPHS as u64 });
        }
        images += shown.images;
        by_code += shown.by_code;
        if shown.unknown > 0 {
            unknown = (if unknown.1 == 0 { number } else { unknown.0 }, unknown.1 + shown.unknown);
        }
        writer.blank_line();
        writer.mark(Place::Page { page: number });
        let text = layout::text(shown.pieces);
        if text.trim().is_empty() {
            without.push(number);
        }
        writer.push(&text);
        writer.check()?;
    }
    if without.len() == pages.len() {
        return Err(DocumentError::NoText { pages: pages.len() });
    }
    if !without.is_empty() {
        writer.remarks.push(Remark::PagesWithoutText { pages: without });
    }
    if unknown.1 > 0 {
        writer.remarks.push(Remark::GlyphsWithoutText { first_page: unknown.0, count: unknown.1 });
    }
    if by_code > 0 {
        writer.remarks.push(Remark::GlyphsByCode { count: by_code });
    }
    if images > 0 {
        writer.remarks.push(Remark::Images { count: images });
    }
    writer.finish(false)
}

/// A text string of a PDF: UTF-16 or UTF-8 with a mark, else Latin.
fn string(bytes: &[u8]) -> String {
    let encoding = encoding_rs::Encoding::for_bom(bytes).map_or(encoding_rs::WINDOWS_1252, |(encoding, _)| encoding);
    encoding.decode_with_bom_removal(bytes).0.trim_matches(['\0', ' ']).to_string()
}

/// What a page shows.
#[derive(Default)]
struct Shown {
    page: Rect,
    pieces: Vec<Piece>,
    glyphs: usize,
    images: usize,
    /// Glyphs without a character.
    unknown: usize,
    /// Glyphs whose character is that of their code.
    by_code: usize,
}

impl Device<'_> for Shown {
    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, '_>, props: DrawProps<'_>, _: &DrawMode) {
        for glyph in run.glyphs() {
            self.glyphs += 1;
            if self.glyphs > MAX_GLYPHS {
                return;
            }
            let transform = props.transform * glyph.transform();
            let advance = match &**glyph {
                Glyph::Outline(outline) => outline.advance_width(),
                Glyph::Type3(glyph) => glyph.advance_width(),
            };
            let text = match glyph.as_unicode() {
                Some(BfString::Char(c)) => c.to_string(),
                Some(BfString::String(s)) => s,
                None => match by_code(glyph) {
                    Some(text) => {
                        self.by_code += 1;
                        text.to_string()
                    }
                    None => "\u{fffd}".to_string(),
                },
            };
            if let Some(piece) = piece(text, transform, advance.map_or(500.0, f64::from), self.page) {
                self.unknown += usize::from(piece.text == "\u{fffd}");
                self.pieces.push(piece);
            }
        }
    }

    fn draw_image(&mut self, _: Image<'_, '_>, _: ImageDrawProps<'_>) {
        self.images += 1;
    }

    fn draw_path(&mut self, _: &BezPath, _: DrawProps<'_>, _: &DrawMode) {}
    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'_>>, _: BlendMode) {}
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
}

/// The character of a glyph that has only a code. TeX's bitmap fonts name none of their glyphs; their codes are ASCII, with the
/// ligatures where TeX's T1 encoding has them.
fn by_code(glyph: &Glyph<'_>) -> Option<&'static str> {
    const ASCII: &str = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
    const LIGATURES: [&str; 5] = ["ff", "fi", "fl", "ffi", "ffl"];
    match (glyph, glyph.char_code() as usize) {
        (Glyph::Type3(_), code @ 0x1b..0x20) => LIGATURES.get(code - 0x1b).copied(),
        (Glyph::Type3(_), code @ 0x20..0x7f) => ASCII.get(code - 0x20..code - 0x1f),
        _ => None,
    }
}

/// A glyph on the page; `None` off the page or without a size. `transform` takes thousandths of an em to the page, `advance` is in them.
fn piece(text: String, transform: Affine, advance: f64, page: Rect) -> Option<Piece> {
    let (from, to, up) = (transform * Point::ZERO, transform * Point::new(advance, 0.0), transform * Point::new(0.0, 1000.0));
    let size = (up - from).hypot();
    let on_page = page.inflate(2.0, 2.0).contains(from);
    (on_page && to.is_finite() && size.is_finite() && size > 0.1).then_some(Piece { text, from, to, size })
}
