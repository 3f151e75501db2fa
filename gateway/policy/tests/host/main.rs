//! The policy host from outside, with real components.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod bindings;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod each;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod guests;
#[cfg(test)]
mod installation;
#[cfg(test)]
mod lookups;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod reuse;
#[cfg(test)]
mod wasi;
