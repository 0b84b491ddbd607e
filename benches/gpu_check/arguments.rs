//! Command-line arguments.

use std::path::PathBuf;

/// What `--help` says.
pub(crate) const USAGE: &str = "\
gpu-check: whether a GPU computes what the CPU computes, and how fast next to PyTorch

  gpu-check [--device cuda:0] [--reference DIR] [--json FILE]
            [--parity-only | --times-only] [--quick] [--python PROGRAM] [--peer FILE]

  --device D       cuda, cuda:N; cpu (with --quick, or --parity-only); emulated: the kernels on the
                   CPU (with --quick --parity-only; needs the feature emulation)
  --reference DIR  also what `desam parity DIR` checks
  --json FILE      everything as JSON
  --parity-only, --times-only
  --only TEXT      what has TEXT in its name
  --quick          small sizes, a few repetitions, seconds
  --python P       with PyTorch (python3); `none`: ours alone
  --peer FILE      PyTorch's side (benches/gpu_check/peer.py)
  --budget S       what PyTorch would begin later than this is left out (400 seconds)

Exit codes: 0 all agrees; 1 something does not; 2 nothing was checked. No time is a failure.";

/// Parsed arguments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) device: String,
    pub(crate) reference: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) parity: bool,
    pub(crate) times: bool,
    pub(crate) quick: bool,
    pub(crate) only: Option<String>,
    pub(crate) python: Option<String>,
    pub(crate) peer: PathBuf,
    /// Seconds.
    pub(crate) budget: f64,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            device: "cuda:0".to_owned(),
            reference: None,
            json: None,
            parity: true,
            times: true,
            quick: false,
            only: None,
            python: Some("python3".to_owned()),
            peer: "benches/gpu_check/peer.py".into(),
            budget: 400.0,
        }
    }
}

impl Arguments {
    /// Whether something of this name is to be checked.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    /// `None` where help is wanted.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut all = Self::default();
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "-h" | "--help" => return Ok(None),
                "--device" => all.device = value()?,
                "--reference" => all.reference = Some(value()?.into()),
                "--json" => all.json = Some(value()?.into()),
                "--parity-only" => all.times = false,
                "--times-only" => all.parity = false,
                "--only" => all.only = Some(value()?),
                "--quick" => all.quick = true,
                "--python" => all.python = Some(value()?).filter(|p| p != "none"),
                "--peer" => all.peer = value()?.into(),
                "--budget" => {
                    let text = value()?;
                    all.budget = text.parse().map_err(|e| format!("--budget {text}: {e}"))?;
                }
                other => return Err(format!("what is {other:?}? --help says what there is")),
            }
        }
        match all {
            Self { parity: false, times: false, .. } => Err("nothing is left to do".to_owned()),
            Self { quick: false, times: true, device, .. } if device == "cpu" => {
                Err("full sizes take a processor hours; there: --quick, or --parity-only"
                    .to_owned())
            }
            Self { quick, times, device, .. } if device == "emulated" && (times || !quick) => {
                Err("the emulation is for --quick --parity-only".to_owned())
            }
            all => Ok(Some(all)),
        }
    }
}
