//! Has the library compiled as one to be modelled.

fn main() {
    println!("cargo::rustc-cfg=sansws_model");
    println!("cargo::rustc-check-cfg=cfg(sansws_model)");
    println!("cargo::rerun-if-changed=Cargo.toml");
}
