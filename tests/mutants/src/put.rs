//! A file with its changes in it, each of which happens when its number is asked for.

use std::collections::BTreeSet;

use crate::find::{Kind, Place};

/// What the changed program asks.
const ON: &str = "crate::mutant::on";

/// The part of the file from `begin` to `end`, with the places in it; `gone` are changes that do
/// not compile. The places are in order of their begin, outer ones first.
pub fn put(
    source: &str,
    mut begin: usize,
    end: usize,
    mut places: &[Place],
    gone: &BTreeSet<usize>,
) -> String {
    let mut out = String::new();
    while let [place, rest @ ..] = places {
        out.push_str(&source[begin..place.range.start]);
        let inside = rest.iter().take_while(|it| it.range.end <= place.range.end).count();
        let (inside, behind) = match place.range.is_empty() {
            true => (&[][..], rest),
            false => rest.split_at(inside),
        };
        let inner = put(source, place.range.start, place.range.end, inside, gone);
        out.push_str(&one(&place.kind, inner, gone));
        begin = place.range.end;
        places = behind;
    }
    out.push_str(&source[begin..end]);
    out
}

fn one(kind: &Kind, inner: String, gone: &BTreeSet<usize>) -> String {
    let is_there = |id: &usize| !gone.contains(id);
    match kind {
        Kind::Choice(others) => {
            let others: String = others
                .iter()
                .filter(|(id, _)| is_there(id))
                .map(|(id, text)| format!("if {ON}({id}) {{ {text} }} else "))
                .collect();
            if others.is_empty() { inner } else { format!("({others}{{ {inner} }})") }
        }
        Kind::Body(others) => {
            let others: String = others
                .iter()
                .filter(|(id, _)| is_there(id))
                .map(|(id, text)| format!("if {ON}({id}) {{ return {text}; }} "))
                .collect();
            if others.is_empty() { inner } else { format!("{{ {others}{inner} }}") }
        }
        Kind::NoArm(id) if is_there(id) => format!(" if !{ON}({id})"),
        Kind::NoArm(_) => inner,
        Kind::Guard { never, yes, no } => {
            let never = match never {
                Some(id) if is_there(id) => format!("!{ON}({id}) && "),
                _ => String::new(),
            };
            format!("{never}({ON}({yes}) || !{ON}({no}) && ({inner}))")
        }
    }
}

/// The module that is put into the changed crate: one change happens, the one that `MUTANT` says,
/// and none while the compiler computes a constant. Those that are asked for are put into the file
/// that `MUTANTS_REACHED` names, once each.
pub const SWITCH: &str = r#"
#[allow(missing_docs, unsafe_code, unused, unreachable_pub)]
mod mutant {
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    pub const fn on(id: u32) -> bool {
        #[allow(unused_unsafe)]
        unsafe { core::intrinsics::const_eval_select((id,), in_const, at_run_time) }
    }
    const fn in_const(_: u32) -> bool {
        false
    }
    fn at_run_time(id: u32) -> bool {
        static ACTIVE: OnceLock<u32> = OnceLock::new();
        static RECORD: OnceLock<Option<std::fs::File>> = OnceLock::new();
        static REACHED: [AtomicBool; 1 << 14] = [const { AtomicBool::new(false) }; 1 << 14];
        if let Some(mut file) = RECORD.get_or_init(record).as_ref()
            && !REACHED[id as usize].swap(true, Ordering::Relaxed)
        {
            file.write_all(&id.to_le_bytes()).unwrap();
        }
        let read = || std::env::var("MUTANT").ok()?.parse().ok();
        *ACTIVE.get_or_init(|| read().unwrap_or(u32::MAX)) == id
    }
    fn record() -> Option<std::fs::File> {
        let path = std::env::var_os("MUTANTS_REACHED")?;
        Some(std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap())
    }
}
"#;

/// Goes to the top of it.
pub const ATTRIBUTES: &str = "#![feature(core_intrinsics, const_eval_select)]
#![allow(internal_features, warnings, arithmetic_overflow, unconditional_panic)]
";
