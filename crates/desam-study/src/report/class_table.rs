//! Score table of the classes of a model of several.

use super::scores::{mean_cell, metric_cell};
use crate::evaluate::{Evaluation, metric_title};
use maud::{Markup, html};

/// A row for each site and class with the mean of each metric, then each class over the target sites.
pub(super) fn table(evaluation: &Evaluation) -> Markup {
    html! {
        div.card.scroll {
            table {
                thead {
                    tr {
                        th { "site" }
                        th.left { "class" }
                        @for metric in &evaluation.metrics { th { (metric_title(*metric)) } }
                        th { "missed" }
                        th { "invented" }
                    }
                }
                tbody {
                    @for site in &evaluation.sites {
                        @for class in &site.classes {
                            tr {
                                td { (site.site) }
                                td.left { (class.class) }
                                @for metric in &evaluation.metrics {
                                    (metric_cell(*metric, class.metrics.get(*metric).copied()))
                                }
                                @let dice = class.metrics.iter().next().map(|(_, summary)| summary);
                                td { (dice.map_or(0, |d| d.missed)) }
                                td { (dice.map_or(0, |d| d.invented)) }
                            }
                        }
                    }
                    @for (n, class) in evaluation.overall_classes.iter().enumerate() {
                        tr class=(if n == 0 { "total first-total" } else { "total" }) {
                            td { "mean of sites" }
                            td.left { (class.class) }
                            @for metric in &evaluation.metrics {
                                (mean_cell(*metric, class.metrics.get(*metric)))
                            }
                            @let dice = class.metrics.iter().next().map(|(_, over)| over.cases);
                            td { (dice.map_or(0, |d| d.missed)) }
                            td { (dice.map_or(0, |d| d.invented)) }
                        }
                    }
                }
            }
        }
        p.soft {
            "Each class on its own; the score of a case above is the mean of its classes. Missed: cases of the \
             class in which nothing of it was found. Invented: cases without the class in which some was found."
        }
    }
}
