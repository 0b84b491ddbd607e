//! Tests of the page.

use super::chart::tests::history;
use super::{
    CaseRank, CaseView, PHANTOM_NOTE, Picture, ReportInput, RunReport, render_page, write_page,
};
use crate::evaluate::tests::{evaluation, evaluation_with_hd95};
use crate::train::EpochRecord;
use desam::render::overlay_png;
use desam_core::BinaryMask;
use desam_data::preprocess::SliceImage;
use desam_metrics::statistics::BootstrapConfig;

/// Void elements, which have no end tag.
const VOID: [&str; 5] = ["meta", "link", "img", "br", "!DOCTYPE"];

fn picture(site: &str, dice: Option<f64>) -> Picture {
    let image = SliceImage { side: 8, data: vec![90; 64] };
    let png = overlay_png(&image, &BinaryMask::empty(4, 4).into(), None, 2).unwrap();
    Picture { site: site.into(), case: "Case07".into(), slice: 12, dice, png }
}

fn run(pictures: &[Picture], history: &[EpochRecord]) -> RunReport {
    RunReport {
        history: history.to_vec(),
        pictures: pictures.to_vec(),
        facts: vec![("seed".into(), "7 & 8".into())],
        ..RunReport::of("one", evaluation())
    }
}

fn page(runs: &[RunReport]) -> String {
    render_page(&ReportInput { title: "Phantoms <A to Rest>", note: PHANTOM_NOTE, runs })
}

/// Every element is closed in the order it was opened.
fn assert_balanced(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    // The style sheet has no tags, the script no `<` at all, and nothing else an unescaped one.
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

/// The page without the base64 of its pictures, which contains slashes.
fn without_pictures(html: &str) -> String {
    let mut parts = html.split("base64,");
    let first = parts.next().unwrap().to_owned();
    first + &parts.map(|part| part.split_once('"').unwrap().1).collect::<String>()
}

#[test]
fn the_page_holds_everything_and_asks_for_nothing() {
    let html = page(&[run(&[picture("B", Some(0.8125)), picture("C", None)], &history(15))]);
    assert_balanced(&html);
    let asking = without_pictures(&html);
    for request in ["http:", "https:", "//", "@import", "url(", "<script ", "onclick", "<iframe"] {
        assert!(!asking.contains(request), "{request}");
    }
    assert_eq!(asking.matches("<script>").count(), 1);
    assert!(asking.contains("default-src 'none'; img-src data:;"));
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
    let html = page(&[RunReport::of("one", evaluation())]);
    assert_balanced(&html);
    for part in ["<svg", "<figure", "<details", "Other metrics", "Worst and best", "How this was"] {
        assert!(!html.contains(part), "{part}");
    }
    assert_balanced(&page(&[]));
}

#[test]
fn no_number_is_shown_as_one() {
    let mut run = run(&[picture("B", Some(f64::NAN))], &history(3));
    run.evaluation.sites[1].mean_dice = f64::NAN;
    run.evaluation.overall_dice = Some(f64::INFINITY);
    let html = render_page(&ReportInput { title: "t", note: "", runs: &[run] });
    assert_balanced(&html);
    assert!(!html.contains("NaN") && !html.contains("inf%") && html.contains("<td>–</td>"));
    assert!(!html.contains("p.notice") && !html.contains("class=\"notice\""));
}

#[test]
fn cases_stand_worst_first_with_values_to_sort_by() {
    let html = page(&[RunReport::of("one", evaluation_with_hd95())]);
    let table = html.split("<table class=\"sortable\">").nth(1).unwrap();
    let table = table.split("</table>").next().unwrap();
    let cells = table.split("<tr>").skip(2).map(|r| r.split("<td").nth(4).unwrap());
    let dice: Vec<&str> = cells.map(|c| c.split('>').nth(1).unwrap()).collect();
    assert_eq!(dice, ["0.00</td", "80.00</td", "80.00</td", "90.00</td"]);
    assert!(table.contains("data-value=\"9e1\">90.00<") && table.contains("HD95 mm"), "{table}");
    assert!(html.contains("Other metrics") && html.contains("worst 90.00"));
    assert!(html.contains("Of 4 cases: 1 missed"));
}

#[test]
fn several_runs_share_one_heat_map() {
    let config = BootstrapConfig { resamples: 200, ..BootstrapConfig::default() };
    let first = RunReport::of("run-a", evaluation().with_intervals(&config).unwrap());
    let mut second = RunReport::of("run-b", evaluation());
    second.evaluation.source = "B".into();
    for (site, role) in second.evaluation.sites.iter_mut().zip([1, 0, 1]) {
        let roles = [crate::evaluate::Role::SourceValidation, crate::evaluate::Role::Target];
        site.role = roles[role];
    }
    second.evaluation.sites.remove(2);
    let html = page(&[first, second]);
    assert_balanced(&html);
    let map = html.split("<table class=\"heat\">").nth(1).unwrap();
    let map = map.split("</table>").next().unwrap();
    // Sources first, in the order of the runs, then the others.
    let heads: Vec<&str> = map.split("scope=\"col\">").skip(1).collect();
    let heads: Vec<&str> = heads.iter().map(|h| h.split('<').next().unwrap()).collect();
    assert_eq!(heads, ["trained on", "A", "B", "C", "mean of target sites"]);
    assert_eq!(map.matches("class=\"value own\"").count(), 2);
    // B's two cases have an interval; the run that was not scored on C a dash.
    assert!(
        map.contains("<small>0.00 to 80.00 (n = 2)</small>") && map.contains("<td>–</td>"),
        "{map}"
    );
    assert_eq!(html.matches("<h2 class=\"run\">").count(), 2);
    assert!(html.contains("200 draws, seed 0"));
    assert!(html.contains("n: of fewer than 5 cases"), "{html}");
}

#[test]
fn cases_are_shown_slice_by_slice() {
    let slices = vec![picture("B", Some(0.5)), Picture { slice: 13, ..picture("B", None) }];
    let view = CaseView {
        site: "B".into(),
        case: "<Case07>".into(),
        rank: CaseRank::Worst(2),
        dice: 0.25,
        slices,
        start: 1,
    };
    let mut run = run(&[], &[]);
    run.views = vec![view];
    run.notes = vec!["Not shown, to keep the page small: B/Case1.".into()];
    run.configuration = "{\"a\": \"<b>\"}".into();
    let html = page(&[run]);
    assert_balanced(&html);
    // `evaluation()` has a border of 50 pixels.
    assert!(html.contains("in the border of 50 pixels"), "{html}");
    for words in [
        "data-start=\"1\"",
        "2. worst: Dice 25.00 %",
        "slice 12, Dice 50.00 %",
        "slice 13<",
        "&lt;Case07&gt;",
        "Not shown",
        "&lt;b&gt;",
    ] {
        assert!(html.contains(words), "{words}: {html}");
    }
    assert_eq!(html.matches("class=\"frame\"").count(), 2);
}

#[test]
fn the_page_is_written_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("page.html");
    let runs = [RunReport::of("one", evaluation())];
    let input = ReportInput { title: "t", note: "n", runs: &runs };
    write_page(&path, &input).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), render_page(&input));
    assert!(write_page(&dir.path().join("none").join("x.html"), &input).is_err());
}
