//! Style sheet of the page.

use std::fmt::Write;

/// Colours of the light theme. `--first` and `--second` are the outlines' orange and blue, darkened enough
/// for lines; `--high` is the background of the best cell of a heat map, on which text must be readable.
const LIGHT: &str = "
  color-scheme: light;
  --ground: #fbfaf8; --card: #ffffff; --text: #1d2024; --soft: #5c636b; --line: #dfe1e4;
  --first: #c96a00; --second: #1f74cc; --notice: #fff4df; --notice-line: #e8a33d;
  --low: #ffffff; --high: #8fc1f0;
";
/// Colours of the dark theme.
const DARK: &str = "
  color-scheme: dark;
  --ground: #14171a; --card: #1d2125; --text: #e7e9eb; --soft: #a1a8b0; --line: #343a41;
  --first: #ffa733; --second: #5aabff; --notice: #2b2414; --notice-line: #b97f27;
  --low: #1d2125; --high: #1c5a96;
";

const REST: &str = "
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body {
  margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .75rem; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .75rem; }
h2.run { font-size: 1.4rem; margin-top: 3.5rem; padding-top: 1rem; border-top: 2px solid var(--line); }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
p { margin: .5rem 0; max-width: 75ch; }
.notice {
  background: var(--notice); border-left: 4px solid var(--notice-line);
  padding: .75rem 1rem; border-radius: 0 6px 6px 0; max-width: none;
}
.soft { color: var(--soft); font-size: .9rem; max-width: 90ch; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; }
.headline { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.25rem 0 0; }
.headline > div { flex: 1 1 12rem; }
.headline b { display: block; font-size: 1.9rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
button {
  font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer;
}
.theme {
  float: right; border: 1px solid var(--line); border-radius: 6px; padding: .15rem .7rem;
  background: var(--card); font-size: .9rem; margin-left: 1rem;
}
.scroll { overflow: auto; padding: .25rem 1rem; }
.tall { max-height: 34rem; }
.tall thead th { position: sticky; top: -.25rem; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .6rem; text-align: right; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); font-size: .9rem; white-space: nowrap; }
th:first-child, td:first-child, th.left, td.left { text-align: left; }
th[aria-sort=ascending] button::after { content: ' ▲'; }
th[aria-sort=descending] button::after { content: ' ▼'; }
tr:last-child td { border-bottom: 0; }
tr.total td { font-weight: 600; }
tr.first-total td { border-top: 2px solid var(--soft); }
td small { display: block; color: inherit; opacity: .8; white-space: nowrap; font-weight: 400; }
td.bar { min-width: 7rem; width: 26%; }
.track { display: block; height: .7rem; background: var(--line); border-radius: 4px; overflow: hidden; }
.track i { display: block; height: 100%; background: var(--second); }
.validation .track i { background: var(--soft); }
.heat td, .heat thead th { text-align: center; }
.heat td { border: 2px solid var(--card); border-radius: 4px; }
.heat td.value { background: color-mix(in oklab, var(--high) var(--share), var(--low)); }
.heat td.own { outline: 2px dashed var(--soft); outline-offset: -4px; }
.heat td.rest { font-weight: 600; border-left: .8rem solid var(--card); }
.heat th[scope=row] { text-align: left; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
.charts h3 { margin-top: 0; }
svg { display: block; width: 100%; height: auto; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1.25rem 1rem; }
figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: 6px; background: #000; }
figcaption { font-size: .9rem; margin-top: .35rem; line-height: 1.35; }
.view { display: flex; flex-direction: column; min-width: 0; }
.view > figcaption { margin: 0 0 .5rem; }
.frames { display: flex; gap: .6rem; overflow-x: auto; }
.frame { flex: 0 0 100%; }
.view:not(.one) .frame { flex-basis: 75%; }
.view input { width: 100%; margin: .4rem 0 0; accent-color: var(--second); }
.key { display: inline-block; width: 1.4em; height: .3em; border-radius: 2px; vertical-align: .2em; margin-right: .35em; }
dl { display: grid; grid-template-columns: minmax(9rem, max-content) 1fr; gap: .35rem 1.25rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
summary { cursor: pointer; margin: .75rem 0 .35rem; color: var(--soft); }
pre { overflow: auto; max-height: 24rem; font-size: .85rem; margin: 0; }
@media (max-width: 640px) {
  main { padding: 1.25rem .9rem 2rem; }
  h1 { font-size: 1.4rem; }
  .pictures { grid-template-columns: 1fr 1fr; gap: .75rem; }
  .pictures.views { grid-template-columns: 1fr; }
  .scroll { padding: .25rem .5rem; }
  th, td { padding: .4rem .3rem; font-size: .85rem; }
  td.bar, th.bar, td.extra, th.extra { display: none; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
}
";

/// The style sheet: the theme of the reader's system, or the one chosen by the switch.
pub(super) fn css() -> String {
    let mut css = String::new();
    for (when, colours) in [(":root", LIGHT), (":root[data-theme=dark]", DARK)] {
        // Writing to a string cannot fail.
        let _ = write!(css, "\n{when} {{{colours}}}");
    }
    let dark = format!(":root:not([data-theme=light]) {{{DARK}}}");
    let _ = write!(css, "\n@media (prefers-color-scheme: dark) {{ {dark} }}");
    css + REST
}
