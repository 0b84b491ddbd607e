//! `desam report`: the page, also in a headless browser.

use crate::common::{fixture, run, run_copy};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Paths of Chromium on Debian and its derivatives.
const CHROMIUM: [&str; 3] =
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/// A private copy of the fixture's run folder, with scores: the files that a report reads.
fn scored(dir: &Path, name: &str) -> PathBuf {
    let fixture = fixture();
    let copy = run_copy(dir, name);
    let metrics = "--metrics=hd95,surface-dice@2";
    run(args!["evaluate", "-q", "--cache", fixture.cache, "--run", copy, metrics]).expect(0);
    copy
}

#[test]
fn a_page_on_two_runs_shows_their_cases() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (scored(dir.path(), "first"), scored(dir.path(), "second"));
    let page = dir.path().join("page.html");
    let report = args!["report", first, second, "--out", page, "--cases", "1", "--json"];
    let json = run(report).expect(0).json();
    // The worst and best of each run's four target cases.
    assert_eq!((json["runs"].as_u64(), json["cases_shown"].as_u64()), (Some(2), Some(4)));
    let html = std::fs::read_to_string(&page).unwrap();
    assert_eq!(html.len() as u64, json["bytes"].as_u64().unwrap());
    for words in ["first: A to Rest", "second: A to Rest", "95 % intervals", "HD95 mm"] {
        assert!(html.contains(words), "{words}");
    }
    // The page is deterministic except for settings that differ.
    let again = dir.path().join("again.html");
    run(args!["report", first, second, "--out", again, "--cases", "1"]).expect(0);
    assert!(html == std::fs::read_to_string(&again).unwrap());
    let small = dir.path().join("small.html");
    run(args!["report", first, "--out", small, "--cases", "0", "--title", "One"]).expect(0);
    let small = std::fs::read_to_string(&small).unwrap();
    assert!(small.contains("<h1>One</h1>") && !small.contains("data:image/png"));
}

#[test]
fn missing_inputs_of_a_report_are_named() {
    let fixture = fixture();
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("page.html");
    run(args!["report", fixture.cache, "--out", page]).fails_with(&["not a run"]);
    let run_dir = scored(dir.path(), "run");
    run(args!["report", run_dir, "--out", page, "--protocol", "full"])
        .fails_with(&["evaluation_full.json", "desam evaluate"]);
    let nowhere = dir.path().join("nowhere");
    run(args!["report", run_dir, "--out", page, "--cache", nowhere]).fails_with(&["nowhere"]);
    assert!(!page.exists());
}

/// A browser with its own network traffic disabled.
#[allow(clippy::print_stdout, reason = "a test that could not run must say so")]
fn browser(dir: &Path) -> Option<Command> {
    let path = CHROMIUM.iter().find(|p| Path::new(p).is_file());
    let Some(path) = path else {
        println!("skipped: no browser at {CHROMIUM:?}");
        return None;
    };
    let mut command = Command::new(path);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-default-apps",
        "--disable-extensions",
        "--disable-features=NetworkTimeServiceQuerying",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--window-size=1200,900",
    ]);
    command.arg(format!("--user-data-dir={}", dir.join("profile").display()));
    Some(command)
}

/// A script added to a copy of the page, which acts like a user: moves the first slider, sorts the
/// first table of cases by Dice twice, switches the colours and tries to load a picture from another
/// server. It stores what it saw in the page title.
const USER: &str = "<script>
  var seen = [];
  function shown() {
    var frames = Array.from(document.querySelector('.view').querySelectorAll('.frame'));
    return frames.filter(function (f) { return f.offsetWidth > 0; })
      .map(function (f) { return frames.indexOf(f); }).join('+');
  }
  var slider = document.querySelector('.view input[type=range]');
  seen.push('start ' + (shown() === document.querySelector('.view').dataset.start));
  slider.value = 0; slider.dispatchEvent(new Event('input'));
  seen.push('moved ' + shown());
  slider.value = 1; slider.dispatchEvent(new Event('input'));
  seen.push('moved ' + shown());
  var table = document.querySelector('table.sortable');
  var dice = Array.from(table.querySelectorAll('thead button'))
    .find(function (b) { return b.textContent === 'Dice %'; });
  function column() {
    return Array.from(table.tBodies[0].rows).map(function (r) {
      return Number(r.cells[3].dataset.value);
    });
  }
  function rises(v) {
    return v.every(function (x, n) { return n === 0 || v[n - 1] <= x; });
  }
  dice.click(); seen.push('rising ' + rises(column()) + ' of ' + column().length);
  dice.click(); seen.push('falling ' + rises(column().reverse()));
  var before = getComputedStyle(document.body).backgroundColor;
  document.querySelector('button.theme').click();
  seen.push('colours ' + (before !== getComputedStyle(document.body).backgroundColor));
  seen.push('sideways ' + (document.documentElement.scrollWidth > window.innerWidth));
  document.title = seen.join(', ');
  var image = new Image();
  document.body.append(image);
  image.src = 'http://127.0.0.1:9/picture.png';
</script>";

#[test]
fn the_page_works_in_a_browser_without_network_requests() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut command) = browser(dir.path()) else { return };
    let run_dir = scored(dir.path(), "run");
    let page = dir.path().join("page.html");
    run(args!["report", run_dir, "--out", page, "--cases", "1"]).expect(0);
    let html = std::fs::read_to_string(&page).unwrap();
    let used = dir.path().join("used.html");
    std::fs::write(&used, html.replace("</body>", &format!("{USER}</body>"))).unwrap();
    let log = dir.path().join("net.json");
    let ended = command
        .arg(format!("--log-net-log={}", log.display()))
        .args(["--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("file://{}", used.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&ended.stdout);
    let title = dom.split("<title>").nth(1).and_then(|t| t.split("</title>").next());
    // Five cases: one held out at A, two each at B and C.
    let expected = "start true, moved 0, moved 1, rising true of 5, falling true, colours true, \
                    sideways false";
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(title, Some(expected), "{errors}");
    // The script adds the sliders, one per case.
    assert_eq!(html.matches("type=\"range\"").count(), 0);
    assert_eq!(dom.matches("type=\"range\"").count(), 2);
    // The browser's network log without its own requests: it must not even contain the picture, which
    // the page's content security policy forbids.
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("constants"), "no log of the network: {errors}");
    let asked =
        log.lines().filter(|l| l.contains("\"initiator\":") && l.contains("\"url\":\"http"));
    let pages = asked.filter(|l| !l.contains("\"initiator\":\"not an origin\""));
    assert_eq!(pages.collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(!log.contains("picture.png"), "the page asked for a picture");
}
