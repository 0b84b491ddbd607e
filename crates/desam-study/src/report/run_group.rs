//! Groups of runs with the same scoring settings: only those share a table.

use super::RunReport;
use crate::evaluate::{Role, ScoringSettings, Setting};

/// Runs whose scores are comparable, in the order of the page.
pub(super) struct RunGroup<'a> {
    pub(super) runs: Vec<&'a RunReport>,
    settings: Vec<Setting>,
}

/// The settings that make scores comparable: of scoring, and of preprocessing.
fn settings(run: &RunReport) -> Vec<Setting> {
    let scored = ScoringSettings::of(&run.evaluation);
    let mut all: Vec<Setting> = scored.iter().filter(|s| s.decides).cloned().collect();
    let preprocessing = run.preprocessing.clone().unwrap_or_else(|| "not known".to_owned());
    all.push(Setting { name: "preprocessing", value: preprocessing, decides: true });
    all
}

/// Groups runs by their settings, in the order of the first run of each group.
pub(super) fn group_by_settings(runs: &[RunReport]) -> Vec<RunGroup<'_>> {
    let mut groups: Vec<RunGroup<'_>> = Vec::new();
    for run in runs {
        let settings = settings(run);
        match groups.iter_mut().find(|group| group.settings == settings) {
            Some(group) => group.runs.push(run),
            None => groups.push(RunGroup { runs: vec![run], settings }),
        }
    }
    groups
}

/// Names of the settings in which any two groups differ.
fn differing(groups: &[RunGroup<'_>]) -> Vec<&'static str> {
    let Some((first, others)) = groups.split_first() else {
        return Vec::new();
    };
    let pairs = first.settings.iter().enumerate();
    let differs = |n: usize, setting: &Setting| {
        others.iter().any(|other| other.settings.get(n).map(|s| &s.value) != Some(&setting.value))
    };
    pairs.filter(|(n, setting)| differs(*n, setting)).map(|(_, setting)| setting.name).collect()
}

/// Explains why there are several tables; `None` where there is one.
pub(super) fn difference_notice(groups: &[RunGroup<'_>]) -> Option<String> {
    let names = differing(groups);
    (!names.is_empty()).then(|| {
        format!(
            "These runs were not all scored alike: they differ in {}. Numbers that were scored \
             differently cannot be compared, so there are {} tables, one for each way of scoring.",
            names.join(", "),
            groups.len()
        )
    })
}

impl RunGroup<'_> {
    /// The settings that distinguish this group: `border 13, preprocessing paper`.
    pub(super) fn label(&self, groups: &[RunGroup<'_>]) -> String {
        let names = differing(groups);
        let distinct = self.settings.iter().filter(|s| names.contains(&s.name));
        distinct.map(|s| format!("{} {}", s.name, s.value)).collect::<Vec<_>>().join(", ")
    }

    /// Sites that some of the runs were scored on and others were not: means over different sites are not
    /// comparable. A run's source site is not a target.
    pub(super) fn uneven_sites(&self) -> Vec<&str> {
        let is_target = |run: &RunReport, name: &str| {
            run.evaluation.sites.iter().any(|s| s.role == Role::Target && s.site == name)
        };
        let mut uneven = Vec::new();
        for site in self.runs.iter().flat_map(|r| &r.evaluation.sites) {
            let name = site.site.as_str();
            let lacks =
                |run: &RunReport| !run.evaluation.source.contains(name) && !is_target(run, name);
            if self.runs.iter().any(|run| lacks(run)) && !uneven.contains(&name) {
                uneven.push(name);
            }
        }
        uneven
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::evaluation;

    #[test]
    fn runs_scored_otherwise_are_kept_apart() {
        let run = |name: &str| RunReport::of(name, evaluation());
        let mut runs = vec![run("a"), run("b"), run("c"), run("d")];
        runs[1].evaluation.border_px = 0;
        runs[3].preprocessing = Some("paper".into());
        let groups = group_by_settings(&runs);
        let names: Vec<Vec<&str>> =
            groups.iter().map(|g| g.runs.iter().map(|r| r.name.as_str()).collect()).collect();
        assert_eq!(names, [vec!["a", "c"], vec!["b"], vec!["d"]]);
        assert_eq!(groups[1].label(&groups), "border 0, preprocessing not known");
        let why = difference_notice(&groups).unwrap();
        assert!(why.contains("border, preprocessing") && why.contains("3 tables"), "{why}");
        let same = [run("a"), run("b")];
        assert!(
            difference_notice(&group_by_settings(&same)).is_none()
                && difference_notice(&group_by_settings(&[])).is_none()
        );
    }

    #[test]
    fn prompts_protocol_and_the_policy_on_empty_masks_decide_as_well() {
        use crate::evaluate::Protocol;
        use desam_metrics::metric::OneEmpty;
        let run = || RunReport::of("run", evaluation());
        let mut runs = vec![run(), run(), run(), run(), run()];
        runs[1].evaluation.protocol = Protocol::Full;
        runs[2].evaluation.grid = Some(5);
        runs[3].evaluation.empty_policy.one = OneEmpty::Infinite;
        // The number of scored cases does not matter.
        runs[4].evaluation.unscored.clear();
        assert_eq!(group_by_settings(&runs).len(), 4);
    }

    #[test]
    fn sites_that_only_some_were_scored_on_are_named() {
        let mut runs = vec![RunReport::of("a", evaluation()), RunReport::of("b", evaluation())];
        assert!(group_by_settings(&runs)[0].uneven_sites().is_empty());
        runs[1].evaluation.sites.retain(|s| s.site != "C");
        assert_eq!(group_by_settings(&runs)[0].uneven_sites(), ["C"]);
    }
}
