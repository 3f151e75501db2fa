//! The one pipeline that every certificate passes
