//! An application that knows nothing of mdbc: the tests of django-guardian, as it
//! brings them, with its migrations.

use std::path::PathBuf;

use tokio::process::Command;

use crate::site::TestSite;

/// Django makes no database where it is told to keep the one that there is; and
/// passwords are hashed in no time.
const SETTINGS: &str = "from guardian.testapp.testsettings import *
DATABASES['default']['TEST'] = {'NAME': 'music'}
PASSWORD_HASHERS = ['django.contrib.auth.hashers.MD5PasswordHasher']
";
/// How many tests there are.
const TESTS: &str = "Ran 504 tests";

/// The tests that compare times with limits, which a busy machine does not keep.
const TIMED: &str = "IndexVsNoIndexPerformanceTestCase";

/// What xtask says.
fn installed(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} is not set: use cargo xtask test --sql"));
    PathBuf::from(value)
}

#[tokio::test(flavor = "multi_thread")]
async fn django_guardian_passes_its_own_tests() {
    let site = TestSite::start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mdbc_settings.py"), SETTINGS).unwrap();
    let url = format!("postgres://mdbc@127.0.0.1:{}/music", site.port);
    let mut tests = Command::new(installed("MDBC_TEST_DJANGO"));
    tests
        .args(["manage.py", "test", "--keepdb", "--noinput"])
        .current_dir(installed("MDBC_TEST_GUARDIAN"))
        .env("DATABASE_URL", url)
        .env("DJANGO_SETTINGS_MODULE", "mdbc_settings")
        .env("PYTHONPATH", folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true);
    let output = tests.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(TESTS), "{said}");
    let is_failure = |line: &&str| line.starts_with("FAIL: ") || line.starts_with("ERROR: ");
    let failures = said.lines().filter(is_failure);
    let failures: Vec<&str> = failures.filter(|line| !line.contains(TIMED)).collect();
    assert!(failures.is_empty(), "{failures:#?}\n{said}");
}
