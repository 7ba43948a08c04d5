//! Compiles the C++ shim and prepares the static BLAS that Faiss links against.
//!
//! faiss-sys asks the linker for `-lblas`, `-llapack` and `-lgomp`. The directory made here answers all three, ahead
//! of the system's directories: `libblas.a` is a linker script that groups OpenBLAS with the C++ runtime,
//! the other two are empty archives (Faiss is compiled without OpenMP, and OpenBLAS contains LAPACK).

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let faiss_headers = PathBuf::from(env::var("DEP_FAISS_C_ROOT")?).join("include");

    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=cpp");
    println!("cargo::rustc-env=FAISS_VERSION={}", faiss_version(&faiss_headers)?);
    cc::Build::new()
        .cpp(true)
        .cpp_link_stdlib(None)
        .std("c++17")
        .file("cpp/faiss_shim.cpp")
        .file("cpp/search_shim.cpp")
        .file("cpp/index_structure.cpp")
        .file("cpp/train_shim.cpp")
        .file("cpp/encode_shim.cpp")
        .file("cpp/row_encoder.cpp")
        .file("cpp/nearest_centroids.cpp")
        .file("cpp/write_shim.cpp")
        .file("cpp/graph_shim.cpp")
        .file("cpp/hnsw_shim.cpp")
        .file("cpp/nsg_shim.cpp")
        .file("cpp/blas_environment.cpp")
        .file("cpp/fortran_runtime.cpp")
        .include("cpp")
        .include(faiss_headers)
        .warnings(true)
        .flag("-Werror=return-type")
        .flag("-Wno-unused-parameter")
        .try_compile("faiss_indexer_shim")?;

    link_static_blas(&out)
}

fn faiss_version(headers: &Path) -> Result<String, Box<dyn Error>> {
    let text = fs::read_to_string(headers.join("faiss/Index.h"))?;
    let number = |name: &str| {
        let define = format!("#define FAISS_VERSION_{name} ");
        let found = text.lines().find_map(|line| line.strip_prefix(&define));
        found.ok_or_else(|| format!("faiss/Index.h has no line '{define}'"))
    };
    Ok(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
}

fn link_static_blas(out: &Path) -> Result<(), Box<dyn Error>> {
    let directory = out.join("blas");
    fs::create_dir_all(&directory)?;

    // docs/adr/0004: OpenBLAS asks our function, not the environment, for its thread count and kernel set.
    let private = directory.join("libopenblas_private.a");
    run(Command::new("objcopy")
        .arg("--redefine-sym=getenv=faiss_indexer_blas_getenv")
        .arg(archive("libopenblas.a")?)
        .arg(&private))?;

    let runtime = archive("libstdc++.a")?;
    fs::write(directory.join("libblas.a"), format!("GROUP ( {} {} )\n", private.display(), runtime.display()))?;
    for empty in ["liblapack.a", "libgomp.a"] {
        fs::write(directory.join(empty), "!<arch>\n")?;
    }
    println!("cargo::rustc-link-search=native={}", directory.display());
    Ok(())
}

/// The full path of a static library that g++ brings or knows.
fn archive(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let output = Command::new("g++").arg(format!("-print-file-name={name}")).output();
    let output = output.map_err(|error| format!("g++ cannot be run ({error}); run scripts/set-up"))?;
    let path = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    if path.is_absolute() {
        Ok(fs::canonicalize(path)?)
    } else {
        Err(format!("g++ does not know {name}; run scripts/set-up").into())
    }
}

fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let status = command.status().map_err(|error| format!("{command:?} cannot be run: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}").into()) }
}
