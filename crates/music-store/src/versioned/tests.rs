mod conformance;
mod faults;
mod register;
