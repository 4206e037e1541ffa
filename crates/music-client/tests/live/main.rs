//! The client against a deployment of three sites in this process.

#[cfg(test)]
mod detached;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod guide;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod pipelines;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod recipes;
#[cfg(test)]
mod sections;
#[cfg(test)]
mod sites;
#[cfg(test)]
mod watches;
