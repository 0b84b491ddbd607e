//! The page's style sheet.

/// Colours are variables, light unless the reader's system asks for dark. `--first` and `--second`
/// are the outlines' orange and blue, darkened or lightened enough to be read as lines on the
/// page's ground.
pub(super) const CSS: &str = "
:root {
  color-scheme: light dark;
  --ground: #fbfaf8; --card: #ffffff; --text: #1d2024; --soft: #5c636b; --line: #dfe1e4;
  --first: #c96a00; --second: #1f74cc; --notice: #fff4df; --notice-line: #e8a33d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171a; --card: #1d2125; --text: #e7e9eb; --soft: #a1a8b0; --line: #343a41;
    --first: #ffa733; --second: #5aabff; --notice: #2b2414; --notice-line: #b97f27;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .75rem; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .75rem; }
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
.scroll { overflow-x: auto; padding: .25rem 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .6rem; text-align: right; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); font-size: .9rem; white-space: nowrap; }
th:first-child, td:first-child, th.left, td.left { text-align: left; }
tr:last-child td { border-bottom: 0; }
tr.total td { font-weight: 600; }
tr.first-total td { border-top: 2px solid var(--soft); }
td.bar { min-width: 9rem; width: 32%; }
.track { display: block; height: .7rem; background: var(--line); border-radius: 4px; overflow: hidden; }
.track i { display: block; height: 100%; background: var(--second); }
.validation .track i { background: var(--soft); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
.charts h3 { margin-top: 0; }
svg { display: block; width: 100%; height: auto; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1.25rem 1rem; }
figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: 6px; background: #000; }
figcaption { font-size: .9rem; margin-top: .35rem; line-height: 1.35; }
.key { display: inline-block; width: 1.4em; height: .3em; border-radius: 2px; vertical-align: .2em; margin-right: .35em; }
dl { display: grid; grid-template-columns: minmax(9rem, max-content) 1fr; gap: .35rem 1.25rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 640px) {
  main { padding: 1.25rem .9rem 2rem; }
  h1 { font-size: 1.4rem; }
  .pictures { grid-template-columns: 1fr 1fr; gap: .75rem; }
  .scroll { padding: .25rem .5rem; }
  th, td { padding: .4rem .3rem; font-size: .85rem; }
  td.bar, th.bar, td.extra, th.extra { display: none; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
}
";
