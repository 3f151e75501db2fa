//! Authentication, tokens and authorisation with the real policy host and the access-rules plugin.

#[cfg(test)]
mod administration;
#[cfg(test)]
mod authentication;
#[cfg(test)]
mod bearer;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod quota;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod tokens;
