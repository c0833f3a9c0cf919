//! Whether the links of the README to the documentation of the event server lead somewhere: rustdoc
//! does not see them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PAGE: &str = "https://docs.rs/sansws/latest/sansws/server/";

#[test]
fn links_to_the_documentation_have_targets() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let module = read("src/server/mod.rs");
    let docs: Vec<&str> = module.lines().filter_map(|line| line.strip_prefix("//! ")).collect();
    let parts = [docs.join("\n"), read("src/server/proxies.md"), read("src/server/limits.md")];
    let anchors: BTreeSet<String> =
        parts.iter().flat_map(|part| part.lines()).filter_map(anchor).collect();
    let surface = read("tests/public_api/surface.txt");

    let readme = read("README.md");
    let links: Vec<&str> = readme
        .split(PAGE)
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| c.is_whitespace() || c == ')').next())
        .collect();
    assert!(links.len() > 10, "{links:?}");
    for link in links {
        let is_there = match link.split_once('#') {
            Some(("index.html", anchor)) => anchors.contains(anchor),
            Some((page, method)) => {
                let method = method.strip_prefix("method.").expect(link);
                has(&surface, &format!("{}::{method}", item(page)))
            }
            None => has(&surface, item(link)),
        };
        assert!(is_there, "{link} leads nowhere");
    }
}

/// The anchor of a heading, as rustdoc makes it.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix("# ")?;
    Some(heading.to_lowercase().replace(' ', "-"))
}

/// The item of a page: `Server` of `struct.Server.html`.
fn item(page: &str) -> &str {
    page.split('.').nth(1).expect(page)
}

/// Whether there is a public item of this name.
fn has(surface: &str, item: &str) -> bool {
    let path = format!("sansws::server::{item}");
    surface.match_indices(&path).any(|(at, _)| {
        let next = surface[at + path.len()..].chars().next();
        next.is_none_or(|next| !next.is_alphanumeric() && next != '_')
    })
}
