//! Reading a licence expression (SPDX) as far as crates use it.

/// Licences that our own allows its dependencies to have.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether some choice that the expression offers is allowed.
///
/// An exception (`WITH`) only adds rights, so it changes nothing. Anything
/// malformed is not allowed.
pub(crate) fn is_allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest) == Some(true) && rest.is_empty()
}

/// `both (OR both)*`
fn either(rest: &mut &[&str]) -> Option<bool> {
    let mut is_allowed = both(rest)?;
    while next_is(rest, "OR") {
        is_allowed |= both(rest)?;
    }
    Some(is_allowed)
}

/// `one (AND one)*`
fn both(rest: &mut &[&str]) -> Option<bool> {
    let mut is_allowed = one(rest)?;
    while next_is(rest, "AND") {
        is_allowed &= one(rest)?;
    }
    Some(is_allowed)
}

/// `( either )` or a licence, perhaps with an exception.
fn one(rest: &mut &[&str]) -> Option<bool> {
    if next_is(rest, "(") {
        let is_allowed = either(rest)?;
        return next_is(rest, ")").then_some(is_allowed);
    }
    let is_allowed = ALLOWED.contains(&next(rest)?);
    if next_is(rest, "WITH") {
        next(rest)?;
    }
    Some(is_allowed)
}

fn next<'a>(rest: &mut &[&'a str]) -> Option<&'a str> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    Some(first)
}

fn next_is(rest: &mut &[&str], word: &str) -> bool {
    let is_next = rest.first() == Some(&word);
    if is_next {
        next(rest);
    }
    is_next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_allowed_choice_is_enough() {
        assert!(is_allowed("MIT"));
        assert!(is_allowed("MIT OR LGPL-2.1-or-later"));
        assert!(is_allowed("GPL-3.0/MIT"));
        assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR GPL-2.0"));
    }

    #[test]
    fn all_parts_of_a_conjunction_count() {
        assert!(is_allowed("(Apache-2.0 OR GPL-2.0) AND BSD-3-Clause"));
        assert!(!is_allowed("MIT AND GPL-2.0"));
        assert!(!is_allowed("(MIT AND GPL-2.0) OR AGPL-3.0"));
    }

    #[test]
    fn what_cannot_be_read_is_not_allowed() {
        for expression in ["", "MIT OR", "(MIT", "MIT MIT", ")", "mit"] {
            assert!(!is_allowed(expression), "{expression}");
        }
    }
}
