//! How many threads compute.
//!
//! Two libraries spread work: rayon's global pool, which our own ops and candle's matrix products
//! run on, and a pool inside candle for element-wise ops. Candle takes its numbers from the
//! environment alone, so they are put there before anything has started.

use anyhow::Context;

/// Sets all pools up; `None` is one thread for each core.
///
/// Candle's own pool is left at one thread unless the user has set `CANDLE_NUM_THREADS`: its
/// workers are pinned to cores and spin while they wait for each other. Measured on two cores with
/// the tiny encoder's features: beside other work, training did 35 steps with that pool in the time
/// of 44 without it; alone on the machine, 3 epochs took 8.6 s with it and 10.5 s without.
#[allow(unsafe_code)]
pub(crate) fn configure(threads: Option<u16>) -> anyhow::Result<()> {
    // SAFETY: `main` calls this first, while the process has this one thread only, so nobody reads
    // the environment meanwhile.
    unsafe {
        if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
            std::env::set_var("CANDLE_NUM_THREADS", "1");
        }
        if let Some(threads) = threads {
            std::env::set_var("RAYON_NUM_THREADS", threads.to_string());
        }
    }
    if let Some(threads) = threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.into())
            .build_global()
            .context("cannot start the threads asked for with --threads")?;
    }
    Ok(())
}
