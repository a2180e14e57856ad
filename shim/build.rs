//! Compiles `cpp/` against the libtorch that the bindings use.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=cpp");
    // Not to be caught: without libtorch the bindings do not build either.
    let libtorch = std::env::var("LIBTORCH").expect("LIBTORCH names no libtorch; scripts/setup puts one in place");
    let libtorch = PathBuf::from(libtorch);
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .pic(true)
        // Of libtorch's headers, by the thousand; the code here is held to -Wall below.
        .flag(format!("-isystem{}", libtorch.join("include").display()))
        .flag(format!("-isystem{}", libtorch.join("include/torch/csrc/api/include").display()))
        .warnings(true)
        .extra_warnings(true)
        .files(["autograd", "cuda", "linear", "optim"].map(|name| format!("cpp/{name}.cpp")))
        .compile("shim");
    println!("cargo:rustc-link-search=native={}", libtorch.join("lib").display());
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
}
