//! PyTorch's side: a process that answers a line of JSON with a line of JSON (`peer.py`).

use crate::arguments::Arguments;
use crate::gauge::{Repetitions, Samples};
use desam::candle::{Device, DeviceLocation};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The process.
pub(super) struct Torch {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Its version, and the card that it sees.
    pub(super) about: String,
}

impl Torch {
    /// Starts it, or says why there is none.
    pub(super) fn start(arguments: &Arguments, device: &Device) -> Result<Self, String> {
        let python = arguments.python.as_deref().ok_or("not asked for")?;
        let device = match device.location() {
            DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
            _ => "cpu".to_owned(),
        };
        if !arguments.peer.is_file() {
            return Err(format!("there is no {}", arguments.peer.display()));
        }
        let mut command = Command::new(python);
        command.arg(&arguments.peer).arg(device).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("{python}: {e}"))?;
        let (questions, answers) = match (child.stdin.take(), child.stdout.take()) {
            (Some(questions), Some(answers)) => (questions, BufReader::new(answers)),
            _ => return Err(format!("{python} has no pipes")),
        };
        let mut torch = Self { child, questions, answers, about: String::new() };
        let about = torch.ask(&json!({ "about": true }))?;
        torch.about = about.as_str().unwrap_or("unknown").to_owned();
        Ok(torch)
    }

    /// Times a subject in one PyTorch configuration.
    pub(super) fn time(
        &mut self,
        request: &Value,
        party: &str,
        repetitions: Repetitions,
    ) -> Result<Samples, String> {
        self.ask(&json!({ "make": request, "party": party }))?;
        let Repetitions { warm, count, each, host } = repetitions;
        let question = json!({ "warm": warm, "count": count, "each": each, "host": host });
        let found = self.ask(&question)?;
        let numbers = found["ms"].as_array().ok_or("no times came back")?;
        let ms = numbers.iter().filter_map(Value::as_f64).collect();
        Ok(Samples { ms, peak: found["peak"].as_u64() })
    }

    fn ask(&mut self, question: &Value) -> Result<Value, String> {
        let lost = |e: std::io::Error| format!("PyTorch's process is gone: {e}");
        writeln!(self.questions, "{question}").map_err(lost)?;
        self.questions.flush().map_err(lost)?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(lost)?;
        let mut answer: Value = match serde_json::from_str(&line) {
            Ok(answer) => answer,
            Err(_) if line.is_empty() => return Err("PyTorch's process ended".to_owned()),
            Err(e) => return Err(format!("PyTorch's process says {line:?}: {e}")),
        };
        match answer["error"].take() {
            Value::String(why) => Err(why),
            _ => Ok(answer["ok"].take()),
        }
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
