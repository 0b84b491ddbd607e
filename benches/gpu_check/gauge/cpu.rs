//! The CPU: it has no events, and the memory of its tensors is not counted.

use super::{Description, Result};
use desam::candle::Device;

pub(crate) fn describe(_: &Device) -> Result<Description> {
    let device = "the processor".to_owned();
    Ok(Description { device, memory: None, version: env!("CARGO_PKG_VERSION") })
}

/// A CPU has no event clock.
pub(crate) struct Events;

impl Events {
    pub(crate) fn begin(_: &Device) -> Result<Option<Self>> {
        Ok(None)
    }

    pub(crate) fn end(self) -> Result<f64> {
        Err("a processor has no events".into())
    }
}

pub(crate) fn reset_peak(_: &Device) -> Result<()> {
    Ok(())
}

pub(crate) fn peak(_: &Device) -> Result<Option<u64>> {
    Ok(None)
}
