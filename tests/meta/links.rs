//! Whether the links of the README to the documentation lead somewhere: rustdoc does not see them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const PAGES: &str = "https://docs.rs/sansws/latest/sansws/";

/// The pages of modules and types that the README links to, and the files whose headings they show.
const SOURCES: [(&str, &[&str]); 4] = [
    ("server/index.html", &["src/server/mod.rs", "src/server/limits.md"]),
    ("endpoint/index.html", &["src/endpoint/embedding.md"]),
    ("handshake/index.html", &["src/handshake/stacks.md"]),
    ("struct.Config.html", &["src/config.md"]),
];

#[test]
fn links_to_the_documentation_have_targets() {
    let surface = read("tests/public_api/surface.txt");
    let anchors: BTreeMap<&str, BTreeSet<String>> =
        SOURCES.iter().map(|&(page, files)| (page, anchors(files))).collect();
    let guides = guides();

    let readme = read("README.md");
    let links: Vec<&str> = readme
        .split(PAGES)
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| c.is_whitespace() || c == ')').next())
        .collect();
    assert!(links.len() > 20, "{links:?}");
    for link in links {
        let (page, anchor) = link.split_once('#').unwrap_or((link, ""));
        let guide = page.strip_prefix("guide/").and_then(|it| it.strip_suffix("/index.html"));
        let is_there = match (guide, anchor.strip_prefix("method.")) {
            (Some(guide), None) => guides.contains(guide) && anchor.is_empty(),
            (None, Some(method)) => has(&surface, &format!("{}::{method}", item(page))),
            (None, None) if anchor.is_empty() => has(&surface, &item(page)),
            (None, None) => anchors.get(page).is_some_and(|it| it.contains(anchor)),
            (Some(_), Some(_)) => false,
        };
        assert!(is_there, "{link} leads nowhere");
    }
}

/// The guides, by the names of their modules.
fn guides() -> BTreeSet<String> {
    let module = read("src/guide/mod.rs");
    let names = module.lines().filter_map(|line| line.strip_prefix("pub mod "));
    names.map(|name| name.trim_end_matches([' ', '{', ';']).to_owned()).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The anchors of the headings in these files, as rustdoc makes them.
fn anchors(files: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files {
        for line in read(file).lines() {
            if let Some(heading) = line.trim_start_matches("//! ").strip_prefix("# ") {
                found.insert(heading.to_lowercase().replace(' ', "-"));
            }
        }
    }
    found
}

/// The path of the item of a page: `server::Server` of `server/struct.Server.html`.
fn item(page: &str) -> String {
    let (module, file) = page.rsplit_once('/').unwrap_or(("", page));
    let name = file.split('.').nth(1).expect(page);
    match module {
        "" => name.to_owned(),
        module => format!("{}::{name}", module.replace('/', "::")),
    }
}

/// Whether there is a public item of this path.
fn has(surface: &str, item: &str) -> bool {
    let path = format!("sansws::{item}");
    surface.match_indices(&path).any(|(at, _)| {
        let next = surface[at + path.len()..].chars().next();
        next.is_none_or(|next| !next.is_alphanumeric() && next != '_')
    })
}
