//! Opens a path and says what came out, how long it took and what memory it took (Linux):
//! `cargo run --release --example open -- PATH`.

fn main() {
    let path = std::env::args().nth(1).expect("a path");
    let start = std::time::Instant::now();
    let opened = match documents::open(&path) {
        Ok(opened) => opened,
        Err(error) => return eprintln!("{error}"),
    };
    let time = start.elapsed();
    let bytes: usize = opened.documents.iter().map(|converted| converted.document.text.len()).sum();
    println!("{} documents, {bytes} bytes of text in {time:?}", opened.documents.len());
    for skipped in &opened.skipped {
        println!("  {}: {}", skipped.path, skipped.why);
    }
    for converted in opened.documents.iter().filter(|converted| !converted.remarks.is_empty()) {
        converted.remarks.iter().for_each(|remark| println!("  {}: {remark}", converted.document.id));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .filter(|line| ["VmHWM", "RssAnon", "RssFile"].iter().any(|key| line.starts_with(key)))
        .for_each(|line| println!("{line}"));
}
