//! Memory and delays over the time, as SVG, readable on light and on dark.

use std::fmt::Write as _;

use crate::samples::{Sample, Samples};

const LEFT: f64 = 64.0;
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 170.0;
const TOPS: [f64; 2] = [34.0, 264.0];

/// A line, its name and its colour.
type Line<'a> = (&'a str, &'a str, Vec<Option<f64>>);

pub fn plot(samples: &Samples) -> String {
    let all = samples.all();
    let last = all.last().map_or(1.0, |it| it.seconds).max(1.0);
    let x = |seconds: f64| LEFT + WIDTH * seconds / last;
    let (width, height) = (LEFT + WIDTH + 110.0, TOPS[1] + HEIGHT + 46.0);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' \
         height='{height}' font-family='system-ui,sans-serif' font-size='12'>\n\
         <style>text{{fill:#24292f}}@media(prefers-color-scheme:dark){{text{{fill:#d0d7de}}}}\
         </style>\n"
    );
    for top in TOPS {
        for restart in samples.restarts() {
            let x = x(restart);
            let _ = writeln!(
                svg,
                "<line x1='{x:.1}' y1='{top}' x2='{x:.1}' y2='{}' stroke='#8c8c8c' \
                 stroke-dasharray='3 3'><title>the server is replaced</title></line>",
                top + HEIGHT
            );
        }
        let step = [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0]
            .into_iter()
            .find(|step| last / step <= 9.0)
            .unwrap_or(3600.0);
        for tick in 0..=(last / step) as usize {
            let (seconds, unit) = (tick as f64 * step, if step < 60.0 { 1.0 } else { 60.0 });
            let _ = writeln!(
                svg,
                "<text x='{:.1}' y='{}' text-anchor='middle'>{}{}</text>",
                x(seconds),
                top + HEIGHT + 16.0,
                seconds / unit,
                if unit > 1.0 { " min" } else { " s" }
            );
        }
    }

    let mib = |bytes: u64| (bytes > 0).then(|| bytes as f64 / f64::from(1 << 20));
    let line = |of: fn(&Sample) -> u64| all.iter().map(|it| mib(of(it))).collect::<Vec<_>>();
    let memory: [Line<'_>; 3] = [
        ("server", "#d62728", line(|it| it.server)),
        ("old server", "#e7a6a0", line(|it| it.old_server)),
        ("load", "#1f77b4", line(|it| it.load)),
    ];
    let most = memory.iter().flat_map(|it| &it.2).flatten().fold(1.0_f64, |a, b| a.max(*b)) * 1.05;
    let step = [1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]
        .into_iter()
        .find(|step| most / step <= 6.0)
        .unwrap_or(5000.0);
    let ticks: Vec<f64> = (0..=(most / step) as usize).map(|tick| tick as f64 * step).collect();
    let y = |value: f64| TOPS[0] + HEIGHT * (1.0 - value / most);
    let times: Vec<f64> = all.iter().map(|it| x(it.seconds)).collect();
    panel(&mut svg, "resident memory, MiB", TOPS[0], &ticks, &y, &times, &memory);

    let delay = |of: fn((f64, f64)) -> f64| all.iter().map(|it| it.delay.map(of)).collect();
    let delays: [Line<'_>; 2] =
        [("p50", "#2ca02c", delay(|it| it.0)), ("p99", "#9467bd", delay(|it| it.1))];
    let values = || delays.iter().flat_map(|it| &it.2).flatten();
    let low = values().fold(1.0_f64, |a, b| a.min(*b)).max(0.01) / 1.2;
    let high = values().fold(1.0_f64, |a, b| a.max(*b)) * 1.2;
    let ticks: Vec<f64> = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4]
        .into_iter()
        .filter(|tick| (low..high).contains(tick))
        .collect();
    let y = |value: f64| TOPS[1] + HEIGHT * (1.0 - (value.max(low) / low).ln() / (high / low).ln());
    let title = "echo of 125 B, ms (logarithmic); dashed: the server is replaced";
    panel(&mut svg, title, TOPS[1], &ticks, &y, &times, &delays);
    svg + "</svg>\n"
}

fn panel(
    svg: &mut String,
    title: &str,
    top: f64,
    ticks: &[f64],
    y: &dyn Fn(f64) -> f64,
    times: &[f64],
    lines: &[Line<'_>],
) {
    let _ = writeln!(svg, "<text x='{LEFT}' y='{}' font-weight='bold'>{title}</text>", top - 12.0);
    for tick in ticks {
        let y = y(*tick);
        let _ = writeln!(
            svg,
            "<line x1='{LEFT}' y1='{y:.1}' x2='{:.0}' y2='{y:.1}' stroke='#8884'/>\
             <text x='{:.0}' y='{:.1}' text-anchor='end'>{tick}</text>",
            LEFT + WIDTH,
            LEFT - 8.0,
            y + 4.0
        );
    }
    for (at, (name, colour, values)) in lines.iter().enumerate() {
        // a line for each run of values without a gap
        let points: Vec<(f64, Option<f64>)> =
            times.iter().copied().zip(values.iter().copied()).collect();
        for run in points.split(|point| point.1.is_none()) {
            let run: Vec<String> = (run.iter())
                .filter_map(|(x, value)| Some(format!("{x:.1},{:.1}", y((*value)?))))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='1.5'/>",
                run.join(" ")
            );
        }
        let (x, y) = (LEFT + WIDTH + 10.0, top + 12.0 + 18.0 * at as f64);
        let _ = writeln!(
            svg,
            "<rect x='{x}' y='{}' width='12' height='4' fill='{colour}'/>\
             <text x='{}' y='{}'>{name}</text>",
            y - 6.0,
            x + 17.0,
            y
        );
    }
}
