//! The fault proxy, against a server that writes down what it was asked.

mod connections;
mod flow;
mod requests;
mod support;
