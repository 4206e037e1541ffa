//! The client against nodes that do as a test says.

#[cfg(test)]
mod fake_node;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod sections;
#[cfg(test)]
mod support;
