//! Plots: how the figures grow with the load.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::contest::{Kind, Role};
use crate::figures::Spread;
use crate::results::Results;

/// A plot: its file, and what it shows.
pub(crate) struct Plot {
    name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
    setting: &'static str,
    metric: &'static str,
    x: &'static str,
}

/// All there are. One without figures isn't drawn.
pub(crate) const ALL: &[Plot] = &[
    Plot {
        name: "latency",
        title: "Acquire + release, p50, by tasks on distinct keys",
        kind: Kind::Throughput,
        setting: "",
        metric: "p50 us",
        x: "tasks",
    },
    Plot {
        name: "throughput",
        title: "Acquire + release per second, by tasks on distinct keys",
        kind: Kind::Throughput,
        setting: "",
        metric: "pairs/s",
        x: "tasks",
    },
    Plot {
        name: "handoff-process",
        title: "Release to grant, p50, contenders in one process",
        kind: Kind::Handoff,
        setting: "in one process, held 1 ms",
        metric: "p50 ms",
        x: "contenders",
    },
    Plot {
        name: "handoff-processes",
        title: "Release to grant, p50, contenders over processes",
        kind: Kind::Handoff,
        setting: "over processes, held 1 ms",
        metric: "p50 ms",
        x: "contenders",
    },
    Plot {
        name: "heartbeats-cpu",
        title: "CPU of the client, by locks held",
        kind: Kind::Heartbeats,
        setting: "",
        metric: "client CPU %",
        x: "locks",
    },
    Plot {
        name: "heartbeats-memory",
        title: "Memory of the client for each lock held",
        kind: Kind::Heartbeats,
        setting: "",
        metric: "bytes/lock",
        x: "locks",
    },
];

const FLOORS: [RGBColor; 3] = [RGBColor(0, 0, 0), RGBColor(90, 90, 90), RGBColor(150, 150, 150)];
const PEERS: [RGBColor; 6] = [
    RGBColor(0, 90, 180),
    RGBColor(0, 130, 70),
    RGBColor(130, 60, 160),
    RGBColor(210, 110, 0),
    RGBColor(0, 140, 150),
    RGBColor(120, 80, 40),
];

type Line = (String, Role, Vec<(f64, f64)>);

impl Plot {
    pub(crate) fn file(&self, results: &Results) -> String {
        format!("{}-{}.svg", results.backend, self.name)
    }

    /// Whether there is more than a point to draw.
    pub(crate) fn has_lines(&self, results: &Results) -> bool {
        self.lines(results).iter().any(|(_, _, points)| points.len() > 1)
    }

    fn lines(&self, results: &Results) -> Vec<Line> {
        let mut lines = Vec::new();
        for about in &results.contestants {
            let figures = results.figures.iter().filter(|figure| {
                (figure.of.kind, figure.of.setting.as_str(), figure.of.contestant.as_str(), figure.metric.as_str())
                    == (self.kind, self.setting, about.name.as_str(), self.metric)
            });
            let point = |(load, rounds): (u64, &[f64])| Some((load as f64, Spread::of(rounds)?.median));
            let mut points: Vec<(f64, f64)> = figures
                .filter_map(|figure| point((figure.of.load, &figure.rounds)))
                .filter(|(_, y)| *y > 0.0)
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            if !points.is_empty() {
                lines.push((about.name.clone(), about.role, points));
            }
        }
        lines
    }

    /// Draws it, both axes by powers.
    pub(crate) fn draw(&self, results: &Results, path: &Path) -> Result<()> {
        let lines = self.lines(results);
        let points = || lines.iter().flat_map(|(_, _, points)| points);
        let range = |of: fn(&(f64, f64)) -> f64, room: f64| {
            let (least, most) = points().map(of).fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
            (least / room)..(most * room)
        };
        let area = SVGBackend::new(path, (860, 420)).into_drawing_area();
        let drawn = (|| -> Result<(), DrawingAreaErrorKind<_>> {
            area.fill(&WHITE)?;
            let (left, right) = area.split_horizontally(640);
            let mut chart = ChartBuilder::on(&left)
                .caption(format!("{}: {}", results.backend, self.title), ("sans-serif", 16))
                .margin(12)
                .x_label_area_size(40)
                .y_label_area_size(64)
                .build_cartesian_2d(range(|point| point.0, 1.0).log_scale(), range(|point| point.1, 1.3).log_scale())?;
            chart.configure_mesh().x_desc(self.x).y_desc(self.metric).light_line_style(TRANSPARENT).draw()?;
            for (number, (name, role, points)) in lines.iter().enumerate() {
                let color = match role {
                    Role::Ours => RED.to_rgba(),
                    Role::Floor => FLOORS[number % FLOORS.len()].to_rgba(),
                    Role::Peer => PEERS[number % PEERS.len()].to_rgba(),
                };
                let style = color.stroke_width(if *role == Role::Peer { 1 } else { 2 });
                chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
                chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, color.filled())))?;
                // A number as well: not everybody tells these colours apart.
                let label = (number + 1).to_string();
                chart.draw_series(points.last().map(|last| Text::new(label.clone(), *last, ("sans-serif", 13))))?;
                // A list beside it, so that no line is hidden.
                let y = 48 + 20 * i32::try_from(number).unwrap_or(0);
                right.draw(&PathElement::new([(4, y), (24, y)], style))?;
                right.draw(&Text::new(format!("{label} {name}"), (30, y - 6), ("sans-serif", 12)))?;
            }
            area.present()
        })();
        drawn.map_err(|error| anyhow!("{}: {error}", path.display()))
    }
}
