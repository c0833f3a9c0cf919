//! Tables in Markdown.

use std::fmt::Write as _;

/// A table: a name and a cell for each column in every row.
pub struct Grid {
    pub title: String,
    pub columns: Vec<String>,
    pub rows: Vec<(String, Vec<Cell>)>,
}

#[derive(Clone)]
pub struct Cell {
    pub value: f64,
    pub text: String,
}

impl Cell {
    /// With so many places after the point.
    pub fn new(value: f64, places: usize) -> Self {
        let text = if value.is_finite() { format!("{value:.places$}") } else { "–".into() };
        Self { value, text }
    }

    /// With about three digits.
    pub fn number(value: f64) -> Self {
        let places = match value.abs() {
            ..1.0 => 3,
            1.0..10.0 => 2,
            10.0..100.0 => 1,
            _ => 0,
        };
        Self::new(value, places)
    }

    pub fn text(text: String) -> Self {
        Self { value: f64::NAN, text }
    }
}

impl Grid {
    pub fn markdown(&self) -> String {
        let mut out = format!("\n### {}\n\n| |", self.title);
        for column in &self.columns {
            let _ = write!(out, " {column} |");
        }
        out.push_str("\n|---|");
        out.push_str(&"---:|".repeat(self.columns.len()));
        out.push('\n');
        for (name, cells) in &self.rows {
            let bold = if name.starts_with("sansws") { "**" } else { "" };
            let _ = write!(out, "| {bold}{name}{bold} |");
            for cell in cells {
                let _ = write!(out, " {bold}{}{bold} |", cell.text);
            }
            out.push('\n');
        }
        out
    }
}

/// The middle one of the figures that are any.
pub fn median(figures: &[f64]) -> f64 {
    let mut figures: Vec<f64> = figures.iter().copied().filter(|it| it.is_finite()).collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => figures[n / 2],
        n => (figures[n / 2 - 1] + figures[n / 2]) / 2.0,
    }
}

/// What the figures were taken on, and how busy it was.
pub fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("?");
    let cpu = cpu.trim_start_matches([' ', '\t', ':']);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cpu}, {} processors, Linux {}", crate::sys::cpus().len(), kernel.trim())
}

/// Processes that wanted to run, on average over the last minute.
pub fn load_average() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("?").to_string()
}
