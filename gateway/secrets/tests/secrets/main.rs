//! The engines with the real policy host and the access-rules plugin.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod room;
mod storage;
