//! The self-contained HTML page: scores, curves, cases, pictures.

use super::chart::{dice_svg, loss_svg};
use super::script::SCRIPT;
use super::style::css;
use super::{RunReport, cases, class_table, heat, scores, view};
use crate::Result;
use crate::train::EpochRecord;
use desam::files::write_text;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::path::Path;

/// Content security policy: the browser may show what is in the page and load nothing else.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Content of the page.
#[derive(Debug, Clone, Copy)]
pub struct ReportInput<'a> {
    /// Heading.
    pub title: &'a str,
    /// Notice above the scores; see [`PHANTOM_NOTE`](super::PHANTOM_NOTE).
    pub note: &'a str,
    /// The runs, in this order.
    pub runs: &'a [RunReport],
}

/// Renders the page as HTML. It loads nothing: no font, no picture, no network. Its inline script moves
/// sliders, sorts tables and switches the theme; without scripts all slices are shown next to each other
/// and rows are sorted worst first.
pub fn render_page(input: &ReportInput<'_>) -> String {
    let several = input.runs.len() > 1;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Keeps browsers from requesting an icon.
                link rel="icon" href="data:,";
                title { (input.title) }
                style { (PreEscaped(css())) }
            }
            body {
                main {
                    h1 { (input.title) }
                    @if !input.note.is_empty() {
                        p.notice { (input.note) }
                    }
                    @if let [run] = input.runs { (scores::headline(&run.evaluation)) }
                    @if !input.runs.is_empty() { (heat::heat_maps(input.runs)) }
                    @for run in input.runs { (section(run, several)) }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// Writes the page atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn write_page(path: &Path, input: &ReportInput<'_>) -> Result<()> {
    Ok(write_text(path, &render_page(input))?)
}

fn section(run: &RunReport, several: bool) -> Markup {
    let evaluation = &run.evaluation;
    let part = |text: &str| {
        if several {
            html! { h3 { (text) } }
        } else {
            html! { h2 { (text) } }
        }
    };
    html! {
        section {
            @if several {
                h2.run { (run.name) ": " (evaluation.rest()) }
                (scores::headline(evaluation))
            }
            @for note in &run.notes { p.notice { (note) } }
            (part(&format!("From {} to the others", evaluation.source)))
            (scores::table(evaluation))
            @if evaluation.classes.is_several() {
                (part("Classes"))
                (class_table::table(evaluation))
            }
            @if evaluation.metrics.len() > 1 {
                (part("Other metrics"))
                (scores::other_metrics(evaluation))
            }
            @if !run.history.is_empty() {
                (part("Training"))
                (curves(&run.history))
            }
            @if !run.views.is_empty() {
                (part("Worst and best cases"))
                (view::views(&run.views, evaluation.border_px, &evaluation.classes))
            }
            @if !run.pictures.is_empty() {
                (part("Prediction and ground truth"))
                (view::pictures(&run.pictures, evaluation.border_px))
            }
            @if !evaluation.cases.is_empty() {
                (part("Cases"))
                (cases::cases(evaluation))
            }
            @if !run.facts.is_empty() {
                (part("How this was made"))
                (facts(&run.facts))
            }
            @if !run.configuration.is_empty() {
                details {
                    summary { "The whole configuration" }
                    div.card { pre { (run.configuration) } }
                }
            }
        }
    }
}

fn curves(history: &[EpochRecord]) -> Markup {
    html! {
        div.charts {
            div.card { h3 { "Loss" } (PreEscaped(loss_svg(history))) }
            div.card { h3 { "Validation Dice" } (PreEscaped(dice_svg(history))) }
        }
    }
}

fn facts(facts: &[(String, String)]) -> Markup {
    html! {
        dl.card {
            @for (name, value) in facts {
                dt { (name) }
                dd { (value) }
            }
        }
    }
}
