//! Training curves as inline SVG, without a charting library.

use super::axis::{Axis, is_drawable};
use crate::train::EpochRecord;
use maud::{Markup, html};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 38.0;
const BOTTOM: f64 = 44.0;

/// One line of a chart.
struct ChartSeries<'a> {
    name: &'a str,
    /// CSS colour: a variable of the page, with a fallback outside it.
    colour: &'a str,
    dashed: bool,
    values: Vec<f64>,
}

/// A labelled vertical line.
struct EpochMark {
    epoch: f64,
    text: String,
}

struct Chart<'a> {
    /// Text for screen readers.
    description: String,
    unit: &'a str,
    epochs: Vec<f64>,
    series: Vec<ChartSeries<'a>>,
    y: Axis,
    mark: Option<EpochMark>,
}

/// Training and validation loss by epoch as an `<svg>` element. Its colours are the CSS variables `--first`
/// and `--second` and the text colour, so it is readable in light and dark mode. NaN and infinite values
/// interrupt the line.
pub fn loss_svg(history: &[EpochRecord]) -> String {
    let series = vec![
        ChartSeries {
            name: "training",
            colour: "var(--first, #d9780a)",
            dashed: true,
            values: history.iter().map(|e| e.train_loss).collect(),
        },
        ChartSeries {
            name: "validation",
            colour: "var(--second, #2b7fd4)",
            dashed: false,
            values: history.iter().map(|e| e.validation_loss).collect(),
        },
    ];
    let values = series.iter().flat_map(|s| s.values.iter().copied());
    let y = Axis::covering(values, true, 5.0);
    chart(history, "Loss by epoch", "loss", series, y)
}

/// Validation Dice by epoch, in per cent, as an `<svg>` element like [`loss_svg`]'s. The epoch whose weights
/// were kept is marked.
pub fn dice_svg(history: &[EpochRecord]) -> String {
    let series = vec![ChartSeries {
        name: "mean over validation cases",
        colour: "var(--second, #2b7fd4)",
        dashed: false,
        values: history.iter().map(|e| 100.0 * e.validation_dice).collect(),
    }];
    let y = Axis { low: 0.0, high: 100.0, step: 20.0 };
    chart(history, "Validation Dice by epoch, in per cent", "Dice %", series, y)
}

fn chart(
    history: &[EpochRecord],
    title: &str,
    unit: &str,
    series: Vec<ChartSeries<'_>>,
    y: Axis,
) -> String {
    let best = history.iter().rev().find(|e| e.best);
    let chart = Chart {
        description: match best {
            Some(best) => format!("{title}; the weights of epoch {} were kept", best.epoch),
            None => title.to_owned(),
        },
        unit,
        epochs: history.iter().map(|e| e.epoch as f64).collect(),
        series,
        y,
        mark: best
            .map(|e| EpochMark { epoch: e.epoch as f64, text: format!("kept: epoch {}", e.epoch) }),
    };
    chart.svg().into_string()
}

/// Formats a coordinate to a tenth of a pixel.
fn px(value: f64) -> String {
    format!("{value:.1}")
}

impl Chart<'_> {
    fn svg(&self) -> Markup {
        let first = self.epochs.first().copied().unwrap_or(1.0);
        let last = self.epochs.last().copied().unwrap_or(first);
        let x = Axis::epochs(first, last);
        let across = |epoch: f64| LEFT + x.position(epoch) * (WIDTH - LEFT - RIGHT);
        let down = |value: f64| HEIGHT - BOTTOM - self.y.position(value) * (HEIGHT - TOP - BOTTOM);
        let (floor, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        html! {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
                aria-label=(self.description) font-family="inherit" font-size="13" {
                @for tick in self.y.ticks() {
                    line x1=(px(LEFT)) x2=(px(right)) y1=(px(down(tick))) y2=(px(down(tick)))
                        stroke="currentColor" stroke-opacity="0.15" {}
                    text x=(px(LEFT - 7.0)) y=(px(down(tick) + 4.0)) text-anchor="end"
                        fill="currentColor" fill-opacity="0.75" { (self.y.label(tick)) }
                }
                @for tick in x.ticks().into_iter().filter(|&t| t >= x.low && t <= last) {
                    line x1=(px(across(tick))) x2=(px(across(tick))) y1=(px(floor))
                        y2=(px(floor + 5.0)) stroke="currentColor" stroke-opacity="0.5" {}
                    text x=(px(across(tick))) y=(px(floor + 19.0)) text-anchor="middle"
                        fill="currentColor" fill-opacity="0.75" { (x.label(tick)) }
                }
                line x1=(px(LEFT)) x2=(px(right)) y1=(px(floor)) y2=(px(floor))
                    stroke="currentColor" stroke-opacity="0.5" {}
                text x=(px((LEFT + right) / 2.0)) y=(px(HEIGHT - 6.0)) text-anchor="middle"
                    fill="currentColor" { "epoch" }
                text x=(px(LEFT)) y=(px(TOP - 12.0)) text-anchor="end" fill="currentColor"
                    { (self.unit) }
                (self.mark(across, floor))
                @for series in &self.series {
                    (self.line(series, across, down))
                }
                (self.legend(right))
                @if self.epochs.is_empty() {
                    text x=(px((LEFT + right) / 2.0)) y=(px((TOP + floor) / 2.0))
                        text-anchor="middle" fill="currentColor" { "no epoch was trained" }
                }
            }
        }
    }

    fn mark(&self, across: impl Fn(f64) -> f64, floor: f64) -> Markup {
        let Some(mark) = &self.mark else {
            return html! {};
        };
        let x = across(mark.epoch);
        // The label goes on the side with more space.
        let (anchor, shift) = if x > WIDTH / 2.0 { ("end", -6.0) } else { ("start", 6.0) };
        html! {
            line x1=(px(x)) x2=(px(x)) y1=(px(TOP)) y2=(px(floor)) stroke="currentColor"
                stroke-opacity="0.6" stroke-dasharray="2 4" {}
            text x=(px(x + shift)) y=(px(floor - 8.0)) text-anchor=(anchor) fill="currentColor"
                fill-opacity="0.75" { (mark.text) }
        }
    }

    /// A line, interrupted where a value is not finite; with point markers where there are few points.
    fn line(
        &self,
        series: &ChartSeries<'_>,
        across: impl Fn(f64) -> f64,
        down: impl Fn(f64) -> f64,
    ) -> Markup {
        let points: Vec<Option<(f64, f64)>> = self
            .epochs
            .iter()
            .zip(&series.values)
            .map(|(&e, &v)| is_drawable(v).then(|| (across(e), down(v))))
            .collect();
        let mut path = String::new();
        let mut open = false;
        for point in &points {
            if let Some((x, y)) = point {
                let command = if open { 'L' } else { 'M' };
                path.push_str(&format!("{command}{x:.1} {y:.1}"));
            }
            open = point.is_some();
        }
        let style = format!("stroke:{}", series.colour);
        html! {
            @if !path.is_empty() {
                path d=(path) fill="none" style=(style) stroke-width="2.2"
                    stroke-linejoin="round" stroke-dasharray=[series.dashed.then_some("6 4")] {}
            }
            @if points.len() <= 24 {
                @for (x, y) in points.iter().flatten() {
                    circle cx=(px(*x)) cy=(px(*y)) r="3" style=(format!("fill:{}", series.colour)) {}
                }
            }
        }
    }

    /// Legend: the names of the lines, in a row above the chart, right-aligned.
    fn legend(&self, right: f64) -> Markup {
        // A letter of a 13 px font is about 6.9 px wide.
        let width = |s: &ChartSeries<'_>| 30.0 + 6.9 * s.name.chars().count() as f64;
        let mut end = right;
        let mut starts: Vec<f64> = Vec::new();
        for series in self.series.iter().rev() {
            end -= width(series);
            starts.push(end);
        }
        html! {
            @for (series, start) in self.series.iter().zip(starts.into_iter().rev()) {
                line x1=(px(start + 4.0)) x2=(px(start + 22.0)) y1=(px(14.0)) y2=(px(14.0))
                    style=(format!("stroke:{}", series.colour)) stroke-width="2.2"
                    stroke-dasharray=[series.dashed.then_some("6 4")] {}
                text x=(px(start + 27.0)) y=(px(18.0)) fill="currentColor" { (series.name) }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A history that looks like one.
    pub(in crate::report) fn history(epochs: usize) -> Vec<EpochRecord> {
        let best = (epochs * 4 / 5).max(1);
        (1..=epochs)
            .map(|epoch| {
                let t = epoch as f64 / epochs as f64;
                let wave = 0.03 * (epoch as f64 * 1.7).sin();
                EpochRecord {
                    epoch,
                    learning_rate: 1e-3 * (1.0 - t),
                    train_loss: 1.5 * (-3.0 * t).exp() + 0.15,
                    train_dice_loss: (-3.0 * t).exp(),
                    validation_loss: 1.4 * (-2.6 * t).exp() + 0.3 + wave,
                    validation_dice_loss: (-2.6 * t).exp() + 0.1,
                    validation_dice: 0.9 - 0.8 * (-4.0 * t).exp() - 0.3 * wave,
                    best: epoch == best,
                }
            })
            .collect()
    }

    /// Every number in the attributes that hold coordinates.
    fn coordinates(svg: &str) -> Vec<f64> {
        let mut found = Vec::new();
        for name in [" x", " y", " x1", " x2", " y1", " y2", " cx", " cy"] {
            for part in svg.split(&format!("{name}=\"")).skip(1) {
                found.push(part.split('"').next().unwrap().parse().unwrap());
            }
        }
        for part in svg.split(" d=\"").skip(1) {
            let path = part.split('"').next().unwrap();
            let numbers = path.split(['M', 'L', ' ']).filter(|n| !n.is_empty());
            found.extend(numbers.map(|n| n.parse::<f64>().unwrap()));
        }
        found
    }

    fn stays_inside(svg: &str) {
        for v in coordinates(svg) {
            assert!((-1.0..=WIDTH + 1.0).contains(&v), "{v} in {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn charts_of_any_length_stay_inside() {
        for epochs in [0, 1, 2, 3, 15, 50, 200] {
            for svg in [loss_svg(&history(epochs)), dice_svg(&history(epochs))] {
                stays_inside(&svg);
                assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"));
                assert!(svg.contains(">epoch<") && svg.contains("validation"));
                assert_eq!(svg.contains("<path"), epochs > 0, "{epochs}");
            }
        }
        assert!(loss_svg(&[]).contains("no epoch was trained"));
    }

    #[test]
    fn one_epoch_is_a_dot() {
        let svg = loss_svg(&history(1));
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("kept: epoch 1"));
    }

    #[test]
    fn two_hundred_epochs_are_lines_without_dots() {
        let svg = loss_svg(&history(200));
        assert_eq!(svg.matches("<circle").count(), 0);
        let path = svg.split(" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (1, 199));
    }

    #[test]
    fn values_that_are_no_numbers_break_the_line() {
        let mut rows = history(9);
        rows[3].train_loss = f64::NAN;
        rows[5].train_loss = f64::INFINITY;
        rows[4].validation_dice = f64::NAN;
        rows[8].validation_loss = 1e305;
        let svg = loss_svg(&rows);
        let path = svg.split(" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(path.matches('M').count(), 3);
        stays_inside(&dice_svg(&rows));
        assert!(!svg.contains("NaN"));
        for row in &mut rows {
            row.train_loss = f64::NAN;
            row.validation_loss = f64::NAN;
        }
        stays_inside(&loss_svg(&rows));
    }
}
