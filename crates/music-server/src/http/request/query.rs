//! The query of a request.

use std::ops::RangeInclusive;

use axum::extract::FromRequestParts;
use hyper::http::request::Parts;
use music_api::code::Code;

use super::path::percent_decode;
use crate::http::problem::Failure;

/// The most parameters that a query may have.
const PARAMETERS_MAX: usize = 16;

/// The parameters of a query, each there once at most.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, Vec<u8>)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts
            .uri
            .query()
            .map_or_else(|| Ok(Self::default()), Self::parse)
    }
}

impl Query {
    /// Reads `name=value&…`, form-encoded; values may be any bytes.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let mut parameters: Vec<(String, Vec<u8>)> = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let decode = |text: &str| percent_decode(&text.replace('+', " "));
            let name = decode(name).and_then(|bytes| String::from_utf8(bytes).ok());
            let (Some(name), Some(value)) = (name, decode(value)) else {
                return Err(bad(
                    "The query has a malformed escape: write bytes as %XX.".to_owned()
                ));
            };
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(bad(format!("The query has `{name}` twice: give it once.")));
            }
            if parameters.len() == PARAMETERS_MAX {
                return Err(bad(format!(
                    "A query has at most {PARAMETERS_MAX} parameters."
                )));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// Refuses parameters of other names.
    pub(crate) fn only(self, names: &[&str]) -> Result<Self, Failure> {
        match self
            .0
            .iter()
            .find(|(name, _)| !names.contains(&name.as_str()))
        {
            None => Ok(self),
            Some((name, _)) if names.is_empty() => Err(bad(format!(
                "`{name}` is unknown: this route takes no query."
            ))),
            Some((name, _)) => {
                let names = names.join(", ");
                Err(bad(format!(
                    "`{name}` is unknown: this route takes {names}."
                )))
            }
        }
    }

    /// The value of a parameter.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_slice())
    }

    /// The value of a parameter that must be UTF-8.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        let text = self.bytes(name).map(std::str::from_utf8).transpose();
        text.ok()
            .ok_or_else(|| bad(format!("`{name}` is no UTF-8.")))
    }

    /// The value of a parameter that must be a number within bounds.
    pub(crate) fn number(
        &self,
        name: &str,
        bounds: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Failure> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        number.map(Some).ok_or_else(|| {
            let (low, high) = (bounds.start(), bounds.end());
            Failure::new(
                Code::OutOfRange,
                format!("`{name}` is a number from {low} to {high}."),
            )
        })
    }

    /// The value of a parameter that must be `true` or `false`; false if absent.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.bytes(name) {
            None | Some(b"false") => Ok(false),
            Some(b"true" | b"") => Ok(true),
            Some(_) => Err(bad(format!("`{name}` is true or false."))),
        }
    }
}

fn bad(detail: String) -> Failure {
    Failure::new(Code::BadQuery, detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_form_encoded_bytes() {
        let query = Query::parse("prefix=a+b%2B%FF&limit=10&oneway").unwrap();
        assert_eq!(query.bytes("prefix"), Some(&b"a b+\xff"[..]));
        assert_eq!(query.number("limit", 1..=10).unwrap(), Some(10));
        assert!(query.flag("oneway").unwrap());
        assert!(query.text("prefix").is_err());
        assert!(query.number("limit", 1..=9).is_err());
        assert!(query.only(&["prefix", "limit"]).is_err());
    }

    #[test]
    fn a_repeated_parameter_is_refused() {
        assert!(Query::parse("a=1&a=1").is_err());
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(text in ".{0,200}") {
            let status = Query::parse(&text).map_err(|failure| failure.status().as_u16());
            prop_assert_eq!(status.err().unwrap_or(400), 400);
        }
    }
}
