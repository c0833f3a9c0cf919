//! Plots as SVG, readable on light and on dark.

use std::fmt::Write as _;

use crate::report::Grid;

const FONT: &str = "font-family='system-ui,sans-serif' font-size='12'";

/// The colours of floors, ours and peers.
fn colour(name: &str) -> &'static str {
    match name {
        "floor-epoll" => "#8c8c8c",
        "floor-tokio" => "#b9b9b9",
        "sansws-tokio" => "#d62728",
        "sansws-mio" => "#ff7f0e",
        "sansws-blocking" => "#e7a6a0",
        "sansws-tokio-2-threads" => "#d62728",
        name if name.starts_with("tokio-tungstenite") => "#1f77b4",
        name if name.starts_with("tungstenite") => "#7fb3d9",
        name if name.starts_with("fastwebsockets") => "#2ca02c",
        name if name.starts_with("tokio-websockets") => "#9467bd",
        name if name.starts_with("sockudo") => "#17becf",
        name if name.starts_with("yawc") => "#bcbd22",
        _ => "#8c564b",
    }
}

/// A row for each column of the grid, a mark for each of its rows, on a logarithmic axis: below the
/// axis name is how many times the floor.
pub fn ratios(grid: &Grid) -> String {
    const LEFT: f64 = 120.0;
    const WIDTH: f64 = 620.0;
    const STEP: f64 = 34.0;
    let rows: Vec<_> = grid.rows.iter().filter(|(name, _)| name != "best peer").collect();
    let bottom = 30.0 + STEP * grid.columns.len() as f64;
    let legend = bottom + 44.0;
    let height = legend + 20.0 * rows.len().div_ceil(3) as f64 + 10.0;
    let (low, high) = (0.8_f64, 40.0_f64);
    let x = |value: f64| LEFT + WIDTH * (value.clamp(low, high) / low).ln() / (high / low).ln();
    let mut svg = head(LEFT + WIDTH + 30.0, height);
    let _ = writeln!(svg, "<text x='{LEFT}' y='16' font-weight='bold'>{}</text>", grid.title);
    for tick in [1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0] {
        let x = x(tick);
        let _ = writeln!(
            svg,
            "<line x1='{x:.1}' y1='24' x2='{x:.1}' y2='{bottom}' stroke='#8884'/>\
             <text x='{x:.1}' y='{:.0}' text-anchor='middle'>{tick}</text>",
            bottom + 16.0
        );
    }
    for (at, column) in grid.columns.iter().enumerate() {
        let y = 30.0 + STEP * (at as f64 + 0.5);
        let _ = writeln!(
            svg,
            "<text x='{:.0}' y='{:.0}' text-anchor='end'>{column}</text>\
             <line x1='{LEFT}' y1='{y}' x2='{:.0}' y2='{y}' stroke='#8883'/>",
            LEFT - 10.0,
            y + 4.0,
            LEFT + WIDTH
        );
        // ours last, on top
        let ours = |name: &str| name.starts_with("sansws");
        let order =
            rows.iter().filter(|row| !ours(&row.0)).chain(rows.iter().filter(|r| ours(&r.0)));
        for (name, cells) in order.filter(|row| row.1[at].value.is_finite()) {
            let _ = writeln!(svg, "{}", mark(name, x(cells[at].value), y, &cells[at].text));
        }
    }
    for (at, (name, _)) in rows.iter().enumerate() {
        let (x, y) = (LEFT + 210.0 * (at % 3) as f64, legend + 20.0 * (at / 3) as f64);
        let _ = writeln!(
            svg,
            "{}<text x='{:.0}' y='{:.0}'>{name}</text>",
            mark(name, x, y, ""),
            x + 12.0,
            y + 4.0
        );
    }
    svg + "</svg>\n"
}

/// A disc; a ring for servers that batch by hand; a diamond for ours.
fn mark(name: &str, x: f64, y: f64, value: &str) -> String {
    let colour = colour(name);
    let title = format!("<title>{name} {value}</title>");
    if name.starts_with("sansws") {
        let points = format!(
            "{x:.1},{:.1} {:.1},{y} {x:.1},{:.1} {:.1},{y}",
            y - 8.0,
            x + 7.0,
            y + 8.0,
            x - 7.0
        );
        return format!("<polygon points='{points}' fill='{colour}'>{title}</polygon>");
    }
    let fill = if name.ends_with("-batched") || name.ends_with("-protocol") {
        format!("fill='none' stroke='{colour}' stroke-width='2'")
    } else {
        format!("fill='{colour}'")
    };
    format!("<circle cx='{x:.1}' cy='{y}' r='5' {fill}>{title}</circle>")
}

/// Bars for one column of the grid, the shortest first, on a logarithmic axis.
pub fn bars(grid: &Grid, column: usize) -> String {
    const LEFT: f64 = 190.0;
    const WIDTH: f64 = 480.0;
    const STEP: f64 = 22.0;
    let mut rows: Vec<_> = grid.rows.iter().filter(|it| it.1[column].value.is_finite()).collect();
    rows.sort_by(|a, b| a.1[column].value.total_cmp(&b.1[column].value));
    let most = rows.last().map_or(1.0, |row| row.1[column].value).max(2.0);
    let mut svg = head(LEFT + WIDTH + 80.0, 40.0 + STEP * rows.len() as f64);
    let _ = writeln!(
        svg,
        "<text x='10' y='16' font-weight='bold'>{}, {} (logarithmic)</text>",
        grid.title, grid.columns[column]
    );
    for (at, (name, cells)) in rows.iter().enumerate() {
        let y = 30.0 + STEP * at as f64;
        let width =
            WIDTH * (cells[column].value.max(16.0) / 16.0).ln() / (most / 16.0).ln().max(1.0);
        let weight = if name.starts_with("sansws") { " font-weight='bold'" } else { "" };
        let _ = writeln!(
            svg,
            "<text x='{:.0}' y='{:.0}' text-anchor='end'{weight}>{name}</text>\
             <rect x='{LEFT}' y='{y}' width='{width:.1}' height='16' fill='{}'/>\
             <text x='{:.1}' y='{:.0}'>{}</text>",
            LEFT - 8.0,
            y + 12.0,
            colour(name),
            LEFT + width + 6.0,
            y + 12.0,
            cells[column].text
        );
    }
    svg + "</svg>\n"
}

/// A line for each row over its first columns, which stand for `xs`; both axes are logarithmic.
pub fn lines(grid: &Grid, xs: &[usize]) -> String {
    const LEFT: f64 = 60.0;
    const WIDTH: f64 = 480.0;
    const HEIGHT: f64 = 300.0;
    const TOP: f64 = 30.0;
    let values = || grid.rows.iter().flat_map(|row| &row.1[..xs.len()]).map(|cell| cell.value);
    let high = values().filter(|it| it.is_finite()).fold(2.0, f64::max) * 1.1;
    let low = values().filter(|it| it.is_finite()).fold(high, f64::min) / 1.1;
    let span = (xs[xs.len() - 1] as f64 / xs[0] as f64).ln();
    let x = |value: usize| LEFT + WIDTH * (value as f64 / xs[0] as f64).ln() / span;
    let y = |value: f64| TOP + HEIGHT * (1.0 - (value / low).ln() / (high / low).ln());
    let mut svg = head(LEFT + WIDTH + 190.0, TOP + HEIGHT + 50.0);
    let _ = writeln!(
        svg,
        "<text x='{LEFT}' y='16' font-weight='bold'>{}, by connections</text>",
        grid.title
    );
    for tick in [1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30].map(f64::from) {
        if (low..high).contains(&tick) {
            let y = y(tick);
            let _ = writeln!(
                svg,
                "<line x1='{LEFT}' y1='{y:.1}' x2='{:.0}' y2='{y:.1}' stroke='#8884'/>\
                 <text x='{:.0}' y='{:.0}' text-anchor='end'>{tick}</text>",
                LEFT + WIDTH,
                LEFT - 8.0,
                y + 4.0
            );
        }
    }
    for &count in xs {
        let _ = writeln!(
            svg,
            "<text x='{:.1}' y='{:.0}' text-anchor='middle'>{count}</text>",
            x(count),
            TOP + HEIGHT + 20.0
        );
    }
    let mut labels: Vec<f64> = Vec::new();
    let last = |row: &(String, Vec<crate::report::Cell>)| row.1[xs.len() - 1].value;
    let mut rows: Vec<_> = grid.rows.iter().filter(|row| last(row).is_finite()).collect();
    rows.sort_by(|a, b| last(a).total_cmp(&last(b)));
    for row in rows {
        let (name, cells) = row;
        let points: Vec<String> = xs
            .iter()
            .zip(cells)
            .map(|(&count, cell)| format!("{:.1},{:.1}", x(count), y(cell.value)))
            .collect();
        let dashes = if name.ends_with("threads") { " stroke-dasharray='5 4'" } else { "" };
        // upwards, and no label on another
        let label = labels.last().map_or(f64::MAX, |below| below - 15.0).min(y(last(row)) + 4.0);
        labels.push(label);
        let _ = writeln!(
            svg,
            "<polyline points='{}' fill='none' stroke='{}' stroke-width='2'{dashes}/>\
             <text x='{:.0}' y='{label:.0}'>{name}</text>",
            points.join(" "),
            colour(name),
            LEFT + WIDTH + 8.0
        );
    }
    svg + "</svg>\n"
}

fn head(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' \
         height='{height}' {FONT}>\n<style>text{{fill:#24292f}}@media(prefers-color-scheme:dark)\
         {{text{{fill:#d0d7de}}}}</style>\n"
    )
}
