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
TEST_RUNNER = 'mdbc_runner.Runner'
";
/// The tests that measure are left out: they compare times with limits, which a
/// busy machine does not keep, or fill tables to take a time.
const RUNNER: &str = "from django.test.runner import DiscoverRunner
from django.test.utils import iter_test_cases

class Runner(DiscoverRunner):
    def build_suite(self, *arguments, **options):
        tests = iter_test_cases(super().build_suite(*arguments, **options))
        is_timed = lambda test: type(test).__name__.endswith('PerformanceTestCase')
        return self.test_suite(test for test in tests if not is_timed(test))
";
/// How many tests there are.
const TESTS: &str = "Ran 489 tests";

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
    std::fs::write(folder.path().join("mdbc_runner.py"), RUNNER).unwrap();
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
    assert!(output.status.success(), "{said}");
}
