//! The code that is made of the protos in `conform/protos` stands beside the modules that use it,
//! so that who depends on conform builds it without a generator. It is what the generator makes.

use std::path::Path;
use std::{env, fs};

/// Each proto, and the file that has its code.
const GENERATED: &[(&str, &str)] = &[
    ("grpc/channelz/v1/channelz.proto", "channelz/generated.rs"),
    ("grpc/health/v1/health.proto", "health/generated.rs"),
    ("xds/data/orca/v3/orca_load_report.proto", ORCA_REPORT),
    (
        "xds/service/orca/v3/orca.proto",
        "orca/generated_service.rs",
    ),
];

/// The one whose messages another file uses.
const ORCA_REPORT: &str = "orca/generated_report.rs";

/// `CONFORM_GENERATE=1 cargo test -p conform generated` writes the code instead.
#[test]
fn the_generated_code_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = tempfile::tempdir().unwrap();
    for (proto, file) in GENERATED {
        let protos = protox::compile([proto], [root.join("protos")]).unwrap();
        let mut generator = tonic_prost_build::configure()
            .out_dir(target.path())
            // A report has the same bytes each time.
            .btree_map(".xds");
        if *file != ORCA_REPORT {
            generator = generator.extern_path(".xds.data.orca.v3", "crate::orca::pb");
        }
        generator.compile_fds(protos).unwrap();
        let (package, _) = proto.rsplit_once('/').unwrap();
        let made = target
            .path()
            .join(format!("{}.rs", package.replace('/', ".")));
        let made = fs::read_to_string(made).unwrap();

        let checked_in = root.join("src").join(file);
        if env::var_os("CONFORM_GENERATE").is_some() {
            fs::create_dir_all(checked_in.parent().unwrap()).unwrap();
            fs::write(checked_in, made).unwrap();
            continue;
        }
        let found = fs::read_to_string(&checked_in).unwrap_or_default();
        assert!(
            found.replace('\r', "") == made,
            "{} isn't what {proto} makes; \
             `CONFORM_GENERATE=1 cargo test -p conform generated` writes it",
            checked_in.display(),
        );
    }
}
