//! Links the program again when its linker has changed, which cargo does not watch.

fn main() {
    for file in ["link-old-glibc", "dynamic_lookup.c", "newer_glibc.c"] {
        println!("cargo::rerun-if-changed=../toolchain/{file}");
    }
}
