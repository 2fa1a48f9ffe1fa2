//! The page without Trunk, for tests: `web/index.html` laid out as Trunk lays it out, around modules that were built already.

use std::path::{Path, PathBuf};

use crate::{shell, web};

/// Fills `folder` with the page around the modules in `bound`; what was there is gone.
pub fn lay_out(bound: &Path, folder: &Path) -> Result<(), String> {
    let place = shell::root().join("web");
    let source = std::fs::read_to_string(place.join("index.html")).map_err(|problem| format!("web/index.html: {problem}"))?;
    let (page, copies) = read(&source)?;
    let _ = std::fs::remove_dir_all(folder);
    web::copy_folder(bound, folder)?;
    for (from, to) in copies {
        web::copy(&place.join(&from), &folder.join(to)).map_err(|problem| format!("web/index.html: {problem}"))?;
    }
    std::fs::write(folder.join("index.html"), page).map_err(|problem| format!("{}: {problem}", folder.display()))
}

/// The page's text as a browser gets it, and the files to copy: from `web/`, to the page's folder. Lines with `data-trunk` are
/// instructions, one a line; only those that our page uses are understood.
fn read(source: &str) -> Result<(String, Vec<(String, PathBuf)>), String> {
    let (mut page, mut copies) = (String::new(), Vec::new());
    for line in source.lines() {
        if !line.contains("data-trunk") {
            page.push_str(line);
            page.push('\n');
            continue;
        }
        let refused = || format!("web/index.html: not understood: {}", line.trim());
        let (rel, href) = (attribute(line, "rel").ok_or_else(refused)?, attribute(line, "href").ok_or_else(refused)?);
        let name = href.rsplit('/').next().unwrap_or(href);
        let target = Path::new(attribute(line, "data-target-path").unwrap_or_default()).join(name);
        match rel {
            // The modules are there already, and a script of the page's own starts them.
            "rust" if attribute(line, "data-type") == Some("worker") => {}
            "css" => {
                page.push_str(&format!("  <link rel=\"stylesheet\" href=\"./{name}\">\n"));
                copies.push((href.to_string(), target));
            }
            "copy-file" => copies.push((href.to_string(), target)),
            _ => return Err(refused()),
        }
    }
    Ok((page, copies))
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trunks_instructions_are_followed_or_refused() {
        let source = "<head>\n  <link data-trunk rel=\"css\" href=\"style.css\">\n\
                      <link data-trunk rel=\"rust\" href=\"Cargo.toml\" data-type=\"worker\">\n\
                      <link data-trunk rel=\"copy-file\" href=\"../a/b.json\" data-target-path=\"tiny\">\n\
                      <link data-trunk rel=\"copy-file\" href=\"start.js\">\n</head>";
        let (page, copies) = read(source).unwrap();
        assert_eq!(page, "<head>\n  <link rel=\"stylesheet\" href=\"./style.css\">\n</head>\n");
        let expected = [("style.css", "style.css"), ("../a/b.json", "tiny/b.json"), ("start.js", "start.js")];
        assert_eq!(copies, expected.map(|(from, to)| (from.to_string(), PathBuf::from(to))));
        for refused in ["rel=\"sass\" href=\"a.sass\"", "rel=\"css\"", "rel=\"rust\" href=\"Cargo.toml\""] {
            assert!(read(&format!("<link data-trunk {refused}>")).is_err(), "{refused}");
        }
    }

    #[test]
    fn the_pages_own_instructions_are_understood() {
        let place = shell::root().join("web");
        let source = std::fs::read_to_string(place.join("index.html")).unwrap();
        let (page, copies) = read(&source).unwrap();
        assert!(!page.contains("data-trunk") && page.contains("<script type=\"module\" src=\"start.js\">"));
        assert!(copies.iter().all(|(from, _)| place.join(from).is_file()), "{copies:?}");
        assert!(web::TINY.iter().all(|name| copies.iter().any(|(_, to)| *to == Path::new("tiny").join(name))));
    }
}
