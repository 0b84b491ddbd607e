//! Views of single cases, slice by slice.

use crate::evaluate::percent;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use desam::render::{BORDER_RGB, PREDICTION_RGB, TRUTH_RGB, class_colors};
use desam_core::ClassTable;
use maud::{Markup, html};

/// Picture of one slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Its site.
    pub site: String,
    /// Its case.
    pub case: String,
    /// The processed slice, from 0.
    pub slice: usize,
    /// Dice of the slice, 0 to 1.
    pub dice: Option<f64>,
    /// The picture, as [`overlay_png`](desam::render::overlay_png) makes it.
    pub png: Vec<u8>,
}

/// Rank of a case among the shown ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CaseRank {
    /// The n-th worst, from 1.
    Worst(usize),
    /// The n-th best, from 1.
    Best(usize),
}

/// View of one case, slice by slice.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseView {
    /// Its site.
    pub site: String,
    /// Its name within the site.
    pub case: String,
    /// Its rank.
    pub rank: CaseRank,
    /// Its Dice, 0 to 1.
    pub dice: f64,
    /// Its slices, in ascending order.
    pub slices: Vec<Picture>,
    /// Index of the slice that is shown first.
    pub start: usize,
}

/// The worst and the best cases; `border_px` is the border that their pictures show.
pub(super) fn views(views: &[CaseView], border_px: usize, classes: &ClassTable) -> Markup {
    html! {
        p.soft {
            (outline_keys(classes)) ", on the masks' grid. The first Dice is the case's, that \
            below a picture the one slice's. " (border_key(border_px))
        }
        div.pictures.views {
            @for view in views { (one(view)) }
        }
    }
}

fn one(view: &CaseView) -> Markup {
    let name = format!("{}/{}", view.site, view.case);
    let why = match view.rank {
        CaseRank::Worst(1) => "worst".to_owned(),
        CaseRank::Best(1) => "best".to_owned(),
        CaseRank::Worst(n) => format!("{n}. worst"),
        CaseRank::Best(n) => format!("{n}. best"),
    };
    html! {
        figure.view data-name=(name) data-start=(view.start) {
            figcaption {
                b { "Site " (view.site) " · " (view.case) }
                ", " (why) ": Dice " (percent(Some(view.dice))) " %"
            }
            div.frames {
                @for picture in &view.slices {
                    @let slice = format!("slice {}", picture.slice);
                    figure.frame data-name=(slice) {
                        (image(picture, &format!("{name}, {slice}")))
                        figcaption { (slice) (slice_dice(picture)) }
                    }
                }
            }
        }
    }
}

fn slice_dice(picture: &Picture) -> Markup {
    html! {
        @if let Some(dice) = picture.dice.filter(|d| d.is_finite()) {
            ", Dice " (percent(Some(dice))) " %"
        }
    }
}

fn image(picture: &Picture, name: &str) -> Markup {
    html! {
        img decoding="async" alt=(format!("{name}: outlines of prediction and ground truth"))
            src=(format!("data:image/png;base64,{}", STANDARD.encode(&picture.png)));
    }
}

/// Keys of the outlines: of prediction and ground truth, class by class where there are several.
fn outline_keys(classes: &ClassTable) -> Markup {
    html! {
        @for (n, name) in classes.names().enumerate() {
            @let colors = class_colors(n + 1);
            @if classes.is_several() {
                @if n > 0 { "; " }
                (name) ": "
            }
            (key(colors.prediction)) "prediction  "
            (key(colors.truth)) "ground truth"
        }
    }
}

/// Key of the dashed border line.
fn border_key(border_px: usize) -> Markup {
    html! {
        @if border_px > 0 {
            (key(BORDER_RGB)) "dashed: predictions are scored inside; in the border of "
            (border_px) " pixels beyond they are cleared, the truth is not."
        }
    }
}

/// One slice of many cases, by site; `border_px` is the border that their pictures show.
pub(super) fn pictures(pictures: &[Picture], border_px: usize) -> Markup {
    let mut sites: Vec<&str> = Vec::new();
    for picture in pictures {
        if !sites.contains(&picture.site.as_str()) {
            sites.push(&picture.site);
        }
    }
    html! {
        p.soft {
            (key(PREDICTION_RGB)) "prediction  "
            (key(TRUTH_RGB)) "ground truth. The Dice below a picture is that of the one slice. "
            (border_key(border_px))
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
            (image(picture, &name))
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
