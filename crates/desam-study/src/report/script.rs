//! Script of the page: sliders, sorting, theme switch. Without it the page shows the same content, slices
//! next to each other and rows worst first. It contains no `<`, which would confuse HTML parsers.

/// The whole script. It makes no requests and stores nothing.
pub(super) const SCRIPT: &str = "
(function () {
  'use strict';
  var root = document.documentElement;
  function make(name, properties) { return Object.assign(document.createElement(name), properties); }

  var system = window.matchMedia('(prefers-color-scheme: dark)');
  function isDark() { return root.dataset.theme ? root.dataset.theme === 'dark' : system.matches; }
  var theme = make('button', { type: 'button', className: 'theme' });
  function name() { theme.textContent = isDark() ? 'Light' : 'Dark'; }
  theme.addEventListener('click', function () {
    root.dataset.theme = isDark() ? 'light' : 'dark';
    name();
  });
  system.addEventListener('change', name);
  name();
  document.querySelector('main').prepend(theme);

  document.querySelectorAll('.view').forEach(function (view) {
    var frames = Array.from(view.querySelectorAll('.frame'));
    var start = Number(view.dataset.start);
    var slider = make('input', {
      type: 'range', min: 0, max: frames.length - 1, step: 1, value: start
    });
    slider.setAttribute('aria-label', 'slice of ' + view.dataset.name);
    function show() {
      frames.forEach(function (frame, n) { frame.hidden = n !== Number(slider.value); });
      slider.setAttribute('aria-valuetext', frames[slider.value].dataset.name);
    }
    slider.addEventListener('input', show);
    view.classList.add('one');
    view.querySelector('.frames').after(slider);
    show();
  });

  document.querySelectorAll('table.sortable').forEach(function (table) {
    var body = table.tBodies[0];
    table.querySelectorAll('thead th').forEach(function (head, column) {
      var button = make('button', { type: 'button', textContent: head.textContent });
      head.replaceChildren(button);
      button.addEventListener('click', function () {
        var up = head.getAttribute('aria-sort') !== 'ascending';
        table.querySelectorAll('thead th').forEach(function (other) {
          other.removeAttribute('aria-sort');
        });
        head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
        var rows = Array.from(body.rows);
        function value(row) { return row.cells[column].dataset.value; }
        function text(row) { return row.cells[column].textContent; }
        function compare(a, b) {
          if (value(a) === undefined) { return text(a).localeCompare(text(b), 'en', { numeric: true }); }
          return Number(value(a)) - Number(value(b));
        }
        /* What has no value stays last, either way. */
        function none(row) { return value(row) === ''; }
        rows.sort(function (a, b) {
          if (none(a) || none(b)) { return none(a) - none(b); }
          return up ? compare(a, b) : compare(b, a);
        });
        body.append.apply(body, rows);
      });
    });
  });
})();
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small_and_asks_for_nothing() {
        assert!(SCRIPT.len() < 4096, "{}", SCRIPT.len());
        for word in ["<", "fetch", "XMLHttp", "http", "import", "eval", "Storage", "cookie"] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
    }
}
