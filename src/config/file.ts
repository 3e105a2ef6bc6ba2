import { LineCounter, parseDocument } from "yaml"

/** What a settings file says, flat: by the setting's full name. */
export type FileContent =
  | { readonly kind: "values"; readonly values: ReadonlyMap<string, unknown> }
  | { readonly kind: "wrong"; readonly message: string }

/** Reads YAML, and JSON, which is a part of it. `groups` are the names that hold settings instead of being one. */
export function parseSettingsFile(text: string, groups: ReadonlySet<string>): FileContent {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const error = document.errors[0]
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0])
    return { kind: "wrong", message: `is not valid YAML at line ${line}, column ${col}: ${error.message}` }
  }
  // Aliases are expanded at most 100 times, so that a small file cannot fill the memory.
  const root: unknown = document.toJS({ maxAliasCount: 100 })
  if (root === null || root === undefined) return { kind: "values", values: new Map() }
  if (!isRecord(root)) return { kind: "wrong", message: "has to hold settings by name, as in `port: 9000`" }
  return { kind: "values", values: new Map(flat(root, "", groups)) }
}

function flat(
  record: Readonly<Record<string, unknown>>,
  prefix: string,
  groups: ReadonlySet<string>,
): [string, unknown][] {
  return Object.entries(record).flatMap(([key, value]): [string, unknown][] => {
    const name = `${prefix}${key}`
    if (groups.has(name) && value === null) return []
    return groups.has(name) && isRecord(value) ? flat(value, `${name}.`, groups) : [[name, value]]
  })
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
