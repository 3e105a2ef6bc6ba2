/** A place in the log. Opaque: only the engine that issued it can compare it. */
export type Cursor = string & { readonly cursor: unique symbol }
