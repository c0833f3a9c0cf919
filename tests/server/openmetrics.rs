//! A strict parser of the OpenMetrics 1.0 text format, as far as this crate writes it: counters,
//! gauges and histograms without timestamps and exemplars.

use std::collections::BTreeMap;

/// The samples of a text, by name and labels as they stand there.
#[derive(Debug)]
pub struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// Panics with the line that breaks a rule.
    pub fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("the end is marked");
        let (mut samples, mut seen) = (BTreeMap::new(), Vec::new());
        let mut family = Family::default();
        for line in body.split_terminator('\n') {
            assert!(!line.is_empty() && !line.contains('\r'), "{line:?}");
            if let Some(metadata) = line.strip_prefix("# ") {
                let mut words = metadata.splitn(3, ' ');
                let [keyword, name, value] = [(); 3].map(|()| words.next().expect(line));
                assert!(is_name(name), "{line}");
                if name != family.name {
                    family.check();
                    assert!(!seen.contains(&name), "{line}: its lines are not together");
                    seen.push(name);
                    family = Family { name: name.into(), ..Family::default() };
                }
                assert!(family.buckets.is_empty() && family.samples == 0, "{line}: it comes late");
                let field = match keyword {
                    "TYPE" => &mut family.kind,
                    "UNIT" => &mut family.unit,
                    "HELP" => &mut family.help,
                    _ => panic!("{line}"),
                };
                assert!(field.is_empty() && !value.is_empty(), "{line}: twice, or empty");
                *field = value.into();
            } else {
                let (key, number) = line.rsplit_once(' ').expect(line);
                let value = number.parse().expect(line);
                let (name, labels) = match key.split_once('{') {
                    None => (key, Vec::new()),
                    Some((name, rest)) => (name, labels(rest.strip_suffix('}').expect(line))),
                };
                family.add(name, &labels, value, line);
                assert!(samples.insert(key.into(), value).is_none(), "{line}: twice");
            }
        }
        family.check();
        Self(samples)
    }

    pub fn get(&self, key: &str) -> f64 {
        *self.0.get(key).unwrap_or_else(|| panic!("no {key} in {:#?}", self.0))
    }

    /// The sum of all samples of this name.
    pub fn sum(&self, name: &str) -> f64 {
        let of_name = self.0.iter().filter(|(key, _)| key.split('{').next() == Some(name));
        of_name.map(|(_, value)| value).sum()
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.keys().any(|key| key.starts_with(name))
    }
}

#[derive(Debug, Default)]
struct Family {
    name: String,
    kind: String,
    unit: String,
    help: String,
    samples: usize,
    /// Upper bounds and counts.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: Option<f64>,
}

impl Family {
    fn add(&mut self, name: &str, labels: &[(String, String)], value: f64, line: &str) {
        let suffix = name.strip_prefix(&self.name).expect(line);
        self.samples += 1;
        assert!(value >= 0.0 && value.is_finite(), "{line}");
        match (&*self.kind, suffix) {
            ("gauge", "") | ("counter", "_total") => {}
            ("histogram", "_bucket") => {
                let [(le, bound)] = labels else { panic!("{line}") };
                // "1.0", not "1": canonical numbers are compared as text
                assert!(le == "le" && (bound == "+Inf" || bound.contains(['.', 'e'])), "{line}");
                self.buckets.push((bound.parse().expect(line), value));
            }
            ("histogram", "_count") if labels.is_empty() => self.count = Some(value),
            ("histogram", "_sum") if labels.is_empty() => self.sum = Some(value),
            _ => panic!("{line}: no sample of a {}", self.kind),
        }
    }

    fn check(&self) {
        if self.name.is_empty() {
            return; // before the first one
        }
        assert!(self.samples > 0 && !self.help.is_empty(), "{self:?}");
        assert!(!self.name.ends_with("_total"), "{self:?}: the suffix is that of the sample");
        assert!(self.name.ends_with(&self.unit), "{self:?}: it is named after its unit");
        for unit in ["_bytes", "_seconds"].iter().filter(|unit| self.name.ends_with(**unit)) {
            assert_eq!(self.unit, unit[1..], "{self:?}");
        }
        if self.kind == "histogram" {
            assert!(self.buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{self:?}");
            let last = *self.buckets.last().expect("a bucket");
            assert_eq!(last, (f64::INFINITY, self.count.expect("a count")), "{self:?}");
            assert!(self.sum.is_some(), "{self:?}");
        }
    }
}

fn is_name(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

/// The labels between the braces.
fn labels(mut rest: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    loop {
        let (name, quoted) = rest.split_once("=\"").expect(rest);
        assert!(is_name(name) && !name.contains(':'), "{rest}");
        assert!(all.iter().all(|(other, _)| other != name), "{rest}: twice");
        let (mut value, mut chars) = (String::new(), quoted.char_indices());
        let end = loop {
            match chars.next().expect(rest) {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().expect(rest).1 {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    _ => panic!("{rest}: no such escape"),
                }),
                (_, c) => value.push(c),
            }
        };
        all.push((name.into(), value));
        match quoted[end + 1..].strip_prefix(',') {
            Some(more) => rest = more,
            None if quoted[end + 1..].is_empty() => return all,
            None => panic!("{rest}"),
        }
    }
}

#[test]
fn what_breaks_a_rule_is_found() {
    const GOOD: &str = "# TYPE a counter\n# HELP a Things.\na_total{b=\"c\\\"\"} 1\n# EOF\n";
    assert_eq!(Samples::parse(GOOD).sum("a_total"), 1.0);
    for (what, with) in [
        ("# EOF\n", ""),
        ("# EOF\n", "\n# EOF\n"),
        ("a_total", "a"),
        ("a_total", "b_total"),
        ("counter", "gauge"),
        ("\\\"", "\\q"),
        (" 1\n", " -1\n"),
        (" 1\n", " one\n"),
        ("# HELP a Things.\n", ""),
        ("# HELP a", "# UNIT a seconds\n# HELP a"),
        ("# EOF", "a_total{b=\"c\\\"\"} 1\n# EOF"),
        ("# EOF", "# HELP a Things.\n# EOF"),
    ] {
        let bad = GOOD.replacen(what, with, 1);
        assert!(std::panic::catch_unwind(|| Samples::parse(&bad)).is_err(), "{bad}");
    }
}
