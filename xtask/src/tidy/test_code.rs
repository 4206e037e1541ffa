//! Finds the lines of a file that are compiled for tests only.

/// What a file says about its tests.
pub(super) struct TestCode {
    /// For each line, whether it belongs to an item under `#[cfg(test)]`.
    pub(super) lines: Vec<bool>,
    /// Modules in files of their own, declared under `#[cfg(test)]`.
    pub(super) modules: Vec<String>,
}

const ATTRIBUTES: &[&str] = &["#[cfg(test)]", "#[cfg(all(test"];

/// Finds the test items of a file, given its code without comments.
pub(super) fn find(code: &str) -> TestCode {
    let mut lines = vec![false; code.lines().count()];
    let mut modules = Vec::new();
    for attribute in ATTRIBUTES {
        for (start, _) in code.match_indices(attribute) {
            let rest = code.get(start..).unwrap_or_default();
            let item = rest.get(..length(rest)).unwrap_or_default();
            let first = code.get(..start).unwrap_or_default().matches('\n').count();
            let count = item.matches('\n').count() + 1;
            lines
                .iter_mut()
                .skip(first)
                .take(count)
                .for_each(|is_test| *is_test = true);
            modules.extend(module(item));
        }
    }
    TestCode { lines, modules }
}

/// The length in bytes of an item, from its attributes to its end: the `}` of
/// its body, or `;` or `,` where it has none.
fn length(item: &str) -> usize {
    let (mut depth, mut has_body) = (0_usize, false);
    for (at, next) in item.char_indices() {
        match next {
            '(' | '[' | '{' => {
                has_body |= next == '{' && depth == 0;
                depth += 1;
            }
            ')' | ']' | '}' if depth == 0 => return at,
            ')' | ']' | '}' => depth -= 1,
            ';' | ',' if depth == 0 => return at + 1,
            _ => {}
        }
        if has_body && depth == 0 {
            return at + 1;
        }
    }
    item.len()
}

/// The name in `#[cfg(test)] mod name;`.
fn module(item: &str) -> Option<String> {
    let declaration = item.strip_suffix(';')?;
    let (before, name) = declaration.rsplit_once(char::is_whitespace)?;
    before.ends_with("mod").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(code: &str) -> Vec<bool> {
        find(code).lines
    }

    #[test]
    fn a_module_is_test_code_to_its_last_brace() {
        let code = "a\n#[cfg(test)]\nmod tests {\n  fn f() {}\n}\nb";
        assert_eq!(lines(code), [false, true, true, true, true, false]);
    }

    #[test]
    fn other_attributes_belong_to_the_item() {
        let code = "#[cfg(test)]\n#[allow(x)]\nfn f(\n  a: [u8; 2],\n) {\n}\nb";
        assert_eq!(lines(code), [true, true, true, true, true, true, false]);
    }

    #[test]
    fn a_field_ends_with_its_comma() {
        let code = "struct S {\n #[cfg(test)]\n a: u8,\n b: u8,\n}";
        assert_eq!(lines(code), [false, true, true, false, false]);
        assert_eq!(lines("enum E { A, #[cfg(test)] B }\nfn"), [true, false]);
    }

    #[test]
    fn a_module_in_its_own_file_is_named() {
        let found = find("#[cfg(test)]\npub(crate) mod fixture;\n#[cfg(test)]\nuse x;\nb");
        assert_eq!(found.modules, ["fixture"]);
        assert_eq!(found.lines, [true, true, true, true, false]);
    }
}
