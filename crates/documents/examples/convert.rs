//! Prints a file as the text it is read as, and what there is to say about it: `cargo run --example convert -- FILE`.

fn main() {
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).expect("a readable file");
        let start = std::time::Instant::now();
        match documents::convert(&path, bytes) {
            Ok(converted) => {
                print!("{}", &*converted.document.text);
                let (marks, bytes) = (converted.document.marks.len(), converted.document.text.len());
                eprintln!("{path}: {}, {bytes} bytes, {marks} marks, {:?}", converted.format, start.elapsed());
                converted.remarks.iter().for_each(|remark| eprintln!("  {remark}"));
            }
            Err(error) => eprintln!("{path}: {error}"),
        }
    }
}
