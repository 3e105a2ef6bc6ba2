type JsonObject = Record<string, unknown>

/** Whether `value` is a JSON object: no array, not null. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

/**
 * `target` as the JSON merge patch changes it (RFC 7396): objects merge, null removes, all else replaces. Neither is
 * changed. Deeper than 64 levels the patch replaces, so that nobody exhausts the stack.
 */
export function mergePatch(target: unknown, patch: unknown, depth = 0): unknown {
  if (!isObject(patch)) return patch
  const members = new Map(isObject(target) ? Object.entries(target) : [])
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) members.delete(name)
    else members.set(name, depth < 64 ? mergePatch(members.get(name), value, depth + 1) : value)
  }
  return Object.fromEntries(members)
}
