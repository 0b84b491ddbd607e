//! Compiles the kernels (`src/ops/*/*.cu`): to PTX with the feature `cuda`; for the host's CPU with the
//! feature `emulation`, together with the kernels that test it (`src/emulation/probes.cu`). Without
//! either feature it does nothing.

use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(desam_emulation)");
    let kernels = Kernels::find();
    for file in kernels.sources.iter().chain(&kernels.headers) {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    println!("cargo::rerun-if-changed=src/ops");
    #[cfg(feature = "cuda")]
    kernels.for_gpu();
    #[cfg(feature = "emulation")]
    kernels.for_emulation();
}

/// Files below `src`.
struct Kernels {
    sources: Vec<PathBuf>,
    headers: Vec<PathBuf>,
}

impl Kernels {
    fn find() -> Self {
        let ends = |file: &PathBuf, with: &[&str]| {
            file.extension().is_some_and(|e| with.iter().any(|w| e == *w))
        };
        let mut all: Vec<PathBuf> = vec![];
        let mut folders = vec![PathBuf::from("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { folders.push(path) } else { all.push(path) }
            }
        }
        all.sort();
        let (sources, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|f| ends(f, &["cu"]));
        let headers = rest.into_iter().filter(|f| ends(f, &["cuh", "h", "cpp"])).collect();
        Self { sources, headers }
    }

    /// PTX for the architecture of `CUDA_COMPUTE_CAP`, as for candle's own kernels. Needs nvcc
    /// (`NVCC`, or one in `PATH` or in `CUDA_HOME/bin`).
    #[cfg(feature = "cuda")]
    fn for_gpu(&self) {
        let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
        let ops = self.sources.iter().filter(|file| file.starts_with("src/ops"));
        let ops: Vec<PathBuf> = ops.cloned().collect();
        let names = ops.iter().filter_map(|file| Some(file.file_stem()?.to_str()?.to_uppercase()));
        let names =
            names.map(|name| format!("(\"{name}\", {name})")).collect::<Vec<_>>().join(", ");
        let ptx = cudaforge::KernelBuilder::new()
            .source_files(ops)
            .watch(self.headers.clone())
            .args(["-std=c++17", "-O3", "-Isrc/include"])
            .build_ptx()
            .expect("nvcc compiles the kernels");
        let kernels = out.join("kernels.rs");
        ptx.write(&kernels).expect("OUT_DIR can be written");
        let mut text = std::fs::read_to_string(&kernels).expect("it was just written");
        text += &format!("pub(crate) const ALL: &[(&str, &str)] = &[{names}];\n");
        std::fs::write(&kernels, text).expect("OUT_DIR can be written");
    }

    /// Without a C++ compiler there is no emulation, and the tests that need it say that they skip.
    #[cfg(feature = "emulation")]
    fn for_emulation(&self) {
        let mut build = cc::Build::new();
        build
            .cpp(true)
            .std("c++17")
            .opt_level(2)
            .include("src/include")
            .include("src/emulation")
            .flag("-xc++");
        // Kernels use `#pragma unroll`, and have parameters that only the CUDA half reads.
        build.flag_if_supported("-Wno-unknown-pragmas").flag_if_supported("-Wno-unused");
        // The compiler must not fuse or reorder a kernel's floating-point operations.
        build.flag_if_supported("-ffp-contract=off");
        if build.try_get_compiler().is_err() {
            println!("cargo::warning=no C++ compiler: tests of the kernels will be skipped");
            return;
        }
        build.files(&self.sources).file("src/emulation/emulation.cpp");
        // Kernels register themselves in static initialisers; no symbol refers to them.
        build.link_lib_modifier("+whole-archive").compile("desam_kernel_emulation");
        println!("cargo::rustc-cfg=desam_emulation");
    }
}
