//! Default configurations, mappings and their resolution.
