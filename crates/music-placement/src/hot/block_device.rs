//! Volumes that are made along with a server, by its block device mappings.

use super::document::Resource;
use super::evaluate::Scope;
use super::reason::{Reason, Unresolved};
use super::stack::{At, Walk};
use super::take;
use super::value::Value;

const MAPPINGS: [&str; 2] = ["block_device_mapping", "block_device_mapping_v2"];
const SIZE: &str = "volume_size";

/// The sizes, in GB, of the volumes a server brings with it.
///
/// A mapping with a `volume_id` attaches a volume that is counted where it is
/// made; one without a size makes no volume (swap, ephemeral disk, or an image
/// on the flavor's own disk).
pub(crate) fn sizes(
    walk: &mut Walk<'_>,
    at: &At,
    scope: &Scope<'_>,
    server: &Resource,
) -> Result<Vec<u64>, Reason> {
    let mut sizes = Vec::new();
    for property in MAPPINGS {
        let mappings = match take::evaluated(at, scope, server, property)? {
            Value::Null => continue,
            Value::List(mappings) => mappings,
            other => return Err(malformed(at, property, &other)),
        };
        for mapping in mappings {
            let Value::Map(mut mapping) = mapping else {
                return Err(malformed(at, property, &mapping));
            };
            let attached = mapping
                .get("volume_id")
                .is_some_and(|id| *id != Value::Null);
            let size = mapping
                .remove(SIZE)
                .filter(|_| !attached)
                .unwrap_or(Value::Null);
            sizes.extend(take::gb_of(walk, at, SIZE, size)?);
        }
    }
    Ok(sizes)
}

fn malformed(at: &At, property: &'static str, value: &Value) -> Reason {
    let resource = at.path.clone();
    match value {
        Value::Unset(unset) => {
            let why = Unresolved::NoValue {
                parameter: unset.parameter.clone(),
            };
            Reason::Unresolved {
                resource,
                property,
                why,
            }
        }
        Value::Unknown(why) => Reason::Unresolved {
            resource,
            property,
            why: why.clone(),
        },
        _ => Reason::BadProperty {
            resource,
            property,
            found: value.to_string(),
        },
    }
}
