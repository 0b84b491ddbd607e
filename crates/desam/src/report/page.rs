//! One self-contained HTML page on a run: scores, curves, pictures.

use super::chart::{dice_svg, loss_svg};
use super::overlay::{PREDICTION_RGB, TRUTH_RGB};
use super::style::CSS;
use crate::Result;
use crate::evaluate::{Evaluation, Role, SiteScore, counted, percent};
use crate::files::write_text;
use crate::train::EpochRecord;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::path::Path;

/// One slice on the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Its site.
    pub site: String,
    /// Its case.
    pub case: String,
    /// The processed slice, from 0.
    pub slice: usize,
    /// Dice of what is seen, 0 to 1.
    pub dice: Option<f64>,
    /// The picture, as [`overlay_png`](super::overlay_png) makes it.
    pub png: Vec<u8>,
}

/// What goes onto the page.
#[derive(Debug, Clone, Copy)]
pub struct ReportInput<'a> {
    /// Heading.
    pub title: &'a str,
    /// What must be known before the numbers are read; see [`PHANTOM_NOTE`](super::PHANTOM_NOTE).
    pub note: &'a str,
    /// The scores.
    pub evaluation: &'a Evaluation,
    /// The training run, epoch by epoch.
    pub history: &'a [EpochRecord],
    /// Slices to look at; shown by site, in the order of their first picture.
    pub pictures: &'a [Picture],
    /// Configuration and circumstances, as names and values.
    pub facts: &'a [(String, String)],
}

/// The page as text. It asks for nothing from anywhere: no script, no font, no network.
pub fn render_page(input: &ReportInput<'_>) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Keeps a browser from asking for an icon.
                link rel="icon" href="data:,";
                title { (input.title) }
                style { (PreEscaped(CSS)) }
            }
            body {
                main {
                    h1 { (input.title) }
                    @if !input.note.is_empty() {
                        p.notice { (input.note) }
                    }
                    (headline(input.evaluation))
                    (scores(input.evaluation))
                    @if !input.history.is_empty() {
                        (curves(input.history))
                    }
                    @if !input.pictures.is_empty() {
                        (pictures(input.pictures))
                    }
                    @if !input.facts.is_empty() {
                        (facts(input.facts))
                    }
                }
            }
        }
    };
    page.into_string()
}

/// Writes the page in one step.
///
/// # Errors
/// When the file cannot be written.
pub fn write_page(path: &Path, input: &ReportInput<'_>) -> Result<()> {
    write_text(path, &render_page(input))
}

fn headline(evaluation: &Evaluation) -> Markup {
    let own = evaluation.source_site();
    html! {
        div.headline {
            @if let Some(own) = own {
                div.card {
                    b { (percent(Some(own.mean_dice))) " %" }
                    "Dice on the source site " (own.site) ", "
                    (counted(own.cases, "held-out case"))
                }
            }
            @if evaluation.overall_dice.is_some() {
                div.card {
                    b { (percent(evaluation.overall_dice)) " %" }
                    "Dice, " (evaluation.rest()) ": mean of "
                    (counted(evaluation.targets().count(), "unseen site"))
                }
            }
            div.card {
                b { (empty(evaluation)) " empty" }
                "predictions, each counted as a Dice of 0 in its mean"
            }
        }
    }
}

fn empty(evaluation: &Evaluation) -> usize {
    evaluation.sites.iter().map(|s| s.empty_predictions).sum()
}

fn scores(evaluation: &Evaluation) -> Markup {
    let cases: usize = evaluation.targets().map(|s| s.cases).sum();
    html! {
        h2 { "From site " (evaluation.source) " to the others" }
        div.card.scroll {
            table {
                thead {
                    tr {
                        th { "site" }
                        th.left { "role" }
                        th { "cases" }
                        th { "Dice %" }
                        th.bar {}
                        th.extra { "median" }
                        th { "worst" }
                        th { "empty" }
                    }
                }
                tbody {
                    @for site in &evaluation.sites {
                        (site_row(site))
                    }
                    @if evaluation.overall_dice.is_some() {
                        (total_row(evaluation, "mean of sites", evaluation.overall_dice, true))
                        (total_row(evaluation, "mean of cases", evaluation.overall_cases_dice, false))
                    }
                }
            }
        }
        p.soft {
            "Dice over all voxels of a case, " (evaluation.setting()) ". "
            @if cases > 0 {
                "The overall rows are the mean of the sites' means and the mean over all "
                (counted(cases, "case")) " of the sites that training never saw."
            }
        }
        @for lost in &evaluation.unscored {
            p.soft { "Not scored: " (lost.site) "/" (lost.case) ": " (lost.reason) "." }
        }
    }
}

fn site_row(site: &SiteScore) -> Markup {
    html! {
        tr class=[(site.role == Role::SourceValidation).then_some("validation")] {
            td { (site.site) }
            td.left { (site.role.name()) }
            td { (site.cases) }
            td { (percent(Some(site.mean_dice))) }
            (bar(Some(site.mean_dice)))
            td.extra { (percent(Some(site.median_dice))) }
            td { (percent(Some(site.min_dice))) }
            td { (site.empty_predictions) }
        }
    }
}

fn total_row(evaluation: &Evaluation, over: &str, dice: Option<f64>, first: bool) -> Markup {
    let class = if first { "total first-total" } else { "total" };
    let worst = evaluation.targets().map(|s| s.min_dice).reduce(f64::min);
    html! {
        tr class=(class) {
            td { (evaluation.rest()) }
            td.left { (over) }
            td { (evaluation.targets().map(|s| s.cases).sum::<usize>()) }
            td { (percent(dice)) }
            (bar(dice))
            td.extra {}
            td { (percent(worst)) }
            td { (evaluation.targets().map(|s| s.empty_predictions).sum::<usize>()) }
        }
    }
}

/// A bar of the fraction's length, for the eye alone: the number stands beside it.
fn bar(fraction: Option<f64>) -> Markup {
    let width = fraction.filter(|f| f.is_finite()).map_or(0.0, |f| 100.0 * f.clamp(0.0, 1.0));
    html! {
        td.bar aria-hidden="true" { span.track { i style=(format!("width:{width:.2}%")) {} } }
    }
}

fn curves(history: &[EpochRecord]) -> Markup {
    html! {
        h2 { "Training" }
        div.charts {
            div.card { h3 { "Loss" } (PreEscaped(loss_svg(history))) }
            div.card { h3 { "Validation Dice" } (PreEscaped(dice_svg(history))) }
        }
    }
}

fn pictures(pictures: &[Picture]) -> Markup {
    let mut sites: Vec<&str> = Vec::new();
    for picture in pictures {
        if !sites.contains(&picture.site.as_str()) {
            sites.push(&picture.site);
        }
    }
    html! {
        h2 { "Prediction and ground truth" }
        p.soft {
            (key(PREDICTION_RGB)) "prediction  "
            (key(TRUTH_RGB)) "ground truth. The Dice below a picture is that of the one slice."
        }
        div.pictures {
            @for site in sites {
                @for picture in pictures.iter().filter(|p| p.site == site) {
                    (figure(picture))
                }
            }
        }
    }
}

fn key([r, g, b]: [u8; 3]) -> Markup {
    html! { span.key style=(format!("background:rgb({r},{g},{b})")) {} }
}

fn figure(picture: &Picture) -> Markup {
    let name = format!("Site {}, {}, slice {}", picture.site, picture.case, picture.slice);
    let dice = picture.dice.filter(|d| d.is_finite());
    html! {
        figure {
            img alt=(format!("{name}: outlines of prediction and ground truth"))
                src=(format!("data:image/png;base64,{}", STANDARD.encode(&picture.png)));
            figcaption {
                b { "Site " (picture.site) } " · " (picture.case) ", slice " (picture.slice)
                @if let Some(dice) = dice {
                    br;
                    "Dice " (percent(Some(dice))) " %"
                }
            }
        }
    }
}

fn facts(facts: &[(String, String)]) -> Markup {
    html! {
        h2 { "How this was made" }
        dl.card {
            @for (name, value) in facts {
                dt { (name) }
                dd { (value) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::evaluation;
    use crate::report::chart::tests::history;
    use crate::report::{PHANTOM_NOTE, overlay_png};
    use desam_core::BinaryMask;
    use desam_data::preprocess::SliceImage;

    /// Elements that have no end.
    const VOID: [&str; 5] = ["meta", "link", "img", "br", "!DOCTYPE"];

    fn picture(site: &str, dice: Option<f64>) -> Picture {
        let image = SliceImage { side: 8, data: vec![90; 64] };
        let png = overlay_png(&image, &BinaryMask::empty(4, 4), None, 2).unwrap();
        Picture { site: site.into(), case: "Case07".into(), slice: 12, dice, png }
    }

    fn page(pictures: &[Picture], history: &[EpochRecord]) -> String {
        render_page(&ReportInput {
            title: "Phantoms <A to Rest>",
            note: PHANTOM_NOTE,
            evaluation: &evaluation(),
            history,
            pictures,
            facts: &[("seed".into(), "7 & 8".into())],
        })
    }

    /// Every element is closed in the order it was opened.
    fn assert_balanced(html: &str) {
        let mut open: Vec<&str> = Vec::new();
        // The style sheet has no tags, and nothing else an unescaped `<`.
        for part in html.split('<').skip(1) {
            let tag = part.split('>').next().unwrap();
            let name = tag.split_whitespace().next().unwrap();
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "at {tag}"),
                None if VOID.contains(&name) => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn the_page_holds_everything_and_asks_for_nothing() {
        let html = page(&[picture("B", Some(0.8125)), picture("C", None)], &history(15));
        assert_balanced(&html);
        // Base 64 has slashes of its own.
        let (before, rest) = html.split_once("base64,").unwrap();
        let after = rest.split("base64,").map(|part| part.split_once('"').unwrap().1);
        let asking = format!("{before}{}", after.collect::<String>());
        for request in ["http:", "https:", "//", "<script", "@import", "url("] {
            assert!(!asking.contains(request), "{request}");
        }
        // Escaped where it came from outside.
        assert!(html.contains("Phantoms &lt;A to Rest&gt;") && html.contains("7 &amp; 8"));
        assert!(html.contains("not patients"));
        assert_eq!(html.matches("<svg").count(), 2);
        assert_eq!(html.matches("data:image/png;base64,").count(), 2);
        assert!(html.contains("Dice 81.25 %"));
        // The numbers of `evaluation()`: means of B and C 0.4 and 0.8, of cases 1.6 / 3.
        assert!(html.contains("60.00 %") && html.contains("<td>53.33</td>"), "{html}");
        assert!(html.contains("Not scored: C/Case9: it has no ground truth."));
    }

    #[test]
    fn parts_without_content_are_left_out() {
        let html = page(&[], &[]);
        assert_balanced(&html);
        assert!(!html.contains("<svg") && !html.contains("<figure"));
    }

    #[test]
    fn no_number_is_shown_as_one() {
        let mut evaluation = evaluation();
        evaluation.sites[1].mean_dice = f64::NAN;
        evaluation.overall_dice = Some(f64::INFINITY);
        let html = render_page(&ReportInput {
            title: "t",
            note: "",
            evaluation: &evaluation,
            history: &history(3),
            pictures: &[picture("B", Some(f64::NAN))],
            facts: &[],
        });
        assert_balanced(&html);
        assert!(!html.contains("NaN") && !html.contains("inf%") && html.contains("<td>–</td>"));
        assert!(!html.contains("p.notice") && !html.contains("class=\"notice\""));
    }

    #[test]
    fn the_page_is_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.html");
        let evaluation = evaluation();
        let input = ReportInput {
            title: "t",
            note: "n",
            evaluation: &evaluation,
            history: &[],
            pictures: &[],
            facts: &[],
        };
        write_page(&path, &input).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), render_page(&input));
        assert!(write_page(&dir.path().join("none").join("x.html"), &input).is_err());
    }
}
