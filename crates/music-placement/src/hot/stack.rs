//! Walks a template down through its groups and nested templates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::document::{Document, Resource};
use super::evaluate::{Index, Meter, Scope};
use super::reason::Reason;
use super::source::{self, Files, Source};
use super::template::{Assumption, Server, Template, Volume};
use super::value::Value;
use super::{FILES_MAX, RESOURCES_MAX, STACK_DEPTH_MAX, block_device, take};
use crate::catalogue::Catalogue;
use crate::demand::Demand;

/// Heat types that take servers or volumes in a way that is not read here.
pub const UNSUPPORTED_TYPES: [&str; 19] = [
    "AWS::AutoScaling::AutoScalingGroup",
    "AWS::CloudFormation::Stack",
    "AWS::EC2::Instance",
    "AWS::EC2::Volume",
    "AWS::ElasticLoadBalancing::LoadBalancer",
    "AWS::RDS::DBInstance",
    "OS::Heat::InstanceGroup",
    "OS::Heat::ResourceChain",
    "OS::Heat::Stack",
    "OS::Magnum::Bay",
    "OS::Magnum::Cluster",
    "OS::Manila::Share",
    "OS::Sahara::Cluster",
    "OS::Senlin::Cluster",
    "OS::Senlin::Node",
    "OS::Trove::Cluster",
    "OS::Trove::Instance",
    "OS::Zun::Container",
    "OS::Zun::Pod",
];

/// Reads the template of this name and everything below it.
pub(crate) fn read(
    catalogue: &Catalogue,
    parameters: &BTreeMap<String, Value>,
    name: &str,
    source: &dyn Source,
) -> Result<Template, Reason> {
    let meter = Meter::default();
    let mut walk = Walk::new(catalogue, source, &meter);
    let document = walk.document(name)?.ok_or(Reason::NotFound)?;
    let at = At {
        path: String::new(),
        depth: 0,
        chain: vec![name.to_owned()],
    };
    walk.stack(&at, &document, parameters)?;
    Ok(Template {
        name: name.to_owned(),
        servers: walk.servers,
        volumes: walk.volumes,
        demand: walk.demand,
        assumptions: walk.assumptions,
        files: walk.files,
    })
}

/// A place in the stack.
#[derive(Debug, Clone)]
pub(crate) struct At {
    /// Path of the resource; empty for the outermost template.
    pub(crate) path: String,
    /// Groups and nested templates above.
    depth: usize,
    /// Files from the outermost template to the one this place is in.
    chain: Vec<String>,
}

impl At {
    fn child(&self, name: &str) -> Self {
        let path = if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        };
        Self {
            path,
            ..self.clone()
        }
    }

    /// The inside of a group or nested template at this place.
    fn inside(&self, file: Option<&str>) -> Result<Self, Reason> {
        if self.depth >= STACK_DEPTH_MAX {
            return Err(Reason::TooDeep {
                resource: self.path.clone(),
            });
        }
        let chain = self
            .chain
            .iter()
            .cloned()
            .chain(file.map(str::to_owned))
            .collect();
        Ok(Self {
            path: self.path.clone(),
            depth: self.depth + 1,
            chain,
        })
    }
}

/// What has been found so far.
pub(crate) struct Walk<'a> {
    pub(crate) catalogue: &'a Catalogue,
    source: &'a dyn Source,
    meter: &'a Meter,
    documents: BTreeMap<String, Arc<Document>>,
    files: Files,
    resources: usize,
    servers: Vec<Server>,
    volumes: Vec<Volume>,
    demand: Demand,
    assumptions: BTreeSet<Assumption>,
}

impl<'a> Walk<'a> {
    fn new(catalogue: &'a Catalogue, source: &'a dyn Source, meter: &'a Meter) -> Self {
        Self {
            catalogue,
            source,
            meter,
            documents: BTreeMap::new(),
            files: Files::new(),
            resources: 0,
            servers: Vec::new(),
            volumes: Vec::new(),
            demand: Demand::default(),
            assumptions: BTreeSet::new(),
        }
    }

    /// Notes what was taken for granted.
    pub(crate) fn assume(&mut self, assumption: Assumption) {
        self.assumptions.insert(assumption);
    }

    fn stack(
        &mut self,
        at: &At,
        document: &Document,
        given: &BTreeMap<String, Value>,
    ) -> Result<(), Reason> {
        let scope = Scope::new(document, given, self.meter);
        for (name, resource) in &document.resources {
            self.resource(&at.child(name), &scope, resource)?;
        }
        Ok(())
    }

    fn resource(&mut self, at: &At, scope: &Scope<'_>, resource: &Resource) -> Result<(), Reason> {
        if let Some(condition) = &resource.condition {
            match scope.decide(condition)? {
                Some(true) => {}
                Some(false) => return Ok(()),
                None => self.assume(Assumption::ConditionHolds {
                    resource: at.path.clone(),
                }),
            }
        }
        self.count_resource()?;
        if resource.external {
            return Ok(());
        }
        match resource.kind.as_str() {
            "OS::Nova::Server" => self.server(at, scope, resource),
            "OS::Cinder::Volume" => self.volume(at, scope, resource),
            "OS::Heat::ResourceGroup" => self.resource_group(at, scope, resource),
            "OS::Heat::AutoScalingGroup" => self.autoscaling_group(at, scope, resource),
            kind if names_a_file(kind) => self.nested(at, scope, resource),
            kind if self.catalogue.takes_nothing(kind) => {
                self.assume(Assumption::TakesNothing {
                    kind: kind.to_owned(),
                });
                Ok(())
            }
            kind if is_known_to_take_nothing(kind) => Ok(()),
            kind => {
                let (resource, kind) = (at.path.clone(), kind.to_owned());
                Err(Reason::UnsupportedType { resource, kind })
            }
        }
    }

    fn count_resource(&mut self) -> Result<(), Reason> {
        self.resources += 1;
        if self.resources > RESOURCES_MAX {
            Err(Reason::TooManyResources)
        } else {
            Ok(())
        }
    }

    fn server(&mut self, at: &At, scope: &Scope<'_>, resource: &Resource) -> Result<(), Reason> {
        let flavor = take::flavor(self, at, scope, resource)?;
        let Some(takes) = self.catalogue.flavor(&flavor) else {
            return Err(Reason::UnknownFlavor {
                resource: at.path.clone(),
                flavor,
            });
        };
        self.add(takes.into())?;
        self.servers.push(Server {
            resource: at.path.clone(),
            flavor,
        });
        for gb in block_device::sizes(self, at, scope, resource)? {
            self.count_resource()?;
            self.add_volume(at, gb)?;
        }
        Ok(())
    }

    fn volume(&mut self, at: &At, scope: &Scope<'_>, resource: &Resource) -> Result<(), Reason> {
        let gb = take::volume_gb(self, at, scope, resource)?;
        self.add_volume(at, gb)
    }

    fn add_volume(&mut self, at: &At, gb: u64) -> Result<(), Reason> {
        self.volumes.push(Volume {
            resource: at.path.clone(),
            gb,
        });
        self.add(Demand {
            volume_gb: gb,
            ..Demand::default()
        })
    }

    fn add(&mut self, demand: Demand) -> Result<(), Reason> {
        self.demand = self.demand.checked_add(demand).ok_or(Reason::TooMuch)?;
        Ok(())
    }

    fn resource_group(
        &mut self,
        at: &At,
        scope: &Scope<'_>,
        resource: &Resource,
    ) -> Result<(), Reason> {
        let count = take::group_count(self, at, scope, resource)?;
        let variable = match resource
            .properties
            .get("index_var")
            .map(|name| scope.evaluate(name))
        {
            Some(Ok(Value::Text(variable))) => variable,
            Some(Err(reason)) => return Err(reason),
            Some(Ok(_)) | None => "%index%".to_owned(),
        };
        let member = definition(at, scope, resource, "resource_def")?;
        let inside = at.inside(None)?;
        for number in 0..count {
            let index = Index {
                variable: variable.clone(),
                number,
            };
            let scope = scope.member(Some(index));
            self.resource(&inside.child(&number.to_string()), &scope, &member)?;
        }
        Ok(())
    }

    fn autoscaling_group(
        &mut self,
        at: &At,
        scope: &Scope<'_>,
        resource: &Resource,
    ) -> Result<(), Reason> {
        let count = take::autoscaling_count(self, at, scope, resource)?;
        let member = definition(at, scope, resource, "resource")?;
        let inside = at.inside(None)?;
        for number in 0..count {
            let scope = scope.member(None);
            self.resource(&inside.child(&number.to_string()), &scope, &member)?;
        }
        Ok(())
    }

    fn nested(&mut self, at: &At, scope: &Scope<'_>, resource: &Resource) -> Result<(), Reason> {
        let reference = resource.kind.as_str();
        let (file, document) = self.find(at, reference).map_err(|reason| Reason::Nested {
            resource: at.path.clone(),
            file: reference.to_owned(),
            reason: Box::new(reason),
        })?;
        let given = scope.evaluate_map(&resource.properties)?;
        self.stack(&at.inside(Some(&file))?, &document, &given)
    }

    /// The file that a template calls `reference`, and its document.
    fn find(&mut self, at: &At, reference: &str) -> Result<(String, Arc<Document>), Reason> {
        let including = at.chain.last().map_or("", String::as_str);
        for file in source::candidates(including, reference)? {
            if at.chain.contains(&file) {
                let chain = at.chain.iter().cloned().chain([file]).collect();
                return Err(Reason::Cycle { chain });
            }
            if let Some(document) = self.document(&file)? {
                return Ok((file, document));
            }
        }
        Err(Reason::NotFound)
    }

    /// A file's document, parsed once; `None` if there is no such file.
    fn document(&mut self, file: &str) -> Result<Option<Arc<Document>>, Reason> {
        if let Some(document) = self.documents.get(file) {
            return Ok(Some(document.clone()));
        }
        let Some(text) = self.source.text(file)? else {
            return Ok(None);
        };
        if self.files.len() >= FILES_MAX {
            return Err(Reason::TooManyFiles);
        }
        let document = Arc::new(Document::read(&text)?);
        self.documents.insert(file.to_owned(), document.clone());
        self.files.insert(file.to_owned(), text);
        Ok(Some(document))
    }
}

fn definition(
    at: &At,
    scope: &Scope<'_>,
    group: &Resource,
    property: &'static str,
) -> Result<Resource, Reason> {
    let resource = || at.path.clone();
    let Some(declared) = group.properties.get(property) else {
        return Err(Reason::MissingProperty {
            resource: resource(),
            property,
        });
    };
    // A group inside a group is read again for every member of the outer one.
    scope.charge(declared)?;
    Resource::read(declared).ok_or_else(|| Reason::BadProperty {
        resource: resource(),
        property,
        found: declared.to_string(),
    })
}

fn names_a_file(kind: &str) -> bool {
    let extension = Path::new(kind)
        .extension()
        .and_then(|extension| extension.to_str());
    kind.contains("://") || matches!(extension, Some("yaml" | "yml" | "template"))
}

/// Networks, keys, alarms, configuration: types of Heat's own that are neither
/// handled above nor in the list of those that take something.
fn is_known_to_take_nothing(kind: &str) -> bool {
    (kind.starts_with("OS::") || kind.starts_with("AWS::")) && !UNSUPPORTED_TYPES.contains(&kind)
}
