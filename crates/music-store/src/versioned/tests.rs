mod conformance;
mod distance;
mod faults;
mod register;
