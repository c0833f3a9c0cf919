//! Whether the pages of the documentation are whole: rustdoc sees links and programs, and nothing
//! of what a page promises.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a program that a reader sees.
const LONGEST_PROGRAM: usize = 40;

/// Rows of a table "there, here".
const FEWEST_ROWS: usize = 10;

fn guide(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(guide(path)).unwrap()
}

fn names(directory: &str, extension: &str) -> Vec<String> {
    let entries = fs::read_dir(guide(directory)).unwrap().map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| name.into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(extension).map(String::from)).collect()
}

/// The programs in Rust of a page, without the lines that rustdoc hides.
fn programs(page: &str) -> Vec<Vec<&str>> {
    let blocks = page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let is_seen = |line: &&str| !line.trim_start().starts_with("# ");
    blocks.map(|block| block.lines().filter(is_seen).collect()).collect()
}

#[test]
fn programs_are_short_and_in_the_index() {
    let page = read("programs.md");
    let (index, sections) = page.split_once("\n# ").unwrap();
    let headings: Vec<&str> =
        sections.split("\n# ").map(|section| section.lines().next().unwrap()).collect();
    let programs = programs(&page);
    assert!(programs.len() >= 12);
    assert_eq!(headings.len(), programs.len(), "{headings:?}");
    for heading in headings {
        let anchor = heading.to_lowercase().replace(',', "").replace(' ', "-");
        assert!(index.contains(&format!("| [{heading}](#{anchor}) |")), "{heading}");
    }
    for program in programs {
        assert!(program.len() <= LONGEST_PROGRAM, "{} lines: {program:#?}", program.len());
    }
}

#[test]
fn pages_for_those_who_come_from_elsewhere_are_whole() {
    let index = read("coming_from.rs");
    let pages = names("coming_from", ".md");
    assert!(pages.len() >= 10, "{pages:?}");
    for name in pages {
        let page = read(&format!("coming_from/{name}.md"));
        assert!(index.contains(&format!("| [`{name}`] |")), "{name}");
        assert!(index.contains(&format!("pub mod {name} {{}}")), "{name}");
        let rows = page.lines().filter(|line| line.starts_with("| ")).count();
        assert!(rows > FEWEST_ROWS, "{name}: {rows} rows");
        assert_eq!(page.matches("\n```rust\n").count(), programs(&page).len(), "{name}");
        assert!(!programs(&page).is_empty(), "{name}: no program");
        let fences = page.lines().filter(|line| line.starts_with("```")).count();
        assert!(fences / 2 > programs(&page).len(), "{name}: no program of theirs");
        for section in ["One program", "What differs", "What it has and this crate has not"] {
            assert_eq!(page.matches(&format!("\n# {section}\n")).count(), 1, "{name}: {section}");
        }
    }
}

/// A blank line would end the block of HTML, and the rest be read as Markdown.
#[test]
fn pictures_are_one_block_of_html() {
    let pictures = names("pictures", ".svg");
    assert!(pictures.len() >= 3, "{pictures:?}");
    for name in pictures {
        let picture = read(&format!("pictures/{name}.svg"));
        let first = picture.lines().next().unwrap();
        assert!(first.starts_with("<svg ") && first.ends_with('>'), "{name}");
        assert!(picture.ends_with("</svg>\n"), "{name}");
        assert!(picture.lines().all(|line| !line.trim().is_empty()), "{name} has a blank line");
        assert!(picture.contains("prefers-color-scheme:dark"), "{name} is not for the dark");
    }
}
