//! Flavors, sizes and counts: the properties that decide what is taken, and
//! what stands in for those whose parameter has no value.

use super::document::Resource;
use super::evaluate::Scope;
use super::parameter::Constraints;
use super::reason::{Reason, Unresolved};
use super::stack::{At, Walk};
use super::template::Assumption;
use super::value::{Unset, Value};
use super::{GROUP_COUNT_MAX, VOLUME_GB_MAX};

/// Properties from which a volume without a size has one.
const VOLUME_SOURCES: [&str; 3] = ["backup_id", "snapshot_id", "source_volid"];

/// An amount as told by the template, or the parameter that fails to.
enum Amount {
    Told(u64),
    Unset(std::sync::Arc<Unset>),
}

/// The flavor of a server.
pub(crate) fn flavor(
    walk: &mut Walk<'_>,
    at: &At,
    scope: &Scope<'_>,
    server: &Resource,
) -> Result<String, Reason> {
    let property = "flavor";
    let resource = at.path.clone();
    match evaluated(at, scope, server, property)? {
        Value::Null => Err(Reason::MissingProperty { resource, property }),
        Value::Unset(unset) => {
            let flavor = flavor_standing_in(walk.catalogue.default_flavor(), &unset.constraints);
            let parameter = unset.parameter.clone();
            walk.assume(Assumption::Flavor {
                parameter,
                flavor: flavor.clone(),
            });
            Ok(flavor)
        }
        value => value.scalar_text().ok_or_else(|| Reason::BadProperty {
            resource,
            property,
            found: value.to_string(),
        }),
    }
}

fn flavor_standing_in(default: &str, constraints: &Constraints) -> String {
    match constraints.allowed.first() {
        Some(first) if !constraints.admit(&Value::Text(default.to_owned())) => first.clone(),
        _ => default.to_owned(),
    }
}

/// The size of a volume, in GB.
pub(crate) fn volume_gb(
    walk: &mut Walk<'_>,
    at: &At,
    scope: &Scope<'_>,
    volume: &Resource,
) -> Result<u64, Reason> {
    let property = "size";
    match amount(at, scope, volume, property)? {
        Some(told) => checked_gb(walk, at, property, told),
        None if VOLUME_SOURCES
            .iter()
            .any(|source| volume.properties.contains_key(*source)) =>
        {
            let gb = walk.catalogue.default_volume_gb();
            walk.assume(Assumption::VolumeFromSource {
                resource: at.path.clone(),
                gb,
            });
            Ok(gb)
        }
        None => Err(Reason::MissingProperty {
            resource: at.path.clone(),
            property,
        }),
    }
}

/// The size, in GB, that the property `property` has the given value of.
pub(crate) fn gb_of(
    walk: &mut Walk<'_>,
    at: &At,
    property: &'static str,
    value: Value,
) -> Result<Option<u64>, Reason> {
    match amount_of(at, property, value)? {
        Some(told) => checked_gb(walk, at, property, told).map(Some),
        None => Ok(None),
    }
}

fn checked_gb(
    walk: &mut Walk<'_>,
    at: &At,
    property: &'static str,
    told: Amount,
) -> Result<u64, Reason> {
    let gb = match told {
        Amount::Told(gb) => gb,
        Amount::Unset(unset) => {
            let gb = standing_in(walk.catalogue.default_volume_gb(), &unset, at, property)?;
            walk.assume(Assumption::VolumeGb {
                parameter: unset.parameter.clone(),
                gb,
            });
            gb
        }
    };
    if (1..=VOLUME_GB_MAX).contains(&gb) {
        return Ok(gb);
    }
    Err(Reason::BadProperty {
        resource: at.path.clone(),
        property,
        found: gb.to_string(),
    })
}

/// How many members a resource group has; one if it does not say.
pub(crate) fn group_count(
    walk: &mut Walk<'_>,
    at: &At,
    scope: &Scope<'_>,
    group: &Resource,
) -> Result<u64, Reason> {
    let told = amount(at, scope, group, "count")?.unwrap_or(Amount::Told(1));
    let count = counted(walk, at, "count", &told)?;
    within_limit(at, count)
}

/// How many members an autoscaling group starts with.
pub(crate) fn autoscaling_count(
    walk: &mut Walk<'_>,
    at: &At,
    scope: &Scope<'_>,
    group: &Resource,
) -> Result<u64, Reason> {
    let least = amount(at, scope, group, "min_size")?.unwrap_or(Amount::Told(0));
    let most = amount(at, scope, group, "max_size")?;
    let property = "desired_capacity";
    let Some(desired) = amount(at, scope, group, property)? else {
        let count = counted(walk, at, "min_size", &least)?;
        return within_limit(at, count);
    };
    // A bound without a value bounds nothing: only the start matters here.
    let min = if let Amount::Told(min) = least {
        min
    } else {
        0
    };
    let max = if let Some(Amount::Told(max)) = most {
        max
    } else {
        u64::MAX
    };
    let count = match desired {
        Amount::Told(count) => count,
        Amount::Unset(unset) => {
            let standing_in = standing_in(walk.catalogue.default_count(), &unset, at, property)?;
            let count = standing_in.max(min).min(max);
            walk.assume(Assumption::Count {
                parameter: unset.parameter.clone(),
                count,
            });
            count
        }
    };
    if !(min..=max).contains(&count) {
        return Err(Reason::GroupBounds {
            resource: at.path.clone(),
            desired: count,
            min,
            max,
        });
    }
    within_limit(at, count)
}

fn counted(
    walk: &mut Walk<'_>,
    at: &At,
    property: &'static str,
    told: &Amount,
) -> Result<u64, Reason> {
    match told {
        Amount::Told(count) => Ok(*count),
        Amount::Unset(unset) => {
            let count = standing_in(walk.catalogue.default_count(), unset, at, property)?;
            walk.assume(Assumption::Count {
                parameter: unset.parameter.clone(),
                count,
            });
            Ok(count)
        }
    }
}

fn within_limit(at: &At, count: u64) -> Result<u64, Reason> {
    if count <= GROUP_COUNT_MAX {
        return Ok(count);
    }
    Err(Reason::GroupTooLarge {
        resource: at.path.clone(),
        count,
    })
}

fn amount(
    at: &At,
    scope: &Scope<'_>,
    resource: &Resource,
    property: &'static str,
) -> Result<Option<Amount>, Reason> {
    amount_of(at, property, evaluated(at, scope, resource, property)?)
}

fn amount_of(at: &At, property: &'static str, value: Value) -> Result<Option<Amount>, Reason> {
    let resource = at.path.clone();
    match value {
        Value::Null => Ok(None),
        Value::Unset(unset) => Ok(Some(Amount::Unset(unset))),
        Value::Unknown(why) => Err(Reason::Unresolved {
            resource,
            property,
            why,
        }),
        value => match value.as_amount() {
            Some(amount) => Ok(Some(Amount::Told(amount))),
            None => Err(Reason::BadProperty {
                resource,
                property,
                found: value.to_string(),
            }),
        },
    }
}

/// The value of a property; `Null` if it is not there, never `Unknown`.
pub(crate) fn evaluated(
    at: &At,
    scope: &Scope<'_>,
    resource: &Resource,
    property: &'static str,
) -> Result<Value, Reason> {
    let value = match resource.properties.get(property) {
        Some(value) => scope.evaluate(value)?,
        None => Value::Null,
    };
    match value {
        Value::Unknown(why) => Err(Reason::Unresolved {
            resource: at.path.clone(),
            property,
            why,
        }),
        value => Ok(value),
    }
}

/// The default if the parameter admits it, else the first allowed value or the
/// nearest end of its range.
fn standing_in(
    default: u64,
    unset: &Unset,
    at: &At,
    property: &'static str,
) -> Result<u64, Reason> {
    let constraints = &unset.constraints;
    let as_value = |number: u64| Value::Text(number.to_string());
    let least = constraints.min.map(|min| Value::Float(min.ceil()));
    let most = constraints.max.map(|max| Value::Float(max.floor()));
    let allowed = constraints
        .allowed
        .iter()
        .map(|text| Value::Text(text.clone()));
    [as_value(default)]
        .into_iter()
        .chain(allowed)
        .chain(least)
        .chain(most)
        .find(|value| constraints.admit(value) && value.as_amount().is_some())
        .and_then(|value| value.as_amount())
        .ok_or_else(|| {
            let why = Unresolved::NoValue {
                parameter: unset.parameter.clone(),
            };
            Reason::Unresolved {
                resource: at.path.clone(),
                property,
                why,
            }
        })
}
