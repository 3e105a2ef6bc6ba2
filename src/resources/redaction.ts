import { isObject } from "./merge-patch.ts"

/** What stands where a secret is; sent back, it keeps the secret. */
export const redacted = "***"

/**
 * `value` with what the schema marks `writeOnly` replaced by what `replace` answers; undefined leaves it out. The schema
 * is JSON Schema as TypeBox makes it: properties, patternProperties, additionalProperties, items, unions, intersections.
 */
export function replaceSecrets(
  schema: unknown,
  value: unknown,
  replace: (secret: unknown, path: readonly string[]) => unknown,
  path: readonly string[] = [],
): unknown {
  if (!isObject(schema) || value === undefined) return value
  if (schema.writeOnly === true) return replace(value, path)
  const parts = [schema.anyOf, schema.oneOf, schema.allOf].flatMap((branches) =>
    Array.isArray(branches) ? branches : [],
  )
  const joined = parts.reduce<unknown>((result, part) => replaceSecrets(part, result, replace, path), value)
  if (Array.isArray(joined)) {
    return joined.map((item, index) => replaceSecrets(schema.items, item, replace, [...path, String(index)]))
  }
  if (!isObject(joined)) return joined
  const members = Object.entries(joined).map(([name, member]) => {
    const of = schemasOf(schema, name)
    return [name, of.reduce<unknown>((result, each) => replaceSecrets(each, result, replace, [...path, name]), member)]
  })
  return Object.fromEntries(members.filter(([, member]) => member !== undefined))
}

/** `value` as it may be shown. */
export function redact(schema: unknown, value: unknown): unknown {
  return replaceSecrets(schema, value, () => redacted)
}

/**
 * `value` with each {@link redacted} secret put back from `previous`. `missing` is told the path of those that
 * `previous` does not have, and `kept` that of the others.
 */
export function restore(
  schema: unknown,
  value: unknown,
  previous: unknown,
  missing: (path: readonly string[]) => void,
  kept: (path: readonly string[]) => void = () => {},
): unknown {
  return replaceSecrets(schema, value, (secret, path) => {
    if (secret !== redacted) return secret
    const stored = path.reduce<unknown>((at, name) => memberOf(at, name), previous)
    if (stored === undefined) missing(path)
    else kept(path)
    return stored ?? secret
  })
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined
}

function schemasOf(schema: Record<string, unknown>, name: string): readonly unknown[] {
  const own = memberOf(schema.properties, name)
  const patterns = isObject(schema.patternProperties) ? Object.entries(schema.patternProperties) : []
  const byPattern = patterns.filter(([pattern]) => new RegExp(pattern, "u").test(name)).map(([, each]) => each)
  const named = own === undefined ? byPattern : [own, ...byPattern]
  return named.length > 0 ? named : [schema.additionalProperties]
}
