//! Sections from the inside: what no driver can bring about in a test.
