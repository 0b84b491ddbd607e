//! Everything once, with nothing downloaded. Stub while the parts are put together.
