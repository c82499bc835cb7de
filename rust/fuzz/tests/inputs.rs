//! Every seed, and every input that once failed, through its target: what fuzzing found stays found.

use std::path::Path;

#[test]
fn seeds_and_former_crashes_pass() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, target) in netexfil_fuzz::TARGETS {
        for folder in ["seeds", "crashes"] {
            let Ok(entries) = std::fs::read_dir(here.join(folder).join(name)) else { continue };
            for entry in entries {
                let bytes = std::fs::read(entry.unwrap().path()).unwrap();
                // Every prefix is an input of its own.
                for end in (0..=bytes.len()).step_by(bytes.len() / 64 + 1) {
                    target(&bytes[..end]);
                }
                target(&bytes);
            }
        }
    }
}

#[test]
fn every_target_has_seeds_and_a_binary() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, _) in netexfil_fuzz::TARGETS {
        assert!(here.join("seeds").join(name).read_dir().is_ok_and(|mut entries| entries.next().is_some()), "no seed for {name}");
        assert!(here.join("fuzz_targets").join(format!("{name}.rs")).exists(), "no binary for {name}");
    }
}
