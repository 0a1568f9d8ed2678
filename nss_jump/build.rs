//! Link options of `libnss_jump.so.2`.

fn main() {
    for option in [
        // glibc opens "libnss_jump.so.2"; cargo can only name the file libnss_jump.so.
        "-soname,libnss_jump.so.2",
        // No lazy binding, and nothing of it writable, in programs as root.
        "-z,now",
        "-z,relro",
        // The mapping of the index outlives a dlclose(3).
        "-z,nodelete",
        // A missing symbol is our defect, not a surprise at login.
        "-z,defs",
    ] {
        println!("cargo::rustc-cdylib-link-arg=-Wl,{option}");
    }
    // Of everything that only a panic needs, GNU ld keeps nothing once the
    // optimiser has found no panic reachable (with it go the thread-local
    // variables of std). lld keeps the unwinder's personality in any case, and
    // all of it hangs on that.
    println!("cargo::rustc-cdylib-link-arg=-fuse-ld=bfd");
    println!("cargo::rerun-if-changed=build.rs");
}
