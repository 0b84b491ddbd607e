//! Thread pools.
//!
//! There are two: rayon's global pool, for our ops and candle's matrix products, and a pool inside
//! candle for element-wise ops. Candle reads its thread counts from the environment only, so they
//! are set there before any thread starts.

use anyhow::Context;

/// Configures both pools; `None` is one thread per core.
///
/// Candle's pool stays at one thread unless the user sets `CANDLE_NUM_THREADS`, because its workers
/// are pinned to cores and spin while they wait for each other. Measured on two cores with features
/// of the tiny encoder: on a busy machine, training did 35 steps with that pool in the time of 44
/// without it; on an idle one, 3 epochs took 8.6 s with it and 10.5 s without.
#[allow(unsafe_code)]
pub(crate) fn configure(threads: Option<u16>) -> anyhow::Result<()> {
    // SAFETY: `main` calls this before it starts any thread, so no other thread can read the
    // environment at the same time.
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
            .context("cannot start the thread pool of --threads")?;
    }
    Ok(())
}
